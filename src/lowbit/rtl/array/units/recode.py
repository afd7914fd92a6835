"""Numbers become ranks: by a multiplier for each lane, by shifts and adders, or by comparisons.

Where there are no multipliers, a word takes as many clocks as its pace allows, with the fewest adders.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lowbit.rtl.address import Address
from lowbit.rtl.array.endings import Scaled, Steps
from lowbit.rtl.array.network import Recode
from lowbit.rtl.array.units.comparison import Comparison
from lowbit.rtl.array.units.layer import read_only
from lowbit.rtl.array.units.unit import UNIT_LUT, Budget, Numbers, UnitPlan, Words, lanes_for
from lowbit.rtl.integers import Range, pack
from lowbit.rtl.primitives.target import Target, digit_cost, digits_of, multiplier_cost

if TYPE_CHECKING:
    from amaranth.lib import wiring

Integers = npt.NDArray[np.int64]

_UNHURRIED = 0.6
"""Part of the clocks of a picture that words may take together: they do not come evenly."""


@dataclass(frozen=True, eq=False)
class RecodePlan(UnitPlan):
    """A recoding as a unit.

    Attributes:
        recode: what it computes.
        before: the words that come, but for their lanes.
        lanes: numbers at a time.
        source: what the numbers are that come.
        target: the family.
        digits: of a multiplier that shifts and adders take in a clock; 0 where a multiplier takes all.
    """

    recode: Recode
    before: Words
    lanes: int
    source: Numbers
    target: Target = "xc7"
    digits: int = 0

    @property
    def stage(self) -> Recode:  # type: ignore[override]
        """The recoding."""
        return self.recode

    @property
    def kind(self) -> str:
        """How it is done."""
        return "scale" if isinstance(self.recode.ending, Scaled) else "compare"

    @property
    def inputs(self) -> tuple[Words]:
        """Numbers."""
        return (Words(self.lanes, self.before.bits, self.before.signed),)

    @property
    def output(self) -> Words:
        """Ranks."""
        return Words(self.lanes, self.recode.output_bits)

    @property
    def folds(self) -> int:
        """Words of a pixel."""
        return self.recode.channels // self.lanes

    @property
    def cycles(self) -> int:
        """A word per clock, or per so many as its digits take."""
        rows, columns = self.recode.window
        return rows.outputs * columns.outputs * self.folds * self.steps

    @property
    def steps(self) -> int:
        """Clocks of a word."""
        return -(-digits_of(self.widths[0]) // self.digits) if self.digits else 1

    @property
    def width(self) -> int:
        """Bits of a number, two's complement."""
        return self.before.bits + (not self.before.signed)

    @property
    def by_place(self) -> bool:
        """Whether border classes differ."""
        ending = self.recode.ending
        own = ending.thresholds if isinstance(ending, Steps) else ending.addend
        places = own.shape[:2], self.source.offset.shape[:2]
        return any(rows * columns > 1 for rows, columns in places)

    @property
    def categories(self) -> tuple[list[int], list[int]]:
        """The border class of every row and column; all 0 where classes do not differ."""
        axes = (axis.classes()[0].tolist() for axis in self.recode.window)
        rows, columns = (own if self.by_place else [0] * len(own) for own in axes)
        return rows, columns

    @property
    def place(self) -> Address:
        """Where constants are: by fold and border classes."""
        rows, columns = self.categories
        return Address({"fold": self.folds, "column": max(columns) + 1, "row": max(rows) + 1})

    @cached_property
    def comparison(self) -> Comparison:
        """How numbers are compared; thresholds that all channels share stay one row."""
        ending = self.recode.ending
        assert isinstance(ending, Steps)
        gain, offset = self.source.gain, self.source.offset
        steps = ending.thresholds
        if steps.shape[2] > 1 or len(set(gain.tolist())) > 1 or offset.any():
            steps = (steps - offset[..., None]) // gain[:, None]
        low, high = -(1 << (self.width - 1)) - 1, (1 << (self.width - 1)) - 1
        steps = np.clip(steps, low, high)
        bits = int(steps.shape[-1]).bit_length()
        missing = (1 << bits) - 1 - steps.shape[-1]
        steps = np.concatenate([steps, np.full((*steps.shape[:-1], missing), high, np.int64)], axis=-1)
        if steps.shape[2] == 1 and self.folds > 1:
            steps = np.broadcast_to(steps, (*steps.shape[:2], self.recode.channels, steps.shape[3]))
        return Comparison(self.lanes, self.width, steps, self.place)

    @cached_property
    def multipliers(self) -> Integers:
        """Of the numbers that come, ``[row classes, column classes, o]``."""
        ending = self.recode.ending
        assert isinstance(ending, Scaled)
        return ending.multiplier * self.source.gain

    @cached_property
    def addends(self) -> Integers:
        """What is added to products, ``[row classes, column classes, o]``."""
        ending = self.recode.ending
        assert isinstance(ending, Scaled)
        return ending.addend + ending.multiplier * self.source.offset

    @property
    def widths(self) -> tuple[int, int]:
        """Bits of a multiplier and an addend."""
        return Range.of(self.multipliers).bits, Range.of(self.addends).bits

    @cached_property
    def words(self) -> list[int]:
        """The memory of multipliers and addends, by place: those of lane 0 in the lowest bits."""
        rows, columns = (max(own) + 1 for own in self.categories)
        shape = (rows, columns, self.folds, self.lanes)
        tables = [
            np.broadcast_to(table, (rows, columns, self.recode.channels)).reshape(shape)
            for table in (self.multipliers, self.addends)
        ]
        by_place = np.stack(
            [self.place.table(table[..., lane]) for lane in range(self.lanes) for table in tables], 1
        )
        return [pack(row, [*self.widths] * self.lanes) for row in by_place.tolist()]

    @property
    def cost(self) -> Budget:
        """Multipliers, or comparisons, and their memory."""
        if isinstance(self.recode.ending, Steps):
            own = self.comparison
            found = Budget(UNIT_LUT // 8 + self.lanes * own.bits * own.width // 2, 0, 0)
            for stage in range(own.bits):
                found += read_only(1 << (self.place.bits + stage), self.lanes * own.threshold_bits)
            return found
        lut, dsp = multiplier_cost(self.target, self.widths[0], self.width)
        if self.digits:
            lut, dsp = self.digits * digit_cost(self.target, self.width), 0
        lut += max(self.widths[0] + self.width, self.widths[1]) + 2 * self.output.bits
        memory = read_only(1 << self.place.bits, self.lanes * sum(self.widths))
        return Budget(UNIT_LUT // 4, 0, 0) + Budget(lut, dsp, 0) * self.lanes + memory

    @property
    def sums(self) -> Mapping[str, tuple[Range, int]]:
        """Products with their addends."""
        if isinstance(self.recode.ending, Steps):
            return {}
        bits = max(self.width + self.widths[0], self.widths[1]) + 1
        return {f"scaled {self.name}": (Range(-(1 << (bits - 1)), (1 << (bits - 1)) - 1), bits)}

    def draw(self) -> "wiring.Component":
        """Return the hardware."""
        from lowbit.rtl.array.hardware.recode import RecodeUnit

        return RecodeUnit(self)


def plan_recode(
    recode: Recode,
    before: Words,
    source: Numbers,
    cycles: int,
    target: Target = "xc7",
    *,
    shifts: bool = False,
) -> RecodePlan:
    """Return a recoding with as few lanes as are quick enough; of shifts and adders, with as few of these."""
    rows, columns = recode.window
    pixels = rows.outputs * columns.outputs
    lanes = lanes_for(recode.channels, pixels, cycles)
    plan = RecodePlan(recode, before, lanes, source, target)
    if not shifts or isinstance(recode.ending, Steps):
        return plan
    every, words = digits_of(plan.widths[0]), pixels * plan.folds
    return replace(plan, digits=-(-every // max(1, int(cycles * _UNHURRIED) // words)))
