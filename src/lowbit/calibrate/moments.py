"""First and second moments of a linear layer's inputs and outputs: all that restoring its output needs.

Memory depends on the layer, not on the number of samples: `[d, d]` for the inputs and `[d, o]` for inputs
with outputs. Second moments are about the mean, joined batch by batch (Chan, Golub and LeVeque, Updating
Formulae and a Pairwise Algorithm for Computing Sample Variances, 1979): what never changes has a covariance
of exactly zero, and a large mean costs no digits.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_COPIES = 6
"""Of a float64 [d, d]: the moments, their metric, its inverse and factor, and what solving takes."""


def moment_bytes(inputs: int, outputs: int) -> int:
    """Return the bytes that the moments of a layer take, with what restoring makes of them."""
    return 8 * (_COPIES * inputs * inputs + 8 * inputs * outputs)


@dataclass(eq=False)
class LinearMoments:
    """Means, and sums over samples of products of deviations from them, float64.

    Attributes:
        count: samples seen.
        x: mean of inputs `[d]`.
        y: mean of outputs `[o]`.
        xx: sum of input times input `[d, d]`.
        xy: sum of input times output `[d, o]`.
    """

    count: int
    x: Array
    y: Array
    xx: Array
    xy: Array

    @classmethod
    def empty(cls, inputs: int, outputs: int) -> "LinearMoments":
        """Return moments of no samples."""
        square, cross = np.zeros((inputs, inputs)), np.zeros((inputs, outputs))
        return cls(0, np.zeros(inputs), np.zeros(outputs), square, cross)

    def update(self, inputs: npt.ArrayLike, outputs: npt.ArrayLike) -> None:
        """Add samples: inputs `[n, d]` and outputs `[n, o]`."""
        x, y = np.array(inputs, np.float64), np.array(outputs, np.float64)
        if not len(x):
            return
        mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
        x -= mean_x
        y -= mean_y
        self.merge(LinearMoments(len(x), mean_x, mean_y, x.T @ x, x.T @ y))

    def merge(self, other: "LinearMoments") -> None:
        """Add the samples that another observer saw."""
        if not other.count:
            return
        total = self.count + other.count
        dx, dy = other.x - self.x, other.y - self.y
        weight = self.count * other.count / total
        self.xx += other.xx
        self.xy += other.xy
        if weight:
            self.xx += np.outer(weight * dx, dx)
            self.xy += np.outer(weight * dx, dy)
        self.x += dx * (other.count / total)
        self.y += dy * (other.count / total)
        self.count = total

    def covariance(self) -> Array:
        """Return the covariance of the inputs, `[d, d]`."""
        return self.xx / self.count

    def cross(self) -> Array:
        """Return the covariance of inputs with outputs, `[d, o]`."""
        return self.xy / self.count
