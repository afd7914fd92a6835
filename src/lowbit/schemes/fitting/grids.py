"""The values that weights may take, asked for the nearest of them many times."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from lowbit.schemes.encoding import Encoding
from lowbit.schemes.fitting import _descent
from lowbit.schemes.grouped import Grouped

Array = npt.NDArray[np.float64]


class Grid(Protocol):
    """The values that the weights of each output may take."""

    def nearest(self, values: Array, column: int) -> Array:
        """Return the grid value nearest to every entry of `values [o]`, one per output, of a column."""

    def descend(self, metric: Array, values: Array, residual: Array, sweeps: int) -> None:
        """Move `values [o, d]` on the grid by cyclic coordinate descent; the error of no output rises.

        Args:
            metric: `[d, d]`.
            values: on the grid; they change in place, and so does
            residual: `[o, d]`, what the metric makes of their distance from the target.
            sweeps: over all coordinates, at most; it ends where none moves.
        """


class LevelGrid:
    """A grid of few levels `[o or 1, l]`, ascending."""

    def __init__(self, levels: Array) -> None:
        self._ascending = np.ascontiguousarray(levels, np.float64)
        self._levels = np.ascontiguousarray(levels.T)
        self._thresholds = np.ascontiguousarray(((levels[:, 1:] + levels[:, :-1]) / 2).T)
        self._outputs = np.arange(len(levels)) if len(levels) > 1 else 0

    def nearest(self, values: Array, column: int) -> Array:
        """Return the nearest levels; a tie takes the lower one."""
        return np.asarray(self._levels[(values > self._thresholds).sum(axis=0), self._outputs])

    def descend(self, metric: Array, values: Array, residual: Array, sweeps: int) -> None:
        """Move `values [o, d]` by coordinate descent, see `Grid`."""
        _descent.descend_levels(metric, self._ascending, values, residual, sweeps)


class EvenGrid:
    """Multiples of a scale between two whole numbers, each `[o or 1]`: rounding, for any number of levels."""

    def __init__(self, scale: npt.ArrayLike, least: npt.ArrayLike, most: npt.ArrayLike) -> None:
        self._bounds = np.ascontiguousarray(np.stack([scale, least, most]), np.float64)
        self._scale, self._least, self._most = self._bounds

    def nearest(self, values: Array, column: int) -> Array:
        """Return the nearest multiples; a tie takes the even one."""
        return np.asarray(self._scale * np.clip(np.rint(values / self._scale), self._least, self._most))

    def descend(self, metric: Array, values: Array, residual: Array, sweeps: int) -> None:
        """Move `values [o, d]` by coordinate descent, see `Grid`."""
        _descent.descend_even(metric, self._bounds, values, residual, sweeps)


class GroupedGrid:
    """A grid for each group of columns."""

    def __init__(self, encoding: Grouped) -> None:
        self._encoding = encoding
        self._grids: dict[int, Grid] = {}

    def nearest(self, values: Array, column: int) -> Array:
        """Return the nearest of the column's group."""
        return self._grid(column // self._encoding.group, len(values)).nearest(values, column)

    def descend(self, metric: Array, values: Array, residual: Array, sweeps: int) -> None:
        """Move `values [o, d]` by coordinate descent, see `Grid`, a group at a time."""
        group, (outputs, columns) = self._encoding.group, values.shape
        for _ in range(sweeps):
            for index, start in enumerate(range(0, columns, group)):
                part = slice(start, start + group)
                own, left = values[:, part].copy(), residual[:, part].copy()
                inner = np.ascontiguousarray(metric[part, part])
                self._grid(index, outputs).descend(inner, own, left, 1)
                residual += (own - values[:, part]) @ metric[part]
                values[:, part] = own

    def _grid(self, index: int, outputs: int) -> Grid:
        if index not in self._grids:
            block = self._encoding.block(index, self._encoding.channels // outputs)
            self._grids[index] = grid_of(block)
        return self._grids[index]


def grid_of(encoding: Encoding) -> Grid:
    """Return the levels of an encoding as a grid."""
    if isinstance(encoding, Grouped):
        return GroupedGrid(encoding)
    if not encoding.rounds:
        return LevelGrid(np.sort(encoding.levels(), axis=1))
    whole = encoding.whole_levels()
    return EvenGrid(encoding.integer_scale(), whole[:, 0], whole[:, -1])
