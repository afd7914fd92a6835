"""The values that weights may take, asked for the nearest of them many times."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from lowbit.schemes.encoding import Encoding

Array = npt.NDArray[np.float64]


class Grid(Protocol):
    """The values that the weights of each output may take."""

    def nearest(self, values: Array) -> Array:
        """Return the grid value nearest to every entry of `values [o]`, one per output."""


class LevelGrid:
    """A grid of few levels `[o or 1, l]`, ascending."""

    def __init__(self, levels: Array) -> None:
        self._levels = np.ascontiguousarray(levels.T)
        self._thresholds = np.ascontiguousarray(((levels[:, 1:] + levels[:, :-1]) / 2).T)
        self._outputs = np.arange(len(levels)) if len(levels) > 1 else 0

    def nearest(self, values: Array) -> Array:
        """Return the nearest levels; a tie takes the lower one."""
        return np.asarray(self._levels[(values > self._thresholds).sum(axis=0), self._outputs])


class EvenGrid:
    """Multiples of a scale `[o or 1]` between two whole numbers: rounding, whatever the number of levels."""

    def __init__(self, encoding: Encoding) -> None:
        whole = encoding.whole_levels()
        self._scale, self._least, self._most = encoding.integer_scale(), whole[:, 0], whole[:, -1]

    def nearest(self, values: Array) -> Array:
        """Return the nearest multiples; a tie takes the even one."""
        return np.asarray(self._scale * np.clip(np.rint(values / self._scale), self._least, self._most))


def grid_of(encoding: Encoding) -> Grid:
    """Return the levels of an encoding as a grid."""
    return EvenGrid(encoding) if encoding.rounds else LevelGrid(np.sort(encoding.levels(), axis=1))
