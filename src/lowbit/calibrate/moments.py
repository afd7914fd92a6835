"""First and second moments of a linear layer's inputs and outputs: all that restoring its output needs.

Memory depends on the layer, not on the number of samples: `[d, d]` for the inputs and `[d, o]` for inputs
with outputs. Sums are over deviations from the mean c of the first `BLOCK` samples,

    cov(x, y) = E (x - c)(y - c')^T - E(x - c) E(y - c')^T

so what never changes has a covariance of exactly zero, and a large mean costs no digits. Products are float32
inside a block and float64 from block to block. Blocks are cut by counting samples: the moments do not depend
on the batches in which these arrive.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

BLOCK = 4096
"""Rows whose products are summed in float32."""

_COPIES = 4
"""Of a float64 [d, d]: the moments, their metric, its factor, and what factoring takes."""


def moment_bytes(inputs: int, outputs: int) -> int:
    """Return the bytes that the moments of a layer take, with what restoring makes of them."""
    return 8 * (_COPIES * inputs * inputs + 8 * inputs * outputs)


class LinearMoments:
    """Means and covariances of inputs `[d]` and outputs `[o]`, float64.

    Args:
        inputs: d.
        outputs: o.
        second: whether covariances are wanted; means alone take no `[d, d]`.

    Attributes:
        count: samples seen, those of unfinished blocks left out.
    """

    def __init__(self, inputs: int, outputs: int, second: bool = True) -> None:
        self.count, self._second = 0, second
        self._first = np.zeros(inputs), np.zeros(outputs)
        self._sums = np.zeros(inputs), np.zeros(outputs)
        wide = inputs if second else 0
        self._xx, self._xy = np.zeros((wide, wide)), np.zeros((wide, outputs))
        self._waiting: list[tuple[npt.NDArray[Any], npt.NDArray[Any]]] = []

    def update(self, inputs: npt.NDArray[Any], outputs: npt.NDArray[Any]) -> None:
        """Add samples: inputs `[n, d]` and outputs `[n, o]`."""
        self._waiting.append((np.asarray(inputs), np.asarray(outputs)))
        if sum(len(x) for x, _ in self._waiting) < BLOCK:
            return
        x, y = (np.concatenate(parts) for parts in zip(*self._waiting, strict=True))
        whole = len(x) - len(x) % BLOCK
        for start in range(0, whole, BLOCK):
            self._add(x[start : start + BLOCK], y[start : start + BLOCK])
        self._waiting = [(x[whole:].copy(), y[whole:].copy())]

    def finish(self) -> "LinearMoments":
        """Count the samples that filled no block, settle the sums, and return the moments."""
        if self._waiting:
            self._add(*(np.concatenate(parts) for parts in zip(*self._waiting, strict=True)))
        self._waiting = []
        mean_x, mean_y = (total / max(self.count, 1) for total in self._sums)
        if self._second and mean_x.any():
            self._xx -= np.outer(self.count * mean_x, mean_x)
            self._xy -= np.outer(self.count * mean_x, mean_y)
        self._first = self._first[0] + mean_x, self._first[1] + mean_y
        self._sums = np.zeros_like(mean_x), np.zeros_like(mean_y)
        return self

    def _add(self, inputs: npt.NDArray[Any], outputs: npt.NDArray[Any]) -> None:
        """Add the samples of a block."""
        if not len(inputs):
            return
        if not self.count:
            self._first = inputs.mean(axis=0, dtype=np.float64), outputs.mean(axis=0, dtype=np.float64)
        self.count += len(inputs)
        if not self._second:
            for total, array, first in zip(self._sums, (inputs, outputs), self._first, strict=True):
                total += array.sum(axis=0, dtype=np.float64) - len(array) * first
            return
        (x, x_unit), (y, y_unit) = (
            _in_units(array - mean) for array, mean in zip((inputs, outputs), self._first, strict=True)
        )
        self._xx += (x.T @ x) * np.outer(x_unit, x_unit)
        self._xy += (x.T @ y) * np.outer(x_unit, y_unit)
        for total, array, unit in zip(self._sums, (x, y), (x_unit, y_unit), strict=True):
            total += array.sum(axis=0, dtype=np.float64) * unit

    @property
    def x(self) -> Array:
        """The mean of the inputs, `[d]`."""
        return self._first[0]

    @property
    def y(self) -> Array:
        """The mean of the outputs, `[o]`."""
        return self._first[1]

    def covariance(self) -> Array:
        """Return the covariance of the inputs, `[d, d]`."""
        return self._xx / self.count

    def cross(self) -> Array:
        """Return the covariance of inputs with outputs, `[d, o]`."""
        return self._xy / self.count


def _in_units(deviations: Array) -> tuple[npt.NDArray[np.float32], Array]:
    """Return deviations in units of powers of two by column, and the units: float32 holds squares of such."""
    _, exponents = np.frexp(np.abs(deviations).max(axis=0, initial=0))
    return np.ldexp(deviations, -exponents).astype(np.float32), np.ldexp(1.0, exponents)
