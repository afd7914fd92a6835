"""Thresholds that lie evenly, as a multiplication: what a uniform grid leaves of them.

    #{sum > T} = clip((sum * multiplier + addend) >> shift, 0, steps)

A threshold T of rank v wants ``T m + a < (v + 1) 2^shift <= (T + 1) m + a``. Multipliers near the slope of
the line that leaves most room between all thresholds and their successors are tried for each row, and an
addend taken between all bounds. Both sides rise with the sum, so holding at every threshold and at both ends
is the proof. Products have 32 bits, or 64 where a line needs as many.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]

_REACH, _WIDE = 31, 60  # bits of all products
_NEAR = np.arange(-2, 3)
_LEAST_STEPS = 3
_FEW = 8  # rows that are tried first: most thresholds that do not lie evenly fail there
_HALVINGS = 64


@dataclass(frozen=True, eq=False)
class Even:
    """``clip((sum * multiplier + addend) >> shift, 0, steps)``: ``[rows]`` each; the shift is of all.

    Multipliers have 31 bits. Products and addends have, too, unless they are `wide`: then 60.
    """

    multiplier: Integers
    addend: Integers
    shift: int
    wide: bool = False

    def rank(self, sums: Integers, steps: int) -> Integers:
        """Return the ranks of sums ``[rows, n]``."""
        shifted = (sums * self.multiplier[:, None] + self.addend[:, None]) >> self.shift
        return np.asarray(np.clip(shifted, 0, steps), np.int64)


def even_of(thresholds: Integers, bound: int, *, wide: bool = False) -> Even | None:
    """Return proved multipliers of rising thresholds ``[rows, steps]``, or None where there are none.

    Args:
        thresholds: one that no sum exceeds is `bound` or more, one that all do is below ``-bound``.
        bound: the largest magnitude of a sum.
        wide: whether products may have more than 31 bits.
    """
    rows, steps = thresholds.shape
    if steps < _LEAST_STEPS:
        return None
    if rows > _FEW and even_of(thresholds[:: -(-rows // _FEW)], bound, wide=wide) is None:
        return None
    clipped = np.clip(thresholds, -bound - 1, bound)
    distance = _distance(clipped, bound)
    reach = _WIDE if wide else _REACH
    most = min(reach - steps.bit_length() - 1, _REACH - 1 + int(np.log2(distance.min())))
    for shift in range(most, most - 4 if wide else 3, -1):
        found = _fitted(clipped, distance, shift, bound, reach)
        if found is not None:
            return found
    return None


def _distance(thresholds: Integers, bound: int) -> npt.NDArray[np.float64]:
    """Return by how much thresholds are apart on the line that leaves most room, ``[rows]``, above zero.

    The room of a slope is concave, so it is looked for between ends that come nearer.
    """
    at, numbers = np.arange(thresholds.shape[1]), thresholds.astype(np.float64)
    above = np.where(thresholds < bound, numbers + 1, np.inf)
    below = np.where(thresholds >= -bound, numbers, -np.inf)

    def room(slope: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        line = slope[:, None] * at
        return np.asarray((above - line).min(axis=1) - (below - line).max(axis=1))

    least, most = np.full(len(numbers), 2.0**-16), np.full(len(numbers), 2.0 * bound + 2)
    for _ in range(_HALVINGS):
        one, other = least + (most - least) / 3, most - (most - least) / 3
        rises = room(one) <= room(other)  # of one rank for all sums there is no end of room
        least, most = np.where(rises, one, least), np.where(rises, most, other)
    return np.asarray((least + most) / 2, np.float64)


def _fitted(
    thresholds: Integers, distance: npt.NDArray[np.float64], shift: int, bound: int, reach: int
) -> Even | None:
    steps = thresholds.shape[1]
    multiplier = np.rint(2.0**shift / distance).astype(np.int64)[:, None] + _NEAR
    if multiplier.max() >= 1 << _REACH or (multiplier.min(axis=1) * (bound + 1)).max() >= 1 << reach:
        return None
    edge = (np.arange(steps, dtype=np.int64) + 1)[None, None] << shift
    clipped = thresholds[:, None, :]
    products = clipped * multiplier[:, :, None]
    far = np.int64(1) << 60
    most = np.where(clipped >= -bound, edge - 1 - products, far).min(axis=2)
    least = np.where(clipped < bound, edge - products - multiplier[:, :, None], -far).max(axis=2)
    one_rank = np.int64(1) << shift  # where there is no bound on one side
    least, most = (
        np.where(least == -far, most - one_rank, least),
        np.where(most == far, least + one_rank, most),
    )
    fits = (least <= most) & (np.abs(multiplier) * (bound + 1) + np.abs(least) + np.abs(most) < 1 << reach)
    if not fits.any(axis=1).all():
        return None
    best, at = np.where(fits, most - least, -1).argmax(axis=1), np.arange(len(thresholds))
    addend = (least[at, best] + most[at, best]) // 2
    found = Even(multiplier[at, best], addend, shift, reach > _REACH)
    return found if _holds(found, thresholds, bound, reach) else None


def _holds(found: Even, thresholds: Integers, bound: int, reach: int) -> bool:
    ends = np.array([[-bound, bound]], np.int64).repeat(len(thresholds), axis=0)
    sums = np.clip(np.concatenate([thresholds, thresholds + 1, ends], axis=1), -bound, bound)
    wanted = np.stack([np.searchsorted(row, one) for row, one in zip(thresholds, sums, strict=True)])
    largest = np.abs(sums * found.multiplier[:, None] + found.addend[:, None]).max()
    fits = int(largest) < 1 << reach and int(largest) >> found.shift < 1 << _REACH
    return fits and np.array_equal(found.rank(sums, thresholds.shape[1]), wanted)
