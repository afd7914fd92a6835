"""Units that read several streams: residual sums, and joins of channels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lowbit.rtl.array.memory import blocks
from lowbit.rtl.array.network import Add, Concat
from lowbit.rtl.array.units.unit import UNIT_LUT, Budget, UnitPlan, Words, address_bits, divisors, lanes_for
from lowbit.rtl.integers import Range

if TYPE_CHECKING:
    from amaranth.lib import wiring


@dataclass(frozen=True, eq=False)
class AddPlan(UnitPlan):
    """A sum of two maps as a unit."""

    add: Add
    lanes: int

    @property
    def stage(self) -> Add:  # type: ignore[override]
        """The sum."""
        return self.add

    @property
    def kind(self) -> str:
        """Its name in tables."""
        return "add"

    @property
    def inputs(self) -> tuple[Words, ...]:
        """Ranks."""
        return tuple(Words(self.lanes, bits) for bits in self.add.bits)

    @property
    def output(self) -> Words:
        """Ranks."""
        return Words(self.lanes, self.add.output_bits)

    @property
    def cycles(self) -> int:
        """A word per clock."""
        return self.out_words

    @property
    def cost(self) -> Budget:
        """Two adders and a comparison per lane."""
        return Budget(UNIT_LUT // 4 + 4 * self.output.width, 0, 0)

    @property
    def sums(self) -> Mapping[str, tuple[Range, int]]:
        """The sum of the ranks and its addend, scaled."""
        ending = self.add.ending
        most = int(ending.multiplier[0, 0, 0]) * sum((1 << bits) - 1 for bits in self.add.bits)
        addend = int(ending.addend[0, 0, 0])
        found = Range(min(0, addend), max(0, most + addend))
        return {f"sum of {self.name}": (found, found.bits)}

    def draw(self) -> "wiring.Component":
        """Return the hardware."""
        from lowbit.rtl.array.hardware.joins import AddUnit

        return AddUnit(self)


@dataclass(frozen=True, eq=False)
class ConcatPlan(UnitPlan):
    """A join of channels as a unit.

    Attributes:
        concat: what it joins.
        lanes: numbers in a word.
        bits: of a number.
        before: what comes; numbers may be narrower than those that go out.
    """

    concat: Concat
    lanes: int
    bits: int
    before: tuple[Words, ...]

    @property
    def stage(self) -> Concat:  # type: ignore[override]
        """The join."""
        return self.concat

    @property
    def kind(self) -> str:
        """Its name in tables."""
        return "join"

    @property
    def inputs(self) -> tuple[Words, ...]:
        """Numbers."""
        return tuple(Words(self.lanes, words.bits, words.signed) for words in self.before)

    @property
    def output(self) -> Words:
        """Numbers."""
        return Words(self.lanes, self.bits, any(words.signed for words in self.before))

    @property
    def cycles(self) -> int:
        """A word per clock."""
        return self.out_words

    @property
    def cost(self) -> Budget:
        """Multiplexers."""
        return Budget(UNIT_LUT // 4 + self.output.width * len(self.before), 0, 0)

    def draw(self) -> "wiring.Component":
        """Return the hardware."""
        from lowbit.rtl.array.hardware.joins import ConcatUnit

        return ConcatUnit(self)


SMALL_BUFFER = 32
"""Words up to which a buffer is made of look-up tables."""


def buffer_cost(depth: int, width: int) -> Budget:
    """Return what a buffer of words takes: a memory with a port for each end, and its counters."""
    counters = Budget(4 * max(1, address_bits(depth)), 0, 0)
    if depth <= SMALL_BUFFER:
        return counters + Budget(width + width // 3, 0, 0)
    return counters + Budget(0, 0, blocks(depth, width))


def plan_add(add: Add, cycles: int) -> AddPlan:
    """Return a sum with as few lanes as are quick enough."""
    rows, columns = add.window
    return AddPlan(add, lanes_for(add.channels, rows.outputs * columns.outputs, cycles))


def plan_concat(concat: Concat, before: tuple[Words, ...], cycles: int) -> ConcatPlan:
    """Return a join with as few lanes as are quick enough, or as many as divide all parts."""
    rows, columns = concat.window
    common = [
        lanes for lanes in divisors(min(concat.parts)) if not any(part % lanes for part in concat.parts)
    ]
    pixels = rows.outputs * columns.outputs
    lanes = next((lanes for lanes in common if pixels * concat.channels // lanes <= cycles), common[-1])
    signed = any(words.signed for words in before)
    bits = max(words.bits + (signed and not words.signed) for words in before)
    return ConcatPlan(concat, lanes, bits, before)
