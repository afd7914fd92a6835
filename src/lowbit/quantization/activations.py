"""Encodings of activations, one per tensor, from a histogram of what arrives and what should have arrived.

A learned basis is deployed as scale * small integers. With at most 4 bits and sum m_i <= 21 there are few
integer bases, so all of them are tried: for each, scale and offset come from least squares in turn with the
codes, and the best one stays. Nothing is lost by snapping afterwards.
"""

from itertools import combinations_with_replacement
from math import gcd

import numpy as np
import numpy.typing as npt

from lowbit.calibrate import Histogram
from lowbit.quantization import qem
from lowbit.quantization.affine import activation_encoding, encoding_of_range
from lowbit.quantization.plan import WHOLE, Plan
from lowbit.schemes import ACTIVATION_BOUND, Affine, LearnedBasis

Array = npt.NDArray[np.float64]
STEPS = 20
_NOTHING = 1e-30
"""Values below are zeros: float32 has no digits for the parts of a basis of that size."""


def encode_activation(histogram: Histogram, plan: Plan) -> LearnedBasis | Affine:
    """Return the encoding of an activation.

    One that never changes gets a uniform grid from zero to it, so that both are levels.
    """
    sums, low, high = _within(histogram, plan.percentile)
    if max(-low, high) < _NOTHING:
        low = high = 0.0
    elif histogram.targets[0] == histogram.targets[1]:
        low = high = histogram.targets[0]  # whatever arrives stands for this
    if low == high:
        ends = np.array([min(low, 0.0)]), np.array([max(high, 0.0)])
        constant = encoding_of_range(*ends, plan.activation_bits, symmetric=False)
        return constant if plan.has_affine_input else constant.to_learned_basis()
    if plan.has_affine_input:
        return activation_encoding(qem.Points.binned(sums), low, high, plan)
    return _learned(sums, plan)


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


def _learned(sums: Array, plan: Plan) -> LearnedBasis:
    """Return the learned basis of binned values, which are brought to a usual size first, exactly."""
    exponent = -int(np.frexp(np.abs(sums[1] / sums[0]).max())[1])
    points = qem.Points.binned(np.ldexp(sums, np.array([[0], [exponent], [exponent], [2 * exponent]])))
    update: qem.Update = "gradient" if plan.update == "gradient" else "least-squares"
    offset, bits = plan.uses_activation_offset, plan.activation_bits
    free = qem.fit(points, bits, offset=offset, update=update, restarts=2 * plan.restarts, seed=plan.seed)
    found = _integer_basis(points, free, offset)
    return LearnedBasis(np.ldexp(found.basis, -exponent), np.ldexp(found.offset, -exponent), found.top)


def _integer_basis(points: qem.Points, free: qem.Fit, offset: bool) -> LearnedBasis:
    """Return the best basis of scale * integers, started from the free one."""
    integers = _integer_bases(free.basis.shape[1])
    ascending = np.sort(integers @ qem.signs(integers.shape[1]).T, axis=1)
    points = points.repeated(len(integers))
    scale = (integers @ free.basis[0]) / (integers * integers).sum(axis=1)
    shift = np.full(len(integers), free.offset[0])
    for _ in range(STEPS):
        mass, moment = points.intervals(qem.midpoints(scale[:, None] * ascending + shift[:, None]))
        scale, shift = _line(ascending, mass, moment, scale, offset)
    best = int(np.argmin(points.error(scale[:, None] * ascending + shift[:, None])))
    basis = scale[best] * integers[best]
    return LearnedBasis(basis[None], shift[best : best + 1], integers[best, -1:].astype(np.int32))


def _integer_bases(bits: int) -> Array:
    """Return all ascending integer bases within the bound, without common divisor, `[c, bits]`."""
    candidates = combinations_with_replacement(range(1, ACTIVATION_BOUND + 1), bits)
    return np.array([m for m in candidates if sum(m) <= ACTIVATION_BOUND and gcd(*m) == 1], np.float64)


def _line(integers: Array, mass: Array, moment: Array, scale: Array, offset: bool) -> tuple[Array, Array]:
    """Return scale and shift `[c]` of the line from integers to targets; a flat row keeps its scale."""
    total, first = mass.sum(axis=1), (mass * integers).sum(axis=1)
    second, goal = (mass * integers**2).sum(axis=1), (moment * integers).sum(axis=1)
    if not offset:
        usable = (goal > 0) & (second > 0)
        return np.where(usable, goal / np.where(usable, second, 1.0), scale), np.zeros(len(scale))
    spread = total * second - first**2
    rise = total * goal - first * moment.sum(axis=1)
    usable = (spread > 1e-9 * total * second) & (rise > 0)
    scale = np.where(usable, rise / np.where(usable, spread, 1.0), scale)
    return scale, (moment.sum(axis=1) - scale * first) / total
