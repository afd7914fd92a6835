"""The scores of the last layer, and the class: the first of the largest.

The reference compares real scores, ``float32(scale_o · acc_o + bias_o)``, which have a scale per class. The
hardware compares integers,

    rank_o = multiplier_o · sum_o + constant_o

with the fewest bits for which the order of any two of them is that of the real scores, for all sums that
there can be. That is checked here, sum by sum, and is the proof. (Where two real scores round to the same
float32, the class may be either of the two.)
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lowbit.errors import PlanError
from lowbit.rtl.array.network import Floats, Integers
from lowbit.rtl.array.units.unit import Budget
from lowbit.rtl.integers import Range
from lowbit.rtl.primitives.target import Target, digit_cost, digits_of, multiplier_cost

SCORE_BITS = 32
_LUT = 150
"""Look-up tables of adders, comparison and states."""

_PRECISIONS = (1, 2, 4, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32, 36)
_MOST_SUMS = 1 << 24


@dataclass(frozen=True, eq=False)
class ScorePlan:
    """What follows the last sums.

    Attributes:
        sums: range of the sums of each class.
        gains, offsets: the score is ``gain_o · sum_o + offset_o``, int64 ``[classes]``.
        multipliers, constants: of the rank, of the scores that the class is chosen of: the first ones.
        rank: the range of ranks.
        shifts: whether products are made of shifts and adders.
    """

    sums: tuple[Range, ...]
    gains: Integers
    offsets: Integers
    multipliers: Integers
    constants: Integers
    rank: Range
    shifts: bool = False

    @property
    def classes(self) -> int:
        """How many scores there are."""
        return len(self.gains)

    @property
    def sum_bits(self) -> int:
        """Bits of a sum."""
        return max(own.bits for own in self.sums)

    @property
    def multiplies(self) -> bool:
        """Whether there are factors but ones."""
        return any(_multiplies(factors) for factors in (self.gains, self.multipliers))

    @property
    def steps(self) -> int:
        """Clocks of a product."""
        if not (self.shifts and self.multiplies):
            return 1
        return max(digits_of(Range.of(factors).bits) for factors in (self.gains, self.multipliers)) + 1

    @property
    def cycles(self) -> int:
        """Clocks of a picture's scores: each is taken, multiplied and sent; then the class."""
        return (2 + self.steps) * self.classes + 1

    def cost(self, target: Target) -> Budget:
        """Return what multiplies, compares and counts the scores, roughly."""
        found = Budget(_LUT, 0, 0)
        for factors in filter(_multiplies, (self.gains, self.multipliers)):
            of_shifts = digit_cost(target, self.sum_bits), 0
            of_blocks = multiplier_cost(target, self.sum_bits, Range.of(factors).bits)
            found += Budget(*(of_shifts if self.shifts else of_blocks), 0)
        tables = (self.gains, self.offsets, self.multipliers, self.constants)
        return found + Budget(sum(Range.of(table).bits for table in tables), 0, 0)


def _multiplies(factors: Integers) -> bool:
    return bool(factors.max() > 1 or factors.min() < 0)


def plan_scores(
    sums: tuple[Range, ...],
    steps: tuple[int, ...],
    gains: Integers,
    offsets: Integers,
    scale: Floats,
    bias: Floats,
    where: str,
    *,
    ranked: int | None = None,
    shifts: bool = False,
) -> ScorePlan:
    """Return the plan of the scores.

    Args:
        sums: range of the sums of each class.
        steps: what differences of sums are multiples of.
        gains, offsets: the accumulator of the graph is ``gain_o · sum_o + offset_o``.
        scale, bias: the real score is ``float32(scale_o · accumulator_o + bias_o)``.
        where: the last layer, for messages.
        ranked: the class is that of the largest of so many scores, the first ones; of all when None.
        shifts: whether products are made of shifts and adders.

    Raises:
        PlanError: no precision keeps the order of the scores, or a score is wider than the stream.
    """
    _check_width(sums, gains, offsets, where)
    ranked = len(sums) if ranked is None else ranked
    first, scale, bias = slice(ranked), scale[:ranked], bias[:ranked]
    whole, sums, steps = (sums, gains, offsets), sums[first], steps[first]
    gains, offsets = gains[first], offsets[first]
    every = [np.arange(found.low, found.high + 1, step) for found, step in zip(sums, steps, strict=True)]
    if sum(map(len, every)) <= _MOST_SUMS:
        order, below = _ascending(list(_real_scores(every, gains, offsets, scale, bias)))
        classes = np.repeat(np.arange(ranked), list(map(len, every)))[order]
        slope, start = scale * gains, scale * offsets + bias
        for bits in _PRECISIONS:
            unit = float(slope.max()) / (1 << (bits - 1))
            multipliers = np.rint(slope / unit).astype(np.int64)
            constants = np.rint(start / unit).astype(np.int64)
            ranks = [m * h + c for m, h, c in zip(multipliers, every, constants, strict=True)]
            flat = np.flatnonzero(multipliers == 0).tolist()
            if _keeps_order(np.concatenate(ranks)[order], below, classes, flat):
                rank = Range(min(int(r[0]) for r in ranks), max(int(r[-1]) for r in ranks))
                return ScorePlan(*whole, multipliers, constants, rank, shifts)
    raise PlanError(
        "the class cannot be told from integers",
        where=where,
        expected=f"scores of different classes apart by 2^-{_PRECISIONS[-1]}, "
        f"and at most {_MOST_SUMS} different sums",
        found=f"{sum(map(len, every))} sums in {len(every)} classes",
        remedy="Give the last layer fewer bits, or one scale for all classes.",
    )


def _check_width(sums: tuple[Range, ...], gains: Integers, offsets: Integers, where: str) -> None:
    """Refuse scores that the stream's words do not hold."""
    for found, gain, offset in zip(sums, gains.tolist(), offsets.tolist(), strict=True):
        score = Range(found.low * gain + offset, found.high * gain + offset)
        if score.bits > SCORE_BITS:
            raise PlanError(
                "a score is wider than the words that go out",
                where=where,
                expected=f"at most {SCORE_BITS} bits",
                found=f"{score.bits} bits, for scores in {score}",
                remedy="Give the last layer fewer bits.",
            )


def _real_scores(
    every: list[Integers], gains: Integers, offsets: Integers, scale: Floats, bias: Floats
) -> Iterator[npt.NDArray[np.float32]]:
    for sums, gain, offset, factor, constant in zip(every, gains, offsets, scale, bias, strict=True):
        yield (factor * (gain * sums + offset) + constant).astype(np.float32)


def _ascending(real: list[npt.NDArray[np.float32]]) -> tuple[Integers, Integers]:
    """Return the order of the scores of all classes, and how many are smaller than each, in that order."""
    scores = np.concatenate(real)
    order = np.argsort(scores, kind="stable")
    return order, np.searchsorted(scores[order], scores[order], side="left")


def _keeps_order(ranks: Integers, below: Integers, classes: Integers, flat: list[int]) -> bool:
    """Return whether of any two scores of two classes the larger has the larger rank.

    Args:
        ranks: of all scores, in the order of the scores.
        below: how many scores are smaller than each.
        classes: of all scores.
        flat: classes whose ranks are all equal. Those of others ascend, so they are above their own, too.
    """
    lowest = ranks.min() - 1
    ascend = _above(ranks, ranks, below, ~np.isin(classes, flat))
    return ascend and all(
        _above(ranks, np.where(classes == own, lowest, ranks), below, classes == own) for own in flat
    )


def _above(ranks: Integers, others: Integers, below: Integers, asked: npt.NDArray[np.bool_]) -> bool:
    """Return whether the ranks that are asked for are above those of all smaller scores of others."""
    some = asked & (below > 0)
    return bool((np.maximum.accumulate(others)[below[some] - 1] < ranks[some]).all())
