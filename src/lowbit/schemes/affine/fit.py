"""Affine encodings: the range of values, all of it or the one of least squared error.

    scale = (high - low) / (2^b - 1),   zero_point = round(-low / scale),   low <= 0 <= high

Symmetric: scale = max|x| / (2^(b-1) - 1), zero_point = 2^(b-1). For the least squared error the range is
shrunk by factors, finely down to a fifth and coarsely on to a ten-thousandth, and the best range of each
channel is kept (the classic clipping search). An asymmetric range is shrunk at both ends, and at one after
the other. What a range clips only grows as it shrinks: where that alone is more than the least error, the
search ends.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from lowbit.schemes.affine.encoding import Affine
from lowbit.schemes.fitting import Fit, Observed, Settings
from lowbit.schemes.fitting.qem import Points
from lowbit.schemes.specification import Specification

Array = npt.NDArray[np.float64]
Range = tuple[Array, Array, Array]
"""Low, high and the error of that range, each `[c]`."""

Measure = Callable[[Array, Array], tuple[Array, Array]]
"""Returns the error of a range, and how much of it is at least due to clipping, each `[c]`."""

_CACHED = 1 << 16
"""Weights that are looked at together, so that what is made of them stays in the cache."""

_FACTORS = np.concatenate([np.linspace(0.98, 0.2, 40), 0.2 * 0.75 ** np.arange(1.0, 27.0)])
_SEARCHES = (((True, True),), ((False, True), (True, False)), ((True, False), (False, True)))
"""Which ends, low and high, are shrunk step by step, from the whole range on."""


class AffineFit(Fit):
    """Uniform grids."""

    def weights(
        self, weights: Array, form: Specification, settings: Settings, importance: Array | None = None
    ) -> Affine:
        """Return the encoding of weights `[o, n]`, per output or for all."""
        if not settings.per_channel:
            importance = importance if importance is None else np.broadcast_to(importance, weights.shape)
            importance = importance if importance is None else importance.reshape(1, -1)
            weights = weights.reshape(1, -1)
        low, high = np.minimum(weights.min(axis=1), 0.0), np.maximum(weights.max(axis=1), 0.0)
        bits, count = form.bits, 1.0 if importance is None else importance

        def measure(low: Array, high: Array) -> tuple[Array, Array]:
            encoding = encoding_of_range(low, high, bits, settings.symmetric)
            scale = encoding.integer_scale()[:, None]
            zero = encoding.zero_point[:, None].astype(np.float64)
            step = max(_CACHED // weights.shape[1], 1)
            parts = [slice(start, start + step) for start in range(0, len(weights), step)]
            found = [_affine_error(weights[p], counts(p), scale[p], zero[p], bits) for p in parts]
            error, clipped = (np.concatenate(sums) for sums in zip(*found, strict=True))
            return error, clipped

        def counts(part: slice) -> Array | float:
            return count if isinstance(count, float) or count.ndim == 1 else count[part]

        return _best_range(low, high, bits, settings.symmetric, settings.clip == "mse", measure)

    def activations(self, observed: Observed, form: Specification, settings: Settings) -> Affine:
        """Return the encoding, asymmetric and one for the tensor."""
        points = Points.binned(observed.sums)
        ends = np.array([min(observed.low, 0.0)]), np.array([max(observed.high, 0.0)])

        def measure(low: Array, high: Array) -> tuple[Array, Array]:
            levels = encoding_of_range(low, high, form.bits, symmetric=False).levels()
            return points.error(levels), points.beyond(levels[:, :1], levels[:, -1:])

        return _best_range(*ends, form.bits, False, settings.clip == "mse", measure)

    def constant(self, value: float, form: Specification, settings: Settings) -> Affine:
        """Return the grid from zero to the value."""
        ends = np.array([min(value, 0.0)]), np.array([max(value, 0.0)])
        return encoding_of_range(*ends, form.bits, symmetric=False)


def _affine_error(
    weights: Array, count: Array | float, scale: Array, zero: Array, bits: int
) -> tuple[Array, Array]:
    """Return the squared error of rows `[o, n]`, and that of what is clipped, each `[o]`."""
    steps = np.rint(weights / scale)
    inside = np.clip(steps, -zero, (1 << bits) - 1 - zero)
    square = count * (scale * inside - weights) ** 2
    return square.sum(axis=1), np.where(steps != inside, square, 0.0).sum(axis=1)


def _best_range(
    low: Array, high: Array, bits: int, symmetric: bool, search: bool, measure: Measure
) -> Affine:
    """Return the encoding of the range within `low [c]` to `high [c]` that has the least error."""
    if not search:
        return encoding_of_range(low, high, bits, symmetric)
    whole = low, high, measure(low, high)[0]
    best = whole
    for steps in _SEARCHES[:1] if symmetric else _SEARCHES:
        found = whole
        for ends in steps:
            found = _shrunk(*found, ends, measure)
        best = _better(best, found)
    return encoding_of_range(best[0], best[1], bits, symmetric)


def _shrunk(low: Array, high: Array, least: Array, ends: tuple[bool, bool], measure: Measure) -> Range:
    """Return the best range with one or both ends shrunk, and its error."""
    best = low, high, least
    for factor in _FACTORS:
        one, other = (
            end * factor if shrinks else end for end, shrinks in zip((low, high), ends, strict=True)
        )
        error, clipped = measure(one, other)
        best = _better(best, (one, other, error))
        if (clipped > best[2]).all():
            break
    return best


def _better(best: Range, other: Range) -> Range:
    better = other[2] < best[2]
    low, high, least = (np.where(better, new, old) for new, old in zip(other, best, strict=True))
    return low, high, least


def encoding_of_range(low: Array, high: Array, bits: int, symmetric: bool) -> Affine:
    """Return the encoding whose levels span `low [c]` to `high [c]`; an empty range gets the scale 1."""
    steps = (1 << bits) - 1
    widest = np.maximum(-low, high) / (steps // 2) if symmetric else (high - low) / steps
    scale = np.where(widest > np.finfo(np.float32).tiny, widest, 1.0).astype(np.float32)
    middle = np.full(len(scale), (steps + 1) // 2)
    zero_point = middle if symmetric else np.clip(np.rint(-low / scale), 0, steps)
    return Affine(bits, scale, zero_point.astype(np.int32))


FIT = AffineFit()
