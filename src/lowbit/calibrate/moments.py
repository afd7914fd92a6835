"""First and second moments of a linear layer's inputs and outputs: all that restoring its output needs.

Memory depends on the layer, not on the number of samples: `[d, d]` for the inputs and `[d, o]` for inputs
with outputs. Sums are over deviations from the mean c of the first `BLOCK` samples,

    cov(x, y) = E (x - c)(y - c')^T - E(x - c) E(y - c')^T

so what never changes has a covariance of exactly zero, and a large mean costs no digits. Products are float32
inside a block, in units of powers of two that hold the largest deviation of a column so far, and float64 from
block to block. Blocks are cut by counting samples: the moments do not depend
on the batches in which these arrive.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Exponents = npt.NDArray[np.intc]

BLOCK = 4096
"""Rows whose products are summed in float32."""

_AT_ONCE = 64
"""Rows that are brought into units at once: what is float64 on the way stays in the cache."""

_LEAST = np.intc(-1000)
"""The exponent of a column that has not changed yet."""

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
        self._units: tuple[Exponents, Exponents] = np.full(inputs, _LEAST), np.full(outputs, _LEAST)
        self._waiting: list[tuple[npt.NDArray[Any], npt.NDArray[Any]]] = []
        self._rows = 0

    def update(self, inputs: npt.NDArray[Any], outputs: npt.NDArray[Any]) -> None:
        """Add samples: inputs `[n, d]` and outputs `[n, o]`."""
        self._waiting.append((np.asarray(inputs), np.asarray(outputs)))
        self._rows += len(inputs)
        if self._rows < BLOCK:
            return
        x, y = (np.concatenate(parts) for parts in zip(*self._waiting, strict=True))
        whole = len(x) - len(x) % BLOCK
        for start in range(0, whole, BLOCK):
            self._add(x[start : start + BLOCK], y[start : start + BLOCK])
        self._waiting, self._rows = [(x[whole:].copy(), y[whole:].copy())], len(x) - whole

    def finish(self) -> "LinearMoments":
        """Count the samples that filled no block, settle the sums, and return the moments."""
        if self._waiting:
            self._add(*(np.concatenate(parts) for parts in zip(*self._waiting, strict=True)))
        self._waiting, self._rows = [], 0
        mean_x, mean_y = (total / max(self.count, 1) for total in self._sums)
        if self._second:
            self._to_units(np.zeros_like(mean_x, np.intc), np.zeros_like(mean_y, np.intc))
        if self._second and mean_x.any():
            scaled = self.count * mean_x
            for start in range(0, len(scaled), BLOCK):  # so that what is subtracted stays small
                part = slice(start, start + BLOCK)
                self._xx[part] -= scaled[part, None] * mean_x
                self._xy[part] -= scaled[part, None] * mean_y
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
        for total, array, first in zip(self._sums, (inputs, outputs), self._first, strict=True):
            total += array.sum(axis=0, dtype=np.float64) - len(array) * first
        if not self._second:
            return
        given = tuple(zip((inputs, outputs), self._first, self._units, strict=True))
        self._to_units(*(np.maximum(unit, _exponents(array, first)) for array, first, unit in given))
        x, y = (
            _in_units(array, first, unit)
            for array, first, unit in zip((inputs, outputs), self._first, self._units, strict=True)
        )
        self._xx += x.T @ x
        self._xy += x.T @ y

    def _to_units(self, x: Exponents, y: Exponents) -> None:
        """Let sums be in units of these powers of two by column."""
        old_x, old_y = self._units
        if (x == old_x).all() and (y == old_y).all():
            return
        rows, columns = (np.ldexp(1.0, old - new) for old, new in ((old_x, x), (old_y, y)))
        self._units = x, y
        for sums, factor in ((self._xx, rows), (self._xy, columns)):
            if self.count:
                sums *= rows[:, None]
                sums *= factor

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


def _exponents(array: npt.NDArray[Any], first: Array) -> Exponents:
    """Return by column the exponent of a power of two that is above all deviations."""
    widest = np.maximum(array.max(axis=0) - first, first - array.min(axis=0))
    return np.where(widest > 0, np.frexp(widest)[1], _LEAST)


def _in_units(array: npt.NDArray[Any], first: Array, exponents: Exponents) -> npt.NDArray[np.float32]:
    """Return deviations in units of powers of two by column: float32 holds squares of such."""
    result = np.empty(array.shape, np.float32)
    scale = np.ldexp(1.0, -exponents)
    for start in range(0, len(array), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        np.multiply(array[part] - first, scale, out=result[part], casting="same_kind")
    return result
