"""A circuit of integers: each value is an operation on earlier ones, and has the exact range that it takes.

Values are numbers in a list; operations that are alike are one value. `Circuit.evaluate` computes them with
NumPy, `lowbit.rtl.unroll.text` writes them as Verilog.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lowbit.rtl.integers import Range

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Input:
    """A number that comes in."""

    number: int


@dataclass(frozen=True)
class Sum:
    """``left * 2**left_shift ± right * 2**right_shift``; one of the shifts is 0, ``minus`` is for ``-``."""

    left: int
    left_shift: int
    right: int
    right_shift: int
    minus: bool


@dataclass(frozen=True)
class Offset:
    """``constant ± value``."""

    value: int
    constant: int
    minus: bool


@dataclass(frozen=True)
class Shift:
    """``value * 2**shift``."""

    value: int
    shift: int


@dataclass(frozen=True)
class Clip:
    """``value >> shift``, kept between ``low`` and ``high``."""

    value: int
    shift: int
    low: int
    high: int


@dataclass(frozen=True)
class Above:
    """1 where ``value > threshold``, or, ``inverted``, where it is not."""

    value: int
    threshold: int
    inverted: bool


@dataclass(frozen=True)
class Count:
    """How many of some bits are 1, of which none is 1 unless those before it are."""

    bits: tuple[int, ...]


@dataclass(frozen=True)
class Table:
    """An entry for each number from ``low`` on."""

    value: int
    low: int
    entries: tuple[int, ...]


@dataclass(frozen=True)
class Larger:
    """The larger of two numbers."""

    left: int
    right: int


@dataclass(frozen=True)
class Greater:
    """1 where ``left > right``."""

    left: int
    right: int


@dataclass(frozen=True)
class Choice:
    """One of two numbers, by a bit; ``one`` where it is 1."""

    bit: int
    one: int
    zero: int


@dataclass(frozen=True)
class Constant:
    """A number that is always the same."""

    number: int


Operation = Input | Sum | Offset | Shift | Clip | Above | Count | Table | Larger | Greater | Choice | Constant


def operands(operation: Operation) -> tuple[int, ...]:
    """Return the values that an operation reads."""
    match operation:
        case Sum() | Larger() | Greater():
            return operation.left, operation.right
        case Offset() | Shift() | Clip() | Above() | Table():
            return (operation.value,)
        case Count(bits=bits):
            return bits
        case Choice(bit=bit, one=one, zero=zero):
            return bit, one, zero
        case _:
            return ()


class Circuit:
    """Operations in the order of their values, with their ranges."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.ranges: list[Range] = []
        self.labels: dict[int, str] = {}
        self._known: dict[Operation, int] = {}

    def __len__(self) -> int:
        return len(self.operations)

    def add(self, operation: Operation, range_: Range) -> int:
        """Return the value of an operation, which is added if it is new; it takes at most this range."""
        found = self._known.get(operation)
        if found is None:
            found = self._known[operation] = len(self.operations)
            self.operations.append(operation)
            self.ranges.append(range_)
        return found

    def sum(self, left: int, left_shift: int, right: int, right_shift: int, *, minus: bool) -> int:
        """Return a sum whose range is that of its operands; see `Sum`."""
        a, b = self.ranges[left], self.ranges[right]
        low, high = (b.high, b.low) if minus else (b.low, b.high)
        sign = -1 if minus else 1
        exact = Range(
            (a.low << left_shift) + sign * (low << right_shift),
            (a.high << left_shift) + sign * (high << right_shift),
        )
        return self.add(Sum(left, left_shift, right, right_shift, minus), exact)

    def constant(self, number: int) -> int:
        """Return a constant."""
        return self.add(Constant(number), Range(number, number))

    def offset(self, value: int, constant: int, *, minus: bool = False) -> int:
        """Return a value, or the negative one, and a constant."""
        if not constant and not minus:
            return value
        found = self.ranges[value]
        ends = (-found.high, -found.low) if minus else (found.low, found.high)
        return self.add(Offset(value, constant, minus), Range(ends[0] + constant, ends[1] + constant))

    def shift(self, value: int, shift: int) -> int:
        """Return a value times a power of two."""
        found = self.ranges[value]
        if not shift:
            return value
        return self.add(Shift(value, shift), Range(found.low << shift, found.high << shift))

    def clip(self, value: int, shift: int, low: int, high: int) -> int:
        """Return a value, shifted to the right and kept between two numbers."""
        found = self.ranges[value]
        reached = Range(*(min(max(end >> shift, low), high) for end in (found.low, found.high)))
        if reached.low == reached.high:
            return self.constant(reached.low)
        return self.add(Clip(value, shift, low, high), reached)

    def above(self, value: int, threshold: int, *, inverted: bool = False) -> int:
        """Return the bit that says whether a value is above a threshold, or that it is not."""
        found = self.ranges[value]
        if not found.low <= threshold < found.high:
            return self.constant(int((threshold < found.low) != inverted))
        return self.add(Above(value, threshold, inverted), Range(0, 1))

    def table(self, value: int, entries: Mapping[int, int]) -> int:
        """Return what a value is looked up as."""
        found = self.ranges[value]
        numbers = tuple(entries[number] for number in range(found.low, found.high + 1))
        if all(number == at + found.low for at, number in enumerate(numbers)):
            return value
        if len(set(numbers)) == 1:
            return self.constant(numbers[0])
        return self.add(Table(value, found.low, numbers), Range(min(numbers), max(numbers)))

    def larger(self, left: int, right: int) -> int:
        """Return the larger of two values."""
        a, b = self.ranges[left], self.ranges[right]
        if left == right or a.low >= b.high:
            return left
        if b.low >= a.high:
            return right
        left, right = min(left, right), max(left, right)
        return self.add(Larger(left, right), Range(max(a.low, b.low), max(a.high, b.high)))

    def greater(self, left: int, right: int) -> int:
        """Return the bit that says whether one value is larger than another."""
        a, b = self.ranges[left], self.ranges[right]
        if a.low > b.high or a.high <= b.low:
            return self.constant(int(a.low > b.high))
        return self.add(Greater(left, right), Range(0, 1))

    def count(self, bits: Sequence[int]) -> int:
        """Return how many bits are 1, of which none is unless those before it are."""
        return bits[0] if len(bits) == 1 else self.add(Count(tuple(bits)), Range(0, len(bits)))

    def choice(self, bit: int, one: int, zero: int) -> int:
        """Return one of two values."""
        return one if one == zero else self.add(Choice(bit, one, zero), self.ranges[one] | self.ranges[zero])

    def evaluate(self, inputs: Integers, wanted: Sequence[int]) -> Integers:
        """Return values ``[n, wanted]`` of inputs ``[n, inputs]``."""
        found: list[Integers] = []
        for operation in self.operations:
            found.append(_EVALUATE[type(operation)](operation, found, inputs))
        return np.stack([np.broadcast_to(found[value], len(inputs)) for value in wanted], axis=1)

    def alive(self, wanted: Sequence[int]) -> list[bool]:
        """Return which values some wanted ones are made of."""
        alive = [False] * len(self)
        for value in wanted:
            alive[value] = True
        for value in range(len(self) - 1, -1, -1):
            if alive[value]:
                for operand in operands(self.operations[value]):
                    alive[operand] = True
        return alive


_Evaluate = Callable[..., Integers]


def _sum(op: Sum, v: list[Integers], _: Integers) -> Integers:
    left, right = v[op.left] << op.left_shift, v[op.right] << op.right_shift
    return left - right if op.minus else left + right


_EVALUATE: Mapping[type, _Evaluate] = {
    Input: lambda op, v, x: x[:, op.number].astype(np.int64),
    Sum: _sum,
    Offset: lambda op, v, x: op.constant - v[op.value] if op.minus else op.constant + v[op.value],
    Shift: lambda op, v, x: v[op.value] << op.shift,
    Clip: lambda op, v, x: np.clip(v[op.value] >> op.shift, op.low, op.high),
    Above: lambda op, v, x: ((v[op.value] > op.threshold) != op.inverted).astype(np.int64),
    Count: lambda op, v, x: np.sum([v[bit] for bit in op.bits], axis=0),
    Table: lambda op, v, x: np.array(op.entries, np.int64)[v[op.value] - op.low],
    Larger: lambda op, v, x: np.maximum(v[op.left], v[op.right]),
    Greater: lambda op, v, x: (v[op.left] > v[op.right]).astype(np.int64),
    Choice: lambda op, v, x: np.where(v[op.bit], v[op.one], v[op.zero]),
    Constant: lambda op, v, x: np.full(len(x), op.number, np.int64),
}
