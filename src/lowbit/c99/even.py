"""Thresholds that lie evenly, as a multiplication of 32 bits: what a uniform grid leaves of them.

    #{sum > T} = clip((sum * multiplier + addend) >> shift, 0, steps)

A threshold T of rank v wants ``T m + a < (v + 1) 2^shift <= (T + 1) m + a``. Multipliers near the mean
distance of the thresholds are tried for each row, and an addend taken between all bounds. Both sides rise
with the sum, so holding at every threshold and at both ends is the proof.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]

_REACH = 31  # bits of all products
_TRIED = 65
_LEAST_STEPS = 3
_FEW = 8  # rows that are tried first: most thresholds that do not lie evenly fail there


@dataclass(frozen=True, eq=False)
class Even:
    """``clip((sum * multiplier + addend) >> shift, 0, steps)``: ``[rows]`` each; the shift is of all."""

    multiplier: Integers
    addend: Integers
    shift: int

    def rank(self, sums: Integers, steps: int) -> Integers:
        """Return the ranks of sums ``[rows, n]``."""
        shifted = (sums * self.multiplier[:, None] + self.addend[:, None]) >> self.shift
        return np.asarray(np.clip(shifted, 0, steps), np.int64)


def even_of(thresholds: Integers, bound: int) -> Even | None:
    """Return proved multipliers of rising thresholds ``[rows, steps]``, or None where there are none.

    Args:
        thresholds: one that no sum exceeds is `bound` or more, one that all do is below ``-bound``.
        bound: the largest magnitude of a sum.
    """
    rows, steps = thresholds.shape
    if steps < _LEAST_STEPS:
        return None
    inside = (thresholds >= -bound) & (thresholds < bound)
    if (inside.sum(axis=1) < 2).any():
        return None
    if rows > _FEW and even_of(thresholds[:: -(-rows // _FEW)], bound) is None:
        return None
    first, last = inside.argmax(axis=1), steps - 1 - inside[:, ::-1].argmax(axis=1)
    at = np.arange(rows)
    length = (thresholds[at, last] - thresholds[at, first]).astype(np.float64)
    count = np.maximum(last - first, 1)
    near = np.linspace(-1, 1, _TRIED)[None]
    distance = np.maximum(length[:, None] + near, 0.5) / count[:, None]
    for shift in range(_REACH - steps.bit_length() - 1, 3, -1):
        found = _fitted(thresholds, distance, shift, bound)
        if found is not None:
            return found
    return None


def _fitted(thresholds: Integers, distance: npt.NDArray[np.float64], shift: int, bound: int) -> Even | None:
    steps = thresholds.shape[1]
    multiplier = np.rint(2.0**shift / distance).astype(np.int64)
    if (multiplier.min(axis=1) * (bound + 1)).max() >= 1 << _REACH:
        return None
    edge = (np.arange(steps, dtype=np.int64) + 1)[None, None] << shift
    clipped = np.clip(thresholds, -bound - 1, bound)[:, None, :]
    products = clipped * multiplier[:, :, None]
    far = np.int64(1) << 60
    most = np.where(clipped >= -bound, edge - 1 - products, far).min(axis=2)
    least = np.where(clipped < bound, edge - products - multiplier[:, :, None], -far).max(axis=2)
    fits = (least <= most) & (np.abs(multiplier) * (bound + 1) + np.abs(least) + np.abs(most) < 1 << _REACH)
    if not fits.any(axis=1).all():
        return None
    best, at = np.where(fits, most - least, -1).argmax(axis=1), np.arange(len(thresholds))
    found = Even(multiplier[at, best], (least[at, best] + most[at, best]) // 2, shift)
    return found if _holds(found, thresholds, bound) else None


def _holds(found: Even, thresholds: Integers, bound: int) -> bool:
    ends = np.array([[-bound, bound]], np.int64).repeat(len(thresholds), axis=0)
    sums = np.clip(np.concatenate([thresholds, thresholds + 1, ends], axis=1), -bound, bound)
    wanted = (sums[:, :, None] > thresholds[:, None, :]).sum(axis=2)
    reach = np.abs(sums * found.multiplier[:, None] + found.addend[:, None]).max()
    return int(reach) < 1 << _REACH and np.array_equal(found.rank(sums, thresholds.shape[1]), wanted)
