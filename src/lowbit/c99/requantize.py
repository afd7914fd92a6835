"""Rounding in integers that is proved equal to the engine's rounding in float64.

An output is ``clip(round((scale * acc + bias) / step), low, high)`` for whole numbers `acc` up to a bound. It
rises with `acc`, so it is known by its steps: the largest `acc` of each level but the last. They are found in
the engine's own float64. A multiplier, an addend and a shift then say the same,

    clip((acc * multiplier + addend) >> shift, low, high)

which rises too. It is the same function when it is the same on both sides of every step, and at both ends:
that is looked at for all steps of every output, and is the proof. Where no multiplier of 31 bits passes, the
steps themselves are compared with.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]

MULTIPLIER_BITS = 31
PRODUCT_BITS = 62
_SHIFTS = 40


@dataclass(frozen=True, eq=False)
class Rounding:
    """What the engine does with a sum.

    Attributes:
        scale, bias: ``[o]``; of a convolution ``bias`` may be ``[regions * o]``.
        step: that is rounded to.
        rule: ``round_even``, ``round_up`` (half up) or ``round_down``.
        low, high: the least and largest level.
    """

    scale: Reals
    bias: Reals
    step: float
    rule: str
    low: int
    high: int

    def level(self, sums: Integers, channel: npt.NDArray[np.intp]) -> Integers:
        """Return the level of sums, of outputs by their numbers, in the order of the engine's operations."""
        real = self.scale[channel % len(self.scale)] * sums.astype(np.float64)
        if self.bias.size:
            real = real + self.bias[channel]
        if self.step != 1:
            real = real / self.step
        if self.rule == "round_even":
            rounded = np.rint(real)
        else:
            rounded = np.floor(real + (0.5 if self.rule == "round_up" else 0.0))
        return np.clip(rounded, self.low, self.high).astype(np.int64)

    def steps(self, bound: int) -> Integers:
        """Return the largest sum of each level but the last, int64 ``[outputs, high - low]``.

        A level that no sum up to the bound stays below has ``-bound - 1``, one that none goes beyond `bound`.
        """
        outputs, levels = max(len(self.scale), len(self.bias)), self.high - self.low
        below = np.full((outputs, levels), -bound - 1, np.int64)
        above = np.full((outputs, levels), bound, np.int64)
        channel = np.broadcast_to(np.arange(outputs)[:, None], below.shape)
        wanted = np.broadcast_to(np.arange(self.low, self.high)[None], below.shape)
        while (below < above).any():
            middle = below + (above - below + 1) // 2
            stays = self.level(middle, channel) <= wanted
            below, above = np.where(stays, middle, below), np.where(stays, above, middle - 1)
        return below


@dataclass(frozen=True, eq=False)
class Multiplier:
    """``clip((acc * multiplier + addend) >> shift, low, high)``: ``[o]`` each; the shift is of all."""

    multiplier: Integers
    addend: Integers
    shift: int

    def level(self, sums: Integers, channel: npt.NDArray[np.intp], low: int, high: int) -> Integers:
        """Return the level of sums, of outputs by their numbers."""
        product = sums * self.multiplier[channel % len(self.multiplier)] + self.addend[channel]
        return np.asarray(np.clip(product >> self.shift, low, high), np.int64)


def differences(found: Multiplier, rounding: Rounding, steps: Integers, bound: int) -> int:
    """Return at how many sums beside steps and ends a multiplier differs from the engine: 0 is a proof.

    Args:
        found: the multiplier.
        rounding: what the engine does.
        steps: of `Rounding.steps`.
        bound: the largest magnitude of a sum.
    """
    outputs = len(steps)
    ends = np.array([[-bound, bound]], np.int64).repeat(outputs, axis=0)
    sums = np.clip(np.concatenate([steps, steps + 1, ends], axis=1), -bound, bound)
    channel = np.broadcast_to(np.arange(outputs)[:, None], sums.shape)
    wanted = rounding.level(sums, channel)
    return int((found.level(sums, channel, rounding.low, rounding.high) != wanted).sum())


def multiplier_of(rounding: Rounding, bound: int) -> tuple[Multiplier | None, Integers]:
    """Return a proved multiplier, or None where there is none, and the steps that it was compared at."""
    steps = rounding.steps(bound)
    factor = rounding.scale / rounding.step
    if (rounding.scale <= 0).any() or not np.isfinite(factor).all():
        return None, steps
    for shift in range(_SHIFTS, 0, -1):
        multiplier = np.rint(factor * 2.0**shift).astype(np.int64)
        reach = (bound + 1) * int(multiplier.max())
        if multiplier.max() >= 1 << MULTIPLIER_BITS or reach >= 1 << PRODUCT_BITS:
            continue
        addend = _addend(multiplier, rounding, steps, shift, bound)
        if addend is None:
            break  # fewer bits say no more
        found = Multiplier(multiplier, addend, shift)
        if reach + int(np.abs(addend).max()) < 1 << PRODUCT_BITS and not differences(
            found, rounding, steps, bound
        ):
            return found, steps
        break
    return None, steps


def _addend(
    multiplier: Integers, rounding: Rounding, steps: Integers, shift: int, bound: int
) -> Integers | None:
    """Return for every output an addend with which all its steps come out, or None where one has none.

    A step T of level v wants ``T m + a < (v + 1) 2^shift <= (T + 1) m + a``.
    """
    outputs = len(steps)
    factors = multiplier[np.arange(outputs) % len(multiplier)][:, None]
    edge = (np.arange(rounding.low, rounding.high, dtype=np.int64) + 1)[None] << shift
    far = np.int64(1) << PRODUCT_BITS
    most = np.where(steps >= -bound, edge - 1 - steps * factors, far).min(axis=1)
    least = np.where(steps < bound, edge - (steps + 1) * factors, -far).max(axis=1)
    if (least > most).any():
        return None
    if least.max() <= most.min():  # one for all
        return np.full(outputs, least.max() + (most.min() - least.max()) // 2)
    return np.asarray(least + (most - least) // 2)
