"""How a number becomes a rank in a circuit: by comparisons, or a multiplication of few digits.

Either is equal to the thresholds: rank = #{r : number > T_r}. What a multiplication must be follows,

    T_r m + a < (r + 1) 2**s <= (T_r + 1) m + a    for all r

and of all m and s with which an ``a`` exists the ones with the fewest signed digits are taken: a power of two
is a shift. This is the proof, too: nothing else is asked of the multiplication.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from lowbit.rtl.array.endings import Ending, Scaled, Steps
from lowbit.rtl.unroll.circuit import Circuit, Integers
from lowbit.rtl.unroll.digits import signed_digits
from lowbit.rtl.unroll.sharing import Term, bits_of

MOST_STEPS = 1023
"""Ranks up to which thresholds are looked at, one by one."""

_MOST_SHIFT = 40
_TRIED = 16  # multipliers, for each shift
_LONGER = 4  # shifts more for fewer digits
_LOOK_UP = 6  # inputs of a look-up table


@dataclass(frozen=True)
class Number:
    """``gain * term + constant``, with a positive gain; a constant where there is no term.

    A rank is a value and a constant: a term without sign or shift, and a gain of 1.
    """

    term: Term | None
    constant: int
    gain: int = 1

    @staticmethod
    def rank(circuit: Circuit, value: int, constant: int = 0) -> "Number":
        """Return a rank."""
        found = circuit.ranges[value]
        if found.low == found.high:
            return Number(None, constant + found.low)
        return Number(Term(value, 0, 1), constant)

    @property
    def value(self) -> int:
        """The value of a rank that is no constant."""
        assert self.term is not None
        return self.term.value


@dataclass(frozen=True)
class Line:
    """``(number * multiplier + addend) >> shift``."""

    multiplier: int
    addend: int
    shift: int

    @property
    def digits(self) -> int:
        """Digits of the multiplier."""
        return len(signed_digits(self.multiplier))


@dataclass(frozen=True)
class Place:
    """Where a number is: border classes of its row and column, and its channel."""

    row: int
    column: int
    channel: int

    def of(self, constants: Integers) -> Integers:
        """Return what belongs to the place, of constants that may be the same for all."""
        at = (self.row, self.column, self.channel)
        own = constants.reshape((1,) * (3 - constants.ndim) + constants.shape)
        place = tuple(min(index, extent - 1) for index, extent in zip(at, own.shape, strict=False))
        return np.asarray(own[place])


def coded(circuit: Circuit, number: Number, ending: Ending, place: Place) -> Number:
    """Return the rank that a number becomes."""
    if isinstance(ending, Steps):
        rank = _ranked(circuit, number, 0, [int(step) for step in place.of(ending.thresholds)])
        return rank if ending.table is None else looked_up(circuit, rank, ending.table.tolist())
    line = Line(int(place.of(ending.multiplier)), int(place.of(ending.addend)), ending.shift)
    if ending.top - ending.low > MOST_STEPS or not line.multiplier:
        return _by_line(circuit, number, line, ending)
    edges = np.arange(ending.low + 1, ending.top + 1).astype(object) << line.shift
    steps = [-((line.addend - edge) // line.multiplier) - 1 for edge in edges]
    return _ranked(circuit, number, ending.low, steps)


def looked_up(circuit: Circuit, rank: Number, table: Sequence[int]) -> Number:
    """Return the entry of a table that belongs to a rank."""
    if rank.term is None:
        return Number(None, int(table[rank.constant]))
    reached = circuit.ranges[rank.value]
    entries = {at: int(table[at + rank.constant]) for at in range(reached.low, reached.high + 1)}
    return Number.rank(circuit, circuit.table(rank.value, entries))


def _by_line(circuit: Circuit, number: Number, line: Line, ending: Scaled) -> Number:
    """Return a rank by the multiplication that the ending is."""
    addend = number.constant * line.multiplier + line.addend
    if number.term is None or not line.multiplier:
        return Number(None, min(max(addend >> line.shift, ending.low), ending.top))
    term, multiplier = number.term, line.multiplier * number.gain << number.term.shift
    own = _reduced(Line(multiplier, addend, line.shift))
    moved = circuit.offset(times(circuit, term.value, own.multiplier), own.addend, minus=term.sign < 0)
    return Number.rank(circuit, circuit.clip(moved, own.shift, ending.low, ending.top))


def _ranked(circuit: Circuit, number: Number, least: int, steps: Sequence[int]) -> Number:
    """Return ``least`` and how many of ascending steps a number is above."""
    if number.term is None:
        return Number(None, least + sum(number.constant > step for step in steps))
    term, reached = number.term, circuit.ranges[number.term.value]
    rising = term.sign > 0
    own = [_of_value(term, (step - number.constant) // number.gain) for step in steps]
    always = sum((step < reached.low) if rising else (step >= reached.high) for step in own)
    inside = [step for step in own if reached.low <= step < reached.high]
    if not inside:
        return Number(None, least + always)
    line = _line(tuple(inside if rising else (-step - 1 for step in inside)))
    width = bits_of(reached)
    if line is None or _cost_of_steps(inside, width) <= _cost_of_line(line, width, len(inside)):
        bits = [circuit.above(term.value, step, inverted=not rising) for step in inside]
        return Number.rank(circuit, circuit.count(bits), least + always)
    moved = circuit.offset(times(circuit, term.value, line.multiplier), line.addend, minus=not rising)
    return Number.rank(circuit, circuit.clip(moved, line.shift, 0, len(inside)), least + always)


def _of_value(term: Term, step: int) -> int:
    """Return the threshold of a value: a term is above a step where the value is, or where that is not."""
    return step >> term.shift if term.sign > 0 else -(step >> term.shift) - 1


def _cost_of_steps(steps: Sequence[int], width: int) -> int:
    """Return about how many look-up tables comparisons take, and their count."""
    each = max(1, -(-(width - 1) // (_LOOK_UP - 1)))
    return each * len(set(steps)) + (len(steps) - len(steps).bit_length() if len(steps) > 1 else 0)


def _cost_of_line(line: Line, width: int, top: int) -> int:
    wide = width + line.multiplier.bit_length()
    return line.digits * wide - min(wide, (line.addend & -line.addend).bit_length()) + top.bit_length() + 1


@lru_cache(1 << 14)
def _line(steps: tuple[int, ...]) -> Line | None:
    """Return the multiplication of fewest digits whose ranks begin behind the steps, if there is one."""
    if len(steps) < 2 or steps[0] == steps[-1]:
        return None
    numbers = np.array(steps, np.int64)
    low, high = _slopes(numbers)
    best: Line | None = None
    for shift in range(_MOST_SHIFT):
        first, last = int(np.floor(low * 2.0**shift)), int(np.ceil(high * 2.0**shift))
        for multiplier in range(max(1, first), min(last, first + _TRIED) + 1):
            found = _addend(numbers, multiplier, shift)
            line = None if found is None else Line(multiplier, found, shift)
            if line is not None and (best is None or line.digits < best.digits):
                best = line
        if best is not None and (best.digits <= 2 or shift > best.shift + _LONGER):
            break
    return None if best is None else _reduced(best)


def _slopes(steps: Integers) -> tuple[float, float]:
    """Return between which slopes a line may lie that rounds to ranks with these steps."""
    ranks = np.arange(len(steps))
    further, distance = ranks[None] - ranks[:, None], steps[None] - steps[:, None]
    ahead = further > 0
    low = (further[ahead] / (distance[ahead] + 1)).max()
    open_ = ahead & (distance > 1)
    high = (further[open_] / (distance[open_] - 1)).min() if open_.any() else 2 * low
    return float(low), float(high)


def _addend(steps: Integers, multiplier: int, shift: int) -> int | None:
    """Return the addend with the most zeros at its end with which a multiplication has these steps."""
    edges = np.arange(1, len(steps) + 1) << shift
    products = steps * multiplier
    most = int((edges - 1 - products).min())
    least = int((edges - products).max()) - multiplier
    if least > most:
        return None
    zeros = 0
    while zeros < shift and -(-least >> (zeros + 1)) << (zeros + 1) <= most:
        zeros += 1
    return -(-least >> zeros) << zeros


def _reduced(line: Line) -> Line:
    """Return the same with an odd multiplier, or no shift: bits below a power of two change nothing."""
    zeros = min((line.multiplier & -line.multiplier).bit_length() - 1, line.shift)
    return Line(line.multiplier >> zeros, line.addend >> zeros, line.shift - zeros)


def times(circuit: Circuit, value: int, multiplier: int) -> int:
    """Return a value times a positive constant, by Horner's rule from the highest digit down."""
    (at, _), *rest = signed_digits(multiplier)[::-1]
    found = value
    for shift, sign in rest:
        found = circuit.sum(found, at - shift, value, 0, minus=sign < 0)
        at = shift
    return circuit.shift(found, at)
