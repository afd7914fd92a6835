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
from lowbit.errors import NumericError
from lowbit.quantization import qem
from lowbit.quantization.affine import activation_encoding
from lowbit.quantization.plan import Plan
from lowbit.schemes import ACTIVATION_BOUND, Affine, LearnedBasis

Array = npt.NDArray[np.float64]
STEPS = 20


def encode_activation(histogram: Histogram, plan: Plan, where: str) -> LearnedBasis | Affine:
    """Return the encoding of an activation.

    Raises:
        NumericError: all values are equal, so there is nothing to code.
    """
    if histogram.minimum == histogram.maximum:
        raise NumericError(
            "an activation is the same for all samples",
            where=where,
            expected="values that differ",
            found=f"{histogram.minimum} everywhere",
            remedy="Give other calibration samples, or remove the layer.",
        )
    points = qem.Points.binned(histogram.occupied())
    if plan.has_affine_input:
        return activation_encoding(points, histogram.minimum, histogram.maximum, plan)
    update: qem.Update = "gradient" if plan.update == "gradient" else "least-squares"
    offset, bits = plan.uses_activation_offset, plan.activation_bits
    free = qem.fit(points, bits, offset=offset, update=update, restarts=2 * plan.restarts, seed=plan.seed)
    return _integer_basis(points, free, offset)


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
