"""Which samples are like the others: lone outliers must not decide what everybody's codes mean.

One wrong value, a saturated pixel or a broken record, makes squared errors that outweigh hundreds of good
samples, in ranges and in covariances alike. The spread of a sample is the largest distance of its values
from what is usual; a sample is left out where its spread is more than `TIMES` that of nearly all samples:

    spread_i > TIMES q,   q the quantile `SHARE` of all spreads, q > 0

so never more than a fiftieth of them. What is merely rare stays: values of zero nearly everywhere are no
measure for the others (q = 0).
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]

TIMES = 8.0
SHARE = 0.98
LEAST = 16
"""Of fewer samples none is left out: they do not say what is usual."""


def ordinary_samples(parts: Iterable[npt.NDArray[np.generic]]) -> list[Mask]:
    """Return which samples are like the others, a mask `[n]` for each batch; all, where some are not finite.

    Args:
        parts: the batches of one value, `[n, ...]`.
    """
    lows, highs, means = [], [], []
    for part in parts:
        rows = np.asarray(part).reshape(len(part), -1)
        lows.append(rows.min(axis=1, initial=np.inf))
        highs.append(rows.max(axis=1, initial=-np.inf))
        with np.errstate(invalid="ignore"):  # what is not finite is for others to refuse
            means.append(rows.mean(axis=1, dtype=np.float64) if rows.size else np.zeros(len(rows)))
    low, high, mean = (np.concatenate(each).astype(np.float64) for each in (lows, highs, means))
    usual = _ordinary(low, high, mean)
    return np.split(usual, np.cumsum([len(part) for part in lows])[:-1])


def _ordinary(
    low: npt.NDArray[np.float64], high: npt.NDArray[np.float64], mean: npt.NDArray[np.float64]
) -> Mask:
    if len(mean) < LEAST or not np.isfinite([low, high, mean]).all():
        return np.ones(len(mean), bool)
    centre = np.median(mean)
    spread = np.maximum(high - centre, centre - low)
    limit = TIMES * np.quantile(spread, SHARE, method="lower")
    return np.asarray((spread <= limit) | (limit <= 0))
