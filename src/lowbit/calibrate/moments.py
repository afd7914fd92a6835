"""First and second moments of a linear layer's inputs and outputs: all that restoring its output needs.

Memory depends on the layer, not on the number of samples: `[d, d]` for the inputs and `[d, o]` for inputs
with outputs.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(eq=False)
class LinearMoments:
    """Sums over samples, float64.

    Attributes:
        count: samples seen.
        x: sum of inputs `[d]`.
        y: sum of outputs `[o]`.
        xx: sum of input times input `[d, d]`.
        xy: sum of input times output `[d, o]`.
        yy: sum of squared outputs `[o]`.
    """

    count: int
    x: Array
    y: Array
    xx: Array
    xy: Array
    yy: Array

    @classmethod
    def empty(cls, inputs: int, outputs: int) -> "LinearMoments":
        """Return moments of no samples."""
        square, cross = np.zeros((inputs, inputs)), np.zeros((inputs, outputs))
        return cls(0, np.zeros(inputs), np.zeros(outputs), square, cross, np.zeros(outputs))

    def update(self, inputs: npt.ArrayLike, outputs: npt.ArrayLike) -> None:
        """Add samples: inputs `[n, d]` and outputs `[n, o]`."""
        x, y = np.asarray(inputs, np.float64), np.asarray(outputs, np.float64)
        self.count += len(x)
        self.x += x.sum(axis=0)
        self.y += y.sum(axis=0)
        self.xx += x.T @ x
        self.xy += x.T @ y
        self.yy += (y * y).sum(axis=0)

    def merge(self, other: "LinearMoments") -> None:
        """Add the samples that another observer saw."""
        self.count += other.count
        for name in ("x", "y", "xx", "xy", "yy"):
            getattr(self, name).__iadd__(getattr(other, name))

    def means(self) -> tuple[Array, Array]:
        """Return the mean input `[d]` and output `[o]`."""
        return self.x / self.count, self.y / self.count

    def covariance(self) -> Array:
        """Return the covariance of the inputs, `[d, d]`."""
        mean = self.x / self.count
        return self.xx / self.count - np.outer(mean, mean)

    def cross(self) -> Array:
        """Return the covariance of inputs with outputs, `[d, o]`."""
        return self.xy / self.count - np.outer(self.x / self.count, self.y / self.count)

    def variance(self) -> Array:
        """Return the variance of every output, `[o]`, not negative."""
        return np.maximum(self.yy / self.count - (self.y / self.count) ** 2, 0.0)
