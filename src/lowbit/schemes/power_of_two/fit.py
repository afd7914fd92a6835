"""Powers of two: per output the scale of least squared error, among fixed shares of the largest weight."""

import numpy as np
import numpy.typing as npt

from lowbit.schemes.fitting import Fit, Settings
from lowbit.schemes.power_of_two.encoding import PowerOfTwo
from lowbit.schemes.specification import Specification

Array = npt.NDArray[np.float64]

_SHARES = np.concatenate([np.linspace(1.2, 0.3, 37), 0.3 * 0.75 ** np.arange(1.0, 21.0)])
_SMALLEST = 1e-29  # what a scale may be, with room to be refitted


def power_of_two_encoding(weights: Array, bits: int, importance: Array | None = None) -> PowerOfTwo:
    """Return the encoding of weights `[o, n]`, a scale per output.

    Args:
        weights: the values, not all zero in any output.
        bits: 2 to 4.
        importance: how much each column's error counts, `[n]`.
    """
    largest = np.maximum(np.abs(weights).max(axis=1), _SMALLEST / _SHARES[-1])
    weight = np.ones(weights.shape[1]) if importance is None else importance
    best, scale = np.full(len(weights), np.inf), largest
    for share in _SHARES:
        encoding = PowerOfTwo(bits, (share * largest).astype(np.float32))
        levels = np.sort(encoding.levels(), axis=1)
        steps = (levels[:, 1:] + levels[:, :-1]) / 2
        ranks = sum((weights > step[:, None] for step in steps.T), np.zeros(weights.shape, np.intp))
        error = ((np.take_along_axis(levels, ranks, axis=1) - weights) ** 2 * weight).sum(axis=1)
        better = error < best
        best, scale = np.where(better, error, best), np.where(better, share * largest, scale)
    return PowerOfTwo(bits, scale.astype(np.float32))


class PowerOfTwoFit(Fit):
    """Powers of two."""

    def weights(
        self, weights: Array, form: Specification, settings: Settings, importance: Array | None = None
    ) -> PowerOfTwo:
        """Return the encoding of weights, a scale per output."""
        return power_of_two_encoding(weights, form.bits, importance)


FIT = PowerOfTwoFit()
