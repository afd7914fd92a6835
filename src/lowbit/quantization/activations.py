"""Encodings of activations, one per tensor, from a histogram of what arrives and what should have arrived."""

import numpy as np
import numpy.typing as npt

from lowbit.calibrate import Histogram
from lowbit.quantization.plan import WHOLE, Plan
from lowbit.schemes.encoding import Encoding
from lowbit.schemes.fitting import Observed

Array = npt.NDArray[np.float64]
_NOTHING = 1e-30
"""Values below are zeros: float32 has no digits for the parts of a basis of that size."""


def encode_activation(histogram: Histogram, plan: Plan) -> Encoding:
    """Return the encoding of an activation.

    One that never changes gets an encoding in which both zero and it are levels, where the scheme has one.
    """
    form = plan.input_form
    sums, low, high = _within(histogram, plan.percentile)
    if max(-low, high) < _NOTHING:
        low = high = 0.0
    elif histogram.targets[0] == histogram.targets[1]:
        low = high = histogram.targets[0]  # whatever arrives stands for this
    if low == high:
        return form.fit.constant(low, form, plan)
    return form.fit.activations(Observed(sums, low, high), form, plan)


def _within(histogram: Histogram, percentile: float) -> tuple[Array, float, float]:
    """Return the sums of occupied bins, `[4, bins]`, and the range, values beyond the percentile clipped."""
    sums, low, high = histogram.occupied(), histogram.minimum, histogram.maximum
    if percentile == WHOLE:
        return sums, low, high
    count, share = sums[0], percentile / WHOLE
    means, up_to = sums[1] / count, np.cumsum(count) / count.sum()
    low = max(low, float(means[np.searchsorted(up_to, 1 - share, side="right")]))
    high = min(high, float(means[np.searchsorted(up_to, share)]))
    outside = (means < low) | (means > high)
    goals = np.clip(sums[2] / count, low, high)
    clipped = np.stack([count, count * np.clip(means, low, high), count * goals, count * goals * goals])
    return np.where(outside, clipped, sums), low, high
