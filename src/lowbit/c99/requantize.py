"""Rounding in integers that is proved equal to the engine's rounding in float64.

An output is ``clip(round((scale * acc + bias) / step), low, high)`` for whole numbers `acc` up to a bound. It
rises with `acc`, so it is known by its steps: the largest `acc` of each level but the last. They are found in
the engine's own float64. A multiplier, an addend and a shift then say the same,

    clip((acc * multiplier + addend) >> shift, low, high)

which rises too. It is the same function when it is the same on both sides of every step, and at both ends:
that is looked at for all steps of every output, and is the proof. Where no multiplier of 31 bits passes, a
wider one is tried, then one of two words, and then the steps themselves are compared with.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor, frexp

import numpy as np
import numpy.typing as npt

from lowbit.ir.deployed import largest_where

Integers = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]

NARROW = 31
PRODUCT = 61
"""Bits of a multiplier at first, and of all products."""

COARSE = (16, 24)
"""Bits that all addends may be multiples of, so that what is left of them has 32 bits."""

_TOGETHER = 1 << 20  # steps that are looked at in one go


@dataclass(frozen=True, eq=False)
class Rounding:
    """What the engine does with a sum.

    Attributes:
        scale, bias: ``[o]``; of a convolution ``bias`` may be ``[regions * o]``.
        step: that is rounded to.
        rule: ``round_even``, ``round_up`` (half up) or ``round_down``.
        low, high: the least and largest level.
        offset: what is added to sums first, as many as there are biases, or none.
    """

    scale: Reals
    bias: Reals
    step: float
    rule: str
    low: int
    high: int
    offset: Integers = field(default_factory=lambda: np.zeros(0, np.int64))

    def level(self, sums: Integers, channel: npt.NDArray[np.intp]) -> Integers:
        """Return the level of sums, of outputs by their numbers, in the order of the engine's operations."""
        if self.offset.size:
            sums = sums + self.offset[channel]
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

    @property
    def outputs(self) -> int:
        """How many outputs there are, of a convolution regions times outputs."""
        return max(len(self.scale), len(self.bias), len(self.offset))

    def blocks(self) -> Iterator[npt.NDArray[np.intp]]:
        """Yield the numbers of all outputs, as many at a time as their steps take moderate memory."""
        count = max(_TOGETHER // max(self.high - self.low, 1), 1)
        for first in range(0, self.outputs, count):
            yield np.arange(first, min(first + count, self.outputs))

    def steps(self, bound: int, outputs: npt.NDArray[np.intp]) -> Integers:
        """Return the largest sum of each level but the last, int64 ``[outputs, high - low]``.

        A level that no sum up to the bound stays below has ``-bound - 1``, one that none goes beyond `bound`.

        Args:
            bound: the largest magnitude of a sum.
            outputs: which ones.
        """
        wanted = np.broadcast_to(np.arange(self.low, self.high), (len(outputs), self.high - self.low))
        channel = np.broadcast_to(outputs[:, None], wanted.shape)
        bias = self.bias[channel] if self.bias.size else 0.0
        edge = wanted + (1.0 if self.rule == "round_down" else 0.5)
        guess = np.floor((edge * self.step - bias) / self.scale[channel % len(self.scale)])
        if self.offset.size:
            guess = guess - self.offset[channel]
        near = np.clip(guess, -bound - 1, bound).astype(np.int64)
        below, above = np.maximum(near - 2, -bound - 1), np.minimum(near + 2, bound)
        below = np.where(self.level(below, channel) > wanted, -bound - 1, below)
        above = np.where(self.level(above + 1, channel) <= wanted, bound, above)
        return largest_where(lambda sums: self.level(sums, channel) <= wanted, below, above)

    def all_steps(self, bound: int) -> Integers:
        """Return the steps of all outputs."""
        return np.concatenate([self.steps(bound, outputs) for outputs in self.blocks()])


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


@dataclass(frozen=True, eq=False)
class LongMultiplier:
    """Of two words each, for 65,536 levels: they need more bits than a product of 64 has room for.

    clip((acc * high + addend_high + ((acc * low + addend_low) >> 32)) >> shift, low, high)

    `high` and `low` are the words of a multiplier, ``[o]``, those of the addend ``[o]`` or ``[regions * o]``.
    """

    high: Integers
    low: Integers
    addend_high: Integers
    addend_low: Integers
    shift: int

    def level(self, sums: Integers, channel: npt.NDArray[np.intp], low: int, high: int) -> Integers:
        """Return the level of sums, of outputs by their numbers."""
        output = channel % len(self.high)
        below = (sums * self.low[output] + self.addend_low[channel]) >> 32
        above = sums * self.high[output] + self.addend_high[channel] + below
        return np.asarray(np.clip(above >> self.shift, low, high), np.int64)


def differences(
    found: Multiplier | LongMultiplier,
    rounding: Rounding,
    steps: Integers,
    outputs: npt.NDArray[np.intp],
    bound: int,
) -> int:
    """Return at how many sums beside steps and ends a multiplier differs from the engine: 0 is a proof.

    Args:
        found: the multiplier.
        rounding: what the engine does.
        steps: of `Rounding.steps`.
        outputs: whose steps they are.
        bound: the largest magnitude of a sum.
    """
    ends = np.array([[-bound, bound]], np.int64).repeat(len(outputs), axis=0)
    sums = np.clip(np.concatenate([steps, steps + 1, ends], axis=1), -bound, bound)
    channel = np.broadcast_to(outputs[:, None], sums.shape)
    wanted = rounding.level(sums, channel)
    return int((found.level(sums, channel, rounding.low, rounding.high) != wanted).sum())


def multiplier_of(rounding: Rounding, bound: int) -> Multiplier | LongMultiplier | None:
    """Return a proved multiplier, as narrow as it can be, or None where there is none."""
    factor = rounding.scale / rounding.step
    if (rounding.scale <= 0).any() or not np.isfinite(factor).all() or not factor.max() > 0:
        return None
    widest = PRODUCT - (bound + 1).bit_length()
    for bits in (min(NARROW, widest), widest):
        found = _proved(rounding, factor, bits, bound)
        if found is not None:
            return found
    return _proved_long(rounding, factor, bound) if bound < 1 << 31 else None


def _proved_long(rounding: Rounding, factor: Reals, bound: int) -> LongMultiplier | None:
    """Return a proved multiplier of two words, or None: of the exact line, rounded once."""
    shift = min(60 - frexp(float(factor.max()))[1], 92)
    if shift < 32:
        return None
    step, half = Fraction(rounding.step), Fraction(0 if rounding.rule == "round_down" else 1, 2)
    lines = [Fraction(float(scale)) / step for scale in rounding.scale]
    multiplier = [round(line * 2**shift) for line in lines]
    addend = []
    for output in range(rounding.outputs):
        bias = Fraction(float(rounding.bias[output])) / step if rounding.bias.size else Fraction(0)
        offset = int(rounding.offset[output]) if rounding.offset.size else 0
        addend.append(floor((bias + half + offset * lines[output % len(lines)]) * 2**shift))
    if max(map(abs, addend)) >> 32 >= 1 << PRODUCT:
        return None
    words = [np.array([one >> 32 for one in each], np.int64) for each in (multiplier, addend)]
    rests = [np.array([one & 0xFFFFFFFF for one in each], np.int64) for each in (multiplier, addend)]
    found = LongMultiplier(words[0], rests[0], words[1], rests[1], shift - 32)
    wrong = (
        differences(found, rounding, rounding.steps(bound, outputs), outputs, bound)
        for outputs in rounding.blocks()
    )
    return None if any(wrong) else found


def _proved(rounding: Rounding, factor: Reals, bits: int, bound: int) -> Multiplier | None:
    """Return a proved multiplier of so many bits, or None."""
    shift = min(bits - frexp(float(factor.max()))[1], PRODUCT - 1)
    if shift < 1 or (max(abs(rounding.low), abs(rounding.high)) + 1) << shift >= 1 << PRODUCT:
        return None
    multiplier = np.rint(factor * 2.0**shift).astype(np.int64)
    if multiplier.min() < 1 or multiplier.max() >= 1 << bits:
        return None
    between = [
        _addends(
            rounding.steps(bound, outputs), multiplier[outputs % len(multiplier)], rounding, shift, bound
        )
        for outputs in rounding.blocks()
    ]
    least, most = (np.concatenate(each) for each in zip(*between, strict=True))
    if (least > most).any():
        return None
    bias = rounding.bias / rounding.step if rounding.bias.size else np.zeros(len(least))
    if rounding.offset.size:
        bias = bias + rounding.offset * np.resize(factor, len(least))
    exact = np.rint((bias + (0.0 if rounding.rule == "round_down" else 0.5)) * 2.0**shift)
    if least.max() <= most.min():  # one for all
        least, most = np.full_like(least, least.max()), np.full_like(most, most.min())
        exact = np.full_like(exact, exact[0])
    near = np.clip(exact, -(2.0**PRODUCT), 2.0**PRODUCT).astype(np.int64)  # a large bias saturates
    addend = _coarsest(np.clip(near, least, most), least, most)
    found = Multiplier(multiplier, addend, shift)
    if np.abs(addend).max() >= 1 << PRODUCT:
        return None
    wrong = (
        differences(found, rounding, rounding.steps(bound, outputs), outputs, bound)
        for outputs in rounding.blocks()
    )
    return None if any(wrong) else found


def _coarsest(addend: Integers, least: Integers, most: Integers) -> Integers:
    """Return addends between bounds that are multiples of 2^16 or 2^24, if that makes them of 32 bits."""
    for fine in (0, *COARSE):
        near = np.maximum(addend >> fine << fine, least)  # the one below, or the first that is allowed
        coarse = -(-near // (1 << fine)) << fine
        fits = np.abs(coarse).max() < 1 << (31 + fine)
        if fits and (coarse <= most).all():
            return np.asarray(coarse, np.int64)
    return addend


def _addends(
    steps: Integers, multiplier: Integers, rounding: Rounding, shift: int, bound: int
) -> tuple[Integers, Integers]:
    """Return the least and the largest addend of each output with which its steps come out.

    A step T of level v wants ``T m + a < (v + 1) 2^shift <= (T + 1) m + a``.
    """
    edge = (np.arange(rounding.low, rounding.high, dtype=np.int64) + 1)[None] << shift
    far = np.int64(1) << (PRODUCT + 1)
    factors = multiplier[:, None]
    most = np.where(steps >= -bound, edge - 1 - steps * factors, far)
    least = np.where(steps < bound, edge - (steps + 1) * factors, -far)
    return least.max(axis=1, initial=-far), most.min(axis=1, initial=far)
