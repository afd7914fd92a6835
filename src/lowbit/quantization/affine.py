"""Affine encodings: the range of values, all of it or the one of least squared error.

    scale = (high - low) / (2^b - 1),   zero_point = round(-low / scale),   low <= 0 <= high

Symmetric: scale = max|x| / (2^(b-1) - 1), zero_point = 2^(b-1). For the least squared error the range is
shrunk by fixed factors and the best factor of each channel is kept (the classic clipping search).
"""

import numpy as np
import numpy.typing as npt

from lowbit.quantization.plan import Plan
from lowbit.quantization.qem import Points
from lowbit.schemes import Affine

Array = npt.NDArray[np.float64]
_FACTORS = np.linspace(1.0, 0.2, 41)


def weight_encoding(weights: Array, plan: Plan, importance: Array | None = None) -> Affine:
    """Return the encoding of weights `[o, n]`, per output or for all.

    Args:
        weights: the values.
        plan: bits, symmetry, channels and how to clip.
        importance: how much each column's error counts, `[n]`.
    """
    if not plan.per_channel:
        importance = None if importance is None else np.broadcast_to(importance, weights.shape).reshape(1, -1)
        weights = weights.reshape(1, -1)
    low, high = np.minimum(weights.min(axis=1), 0.0), np.maximum(weights.max(axis=1), 0.0)
    bits, count = plan.weight_bits, 1.0 if importance is None else importance

    def error(encoding: Affine) -> Array:
        scale, zero = encoding.integer_scale()[:, None], encoding.zero_point[:, None]
        level = scale * (np.clip(np.rint(weights / scale) + zero, 0, (1 << bits) - 1) - zero)
        return np.asarray((count * (level - weights) ** 2).sum(axis=1))

    candidates = [encoding_of_range(f * low, f * high, bits, plan.symmetric) for f in _factors(plan)]
    best = np.argmin([error(candidate) for candidate in candidates], axis=0)
    rows = np.arange(len(low))
    scale = np.stack([candidate.scale for candidate in candidates])[best, rows]
    zero_point = np.stack([candidate.zero_point for candidate in candidates])[best, rows]
    return Affine(bits, scale, zero_point)


def activation_encoding(points: Points, low: float, high: float, plan: Plan) -> Affine:
    """Return the encoding, asymmetric and one for the tensor, of values between `low` and `high`."""
    candidates = [
        encoding_of_range(
            np.array([f * min(low, 0.0)]), np.array([f * max(high, 0.0)]), plan.activation_bits, False
        )
        for f in _factors(plan)
    ]
    return min(candidates, key=lambda candidate: float(points.error(candidate.levels())[0]))


def encoding_of_range(low: Array, high: Array, bits: int, symmetric: bool) -> Affine:
    """Return the encoding whose levels span `low [c]` to `high [c]`; an empty range gets the scale 1."""
    steps = (1 << bits) - 1
    widest = np.maximum(-low, high) / (steps // 2) if symmetric else (high - low) / steps
    scale = np.where(widest > np.finfo(np.float32).tiny, widest, 1.0).astype(np.float32)
    middle = np.full(len(scale), (steps + 1) // 2)
    zero_point = middle if symmetric else np.clip(np.rint(-low / scale), 0, steps)
    return Affine(bits, scale, zero_point.astype(np.int32))


def _factors(plan: Plan) -> Array:
    return _FACTORS if plan.clip == "mse" else _FACTORS[:1]
