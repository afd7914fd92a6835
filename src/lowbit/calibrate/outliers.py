"""Which samples are like the others: lone outliers must not decide what everybody's codes mean.

One wrong value, a saturated pixel or a broken record, makes squared errors that outweigh hundreds of good
samples, in ranges and in covariances alike. The spread of a sample is the largest distance of its values
from what is usual; a sample is left out where its spread is more than `TIMES` that of nearly all samples:

    spread_i > TIMES q,   q the quantile `SHARE` of all spreads, q > 0

so never more than a fiftieth of them. What is merely rare stays: values of zero nearly everywhere are no
measure for the others (q = 0).
"""

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]

TIMES = 8.0
SHARE = 0.98
LEAST = 16
"""Of fewer samples none is left out: they do not say what is usual."""


class RowStatistics:
    """Least, largest and mean value of every sample, seen batch by batch."""

    def __init__(self) -> None:
        self._rows: list[npt.NDArray[np.float64]] = []

    def update(self, part: npt.NDArray[np.generic]) -> None:
        """Add a batch of one value, `[n, ...]`."""
        rows = np.asarray(part).reshape(len(part), -1)
        with np.errstate(invalid="ignore"):  # what is not finite is for others to refuse
            means = rows.mean(axis=1, dtype=np.float64) if rows.size else np.zeros(len(rows))
        found = rows.min(axis=1, initial=np.inf), rows.max(axis=1, initial=-np.inf), means
        self._rows.append(np.stack(found).astype(np.float64))

    def ordinary(self) -> list[Mask]:
        """Return which samples are like the others, `[n]` of every batch; all, where some are not finite."""
        usual = _ordinary(*np.concatenate(self._rows, axis=1))
        return np.split(usual, np.cumsum([rows.shape[1] for rows in self._rows])[:-1])


def ordinary_samples(samples: npt.NDArray[np.generic]) -> Mask:
    """Return which samples `[n, ...]` are like the others."""
    seen = RowStatistics()
    seen.update(samples)
    (usual,) = seen.ordinary()
    return usual


def _ordinary(
    low: npt.NDArray[np.float64], high: npt.NDArray[np.float64], mean: npt.NDArray[np.float64]
) -> Mask:
    if len(mean) < LEAST or not np.isfinite([low, high, mean]).all():
        return np.ones(len(mean), bool)
    centre = np.median(mean)
    spread = np.maximum(high - centre, centre - low)
    limit = TIMES * np.quantile(spread, SHARE, method="lower")
    return np.asarray((spread <= limit) | (limit <= 0))
