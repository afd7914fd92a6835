"""What every unit says of itself: the words that come in and go out, its clocks, what it takes."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lowbit.rtl.array.network import Stage, output_shape
from lowbit.rtl.array.schedule import Schedule
from lowbit.rtl.integers import Range

if TYPE_CHECKING:
    from amaranth.lib import wiring

Integers = npt.NDArray[np.int64]

UNIT_LUT = 120
"""Per unit: sequencer, ring, streams."""


@dataclass(frozen=True)
class Budget:
    """What a device has, or a design takes."""

    lut: int
    dsp: int
    ramb18: int

    def __add__(self, other: "Budget") -> "Budget":
        return Budget(self.lut + other.lut, self.dsp + other.dsp, self.ramb18 + other.ramb18)

    def __mul__(self, count: int) -> "Budget":
        return Budget(*(count * number for number in astuple(self)))

    def share(self, limit: "Budget") -> float:
        """Return the parts of a limit that this takes, added up; of what is not there any is too much."""
        pairs = zip(astuple(self), astuple(limit), strict=True)
        return sum(found / most if most else float("inf") if found else 0.0 for found, most in pairs)

    def excess(self, limit: "Budget") -> float:
        """Return by how much this is more than a limit, in parts of it; 0 where it fits."""
        pairs = zip(astuple(self), astuple(limit), strict=True)
        return float(sum(max(0, found - most) / max(most, 1) for found, most in pairs))

    def exceeded(self, limit: "Budget") -> str:
        """Return the first resource of which there is more than the limit, or nothing."""
        names = (field.name for field in fields(self))
        return next((name for name in names if getattr(self, name) > getattr(limit, name)), "")


NOTHING = Budget(0, 0, 0)


@dataclass(frozen=True)
class Words:
    """A stream: numbers in a word, bits of a number, and whether numbers can be negative."""

    lanes: int
    bits: int
    signed: bool = False

    @property
    def width(self) -> int:
        """Bits of a word."""
        return self.lanes * self.bits


@dataclass(frozen=True, eq=False)
class Numbers:
    """What the numbers that a unit gives are: the stage's are ``gain_o * number + offset``.

    Attributes:
        gain: ``[o]``.
        offset: ``[row classes, column classes, o]``.
        ranges: of the numbers, by channel.
        steps: what all differences of numbers of a channel are multiples of.
    """

    gain: Integers
    offset: Integers
    ranges: tuple[Range, ...]
    steps: tuple[int, ...]


class UnitPlan(ABC):
    """A unit, planned."""

    stage: Stage

    @property
    def name(self) -> str:
        """Of its stage."""
        return self.stage.name

    @property
    @abstractmethod
    def inputs(self) -> tuple[Words, ...]:
        """The streams that come in."""

    @property
    @abstractmethod
    def output(self) -> Words:
        """The stream that goes out."""

    @property
    @abstractmethod
    def cycles(self) -> int:
        """Clocks per picture."""

    @property
    @abstractmethod
    def kind(self) -> str:
        """What it is, in a word."""

    @property
    def layout(self) -> str:
        """Elements and lanes, in tables."""
        return f"1x{self.output.lanes}"

    @property
    def products(self) -> int:
        """Products per picture, those of the padding left out."""
        return 0

    @property
    def cost(self) -> Budget:
        """What it takes, roughly."""
        return Budget(UNIT_LUT, 0, 0)

    @property
    def out_words(self) -> int:
        """Words of a picture that go out."""
        channels, rows, columns = output_shape(self.stage)
        return rows * columns * channels // self.output.lanes

    def rows_needed(self, row: int) -> int:
        """Return how many rows of the map that comes in must be there before a row goes out."""
        return row + 1

    @property
    def rows_inside(self) -> int:
        """How many rows of the map that comes in can be inside."""
        return 1

    @property
    def numbers(self) -> Numbers:
        """What the numbers are that go out: ranks, where nothing else is said."""
        channels = output_shape(self.stage)[0]
        top = (1 << self.output.bits) - 1
        zeros = np.zeros((1, 1, channels), np.int64)
        return Numbers(np.ones(channels, np.int64), zeros, (Range(0, top),) * channels, (1,) * channels)

    @property
    def sums(self) -> Mapping[str, tuple[Range, int]]:
        """What is summed or multiplied inside: range and bits taken, by name."""
        return {}

    @abstractmethod
    def draw(self) -> "wiring.Component":
        """Return the hardware: ports ``input0``, ``input1`` … and ``output``, streams of words."""


def address_bits(length: int) -> int:
    """Return how many bits number so many things; none if there is but one."""
    return (length - 1).bit_length()


def divisors(number: int) -> list[int]:
    """Return the divisors of a number, the least first."""
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]


def lanes_for(channels: int, pixels: int, cycles: int) -> int:
    """Return the fewest lanes with which all channels of so many pixels take at most so many clocks."""
    every = divisors(channels)
    return next((lanes for lanes in every if pixels * channels // lanes <= cycles), every[-1])


class RingPlan(UnitPlan):
    """A unit that looks through windows at rows it keeps in a ring."""

    schedule: Schedule

    def rows_needed(self, row: int) -> int:
        """Return the last row that a row of outputs reads."""
        return self.schedule.starts[row] + self.schedule.needed[row]

    @property
    def rows_inside(self) -> int:
        """Those of its ring."""
        return self.schedule.ring
