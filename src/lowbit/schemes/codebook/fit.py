"""Codebooks of weights: weighted k-means of every output, begun at quantiles and at random points.

    assign   q_n = the nearest level of w_n
    update   level_q = sum_{n: q_n = q} h_n w_n / sum_{n: q_n = q} h_n

Each step can only lower sum_n h_n (w_n - level)^2 (Lloyd, Least squares quantization in PCM, 1982); an empty
level stays where it is. Points are sorted once, so that a level's points are an interval of prefix sums.
"""

import numpy as np
import numpy.typing as npt

from lowbit.schemes.codebook.encoding import Codebook, snapped
from lowbit.schemes.fitting import Fit, Settings, qem
from lowbit.schemes.specification import Specification

Array = npt.NDArray[np.float64]

STEPS = 50


class CodebookFit(Fit):
    """Codebooks."""

    def weights(
        self, weights: Array, form: Specification, settings: Settings, importance: Array | None = None
    ) -> Codebook:
        """Return the tables of weights `[o, n]`, one per output."""
        return snapped(centres(weights, 1 << form.bits, importance, settings.restarts, settings.seed))


def centres(
    weights: Array, count: int, importance: Array | None = None, restarts: int = 0, seed: int = 0
) -> Array:
    """Return ascending levels `[o, count]` near the least weighted squared error of weights `[o, n]`."""
    points, random = qem.Points.of(weights, importance), np.random.default_rng(seed)
    best = _settled(points, np.quantile(weights, (np.arange(count) + 0.5) / count, axis=1).T)
    error = points.error(best)
    for _ in range(restarts):
        places = np.sort(random.integers(0, weights.shape[1], (len(weights), count)), axis=1)
        other = _settled(points, np.take_along_axis(points.values, places, axis=1))
        better = points.error(other) < error
        best = np.where(better[:, None], other, best)
        error = points.error(best)
    return best


def _settled(points: qem.Points, levels: Array) -> Array:
    """Return the levels that Lloyd's steps lead to."""
    for _ in range(STEPS):
        mass, moment = points.intervals(qem.midpoints(levels))
        moved = np.where(mass > 0, moment / np.where(mass > 0, mass, 1.0), levels)
        moved = np.maximum.accumulate(moved, axis=1)  # rounding must not put levels out of order
        if np.array_equal(moved, levels):
            break
        levels = moved
    return levels


FIT = CodebookFit()
