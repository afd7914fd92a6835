"""How numbers become ranks: by thresholds, or by a multiplication that is proven equal to them.

    Steps    rank = #{c : number > T[row class, column class, o, c]}, then a table where ranks do not rise
    Scaled   rank = clip((number * multiplier_o + addend[row class, column class, o]) >> shift, 0, top)

What a number becomes is asked of a function, which the graph's own operators compute in floats. Where it
rises it is known by its steps: the largest number of each rank but the last. They are searched for, and a
multiplication is taken where it gives the same rank at every step, at the number behind it, and at both ends,
with the fewest bits for which it does: that is the proof.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lowbit.ir.deployed import largest_where

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

FEW = 15
"""Thresholds up to which numbers are compared: of more, a multiplication is tried first."""

MOST = 255
"""Thresholds that a memory may hold for each channel."""

_NARROWEST, _WIDEST = 4, 44  # bits of a multiplier
_TOGETHER = 1 << 20  # steps that are looked at in one go
_KEPT = 8  # of those that are kept for the next try: 64 MB
_LARGEST = 1 << 62

Function = Callable[[Integers, npt.NDArray[np.intp]], Integers]
"""Ranks of numbers ``[rows, n]``, of the rows of channels and border classes that are named, ``[rows]``."""


@dataclass(frozen=True, eq=False)
class Steps:
    """See the module.

    Attributes:
        thresholds: ``[row classes, column classes, o, steps]``; of one channel where all have the same.
        table: what each count of thresholds becomes, or None where it is the rank.
    """

    thresholds: Integers
    table: Integers | None = None

    @property
    def bits(self) -> int:
        """Bits of a rank."""
        top = self.thresholds.shape[-1] if self.table is None else int(self.table.max())
        return max(1, top.bit_length())


@dataclass(frozen=True, eq=False)
class Scaled:
    """See the module.

    Attributes:
        multiplier: ``[o]``, or ``[row classes, column classes, o]``; not negative.
        addend: ``[row classes, column classes, o]``.
        shift: of all.
        top: the largest rank.
        low: the least.
    """

    multiplier: Integers
    addend: Integers
    shift: int
    top: int
    low: int = 0

    @property
    def bits(self) -> int:
        """Bits of a rank."""
        return max(1, self.top.bit_length())


Ending = Steps | Scaled


@dataclass(frozen=True, eq=False)
class Meaning:
    """What numbers become.

    Attributes:
        rank: the function.
        slope: ranks per number, of every row, about: the line that the function rounds.
        start: the rank of the number 0 on that line, of every row.
        top: the largest rank.
        least, most: of the numbers.
        shape: row classes, column classes, channels: rows in this order.
    """

    rank: Function
    slope: Floats
    start: Floats
    top: int
    least: int
    most: int
    shape: tuple[int, int, int]

    @property
    def is_short(self) -> bool:
        """Whether there are fewer numbers than ranks: then the ranks of all are sooner known than steps."""
        return self.most - self.least < self.top

    def steps(self, rows: npt.NDArray[np.intp], ranks: Integers) -> Integers:
        """Return the largest number of each of some ranks, ``[rows, ranks]``."""
        wanted = np.broadcast_to(ranks, (len(rows), len(ranks)))
        guess = np.floor((wanted + 0.5 - self.start[rows, None]) / self.slope[rows, None])
        near = np.clip(guess, self.least - 1, self.most).astype(np.int64)
        below, above = np.maximum(near - 2, self.least - 1), np.minimum(near + 2, self.most)
        below = np.where(self.rank(below, rows) > wanted, self.least - 1, below)
        above = np.where(self.rank(above + 1, rows) <= wanted, self.most, above)
        return largest_where(lambda numbers: self.rank(numbers, rows) <= wanted, below, above)

    def all_steps(self) -> Integers:
        """Return the steps of all rows as thresholds ``[row classes, column classes, channels, top]``."""
        steps = self.steps(np.arange(len(self.slope)), np.arange(self.top))
        return steps.reshape(*self.shape, self.top)

    def reached(self) -> tuple[int, int]:
        """Return the least and the largest rank that any row reaches."""
        rows = np.arange(len(self.slope))
        ends = np.broadcast_to(np.array([self.least, self.most]), (len(rows), 2))
        ranks = self.rank(ends, rows)
        return int(ranks.min()), int(ranks.max())


def ending_of(meaning: Meaning) -> Ending | None:
    """Return the ending of numbers that mean something that rises; None where there is none."""
    if meaning.top <= FEW:
        return Steps(meaning.all_steps())
    found = scaled(meaning)
    if found is not None or meaning.top > MOST:
        return found
    return Steps(meaning.all_steps())


def scaled(meaning: Meaning) -> Scaled | None:
    """Return the narrowest multiplication that is proven, or None.

    A step T of rank v wants ``T m + a < (v + 1) 2^shift <= (T + 1) m + a``, of ranks that are reached.
    """
    if (meaning.slope <= 0).any():
        return None
    low, top = meaning.reached()
    rows = np.unique(np.linspace(0, len(meaning.slope) - 1, 16).astype(np.intp))
    ranks = np.unique(np.linspace(low, max(low, top - 1), 200).astype(np.int64))
    some, known = meaning.steps(rows, ranks), dict[int, Integers]()
    for bits in range(_NARROWEST, _WIDEST + 1):
        shift = bits - 1 - int(np.floor(np.log2(meaning.slope.max())))
        if shift < 0 or (meaning.top + 2) << shift >= _LARGEST:
            continue
        multiplier = np.rint(meaning.slope * 2.0**shift).astype(np.int64)
        if int(multiplier.max()) * (max(meaning.most, -meaning.least) + 2) >= _LARGEST:
            return None
        least, most = _between(meaning, ranks, some, multiplier[rows], shift)
        found = None if (least > most).any() else _proved(meaning, multiplier, shift, low, top, known)
        if found is not None:
            return found
    return None


def _between(
    meaning: Meaning, ranks: Integers, steps: Integers, multiplier: Integers, shift: int
) -> tuple[Integers, Integers]:
    """Return the least and the largest addend of each row with which its steps come out."""
    edge = (ranks + 1)[None] << shift
    products = steps * multiplier[:, None]
    most = np.where(steps >= meaning.least, edge - 1 - products, _LARGEST).min(axis=1)
    least = np.where(steps < meaning.most, edge - products - multiplier[:, None], -_LARGEST).max(axis=1)
    return least, most


def _every_rank(meaning: Meaning, rows: npt.NDArray[np.intp]) -> Integers:
    numbers = np.arange(meaning.least, meaning.most + 1)
    return meaning.rank(np.broadcast_to(numbers, (len(rows), len(numbers))), rows)


def _between_ranks(
    meaning: Meaning, ranks: Integers, multiplier: Integers, shift: int, low: int, top: int
) -> tuple[Integers, Integers]:
    """Return what `_between` does, from the ranks of all numbers."""
    edge = ranks << shift
    edge -= np.arange(meaning.least, meaning.most + 1) * multiplier[:, None]
    most = np.where(ranks < top, edge, _LARGEST - (1 << shift)).min(axis=1) + (1 << shift) - 1
    return np.where(ranks > low, edge, -_LARGEST).max(axis=1), most


def _proved(
    meaning: Meaning, multiplier: Integers, shift: int, low: int, top: int, known: dict[int, Integers]
) -> Scaled | None:
    """Return the multiplication if there is an addend for every row with which all steps come out.

    What was looked for first is kept in ``known``, for the next try: steps, or ranks of all numbers.
    """
    addend, ranks = np.zeros(len(multiplier), np.int64), np.arange(low, max(top, low + 1))
    width = meaning.most - meaning.least + 1 if meaning.is_short else len(ranks)
    together = max(1, _TOGETHER // width)
    for first in range(0, len(multiplier), together):
        rows = np.arange(first, min(first + together, len(multiplier)))
        found = known.get(first)
        if found is None:
            found = _every_rank(meaning, rows) if meaning.is_short else meaning.steps(rows, ranks)
            if len(known) < _KEPT:
                known[first] = found
        if meaning.is_short:
            least, most = _between_ranks(meaning, found, multiplier[rows], shift, low, top)
        else:
            least, most = _between(meaning, ranks, found, multiplier[rows], shift)
        if (least > most).any():
            return None
        exact = np.rint((meaning.start[rows] + 0.5) * 2.0**shift)
        near = np.clip(exact, -float(_LARGEST), float(_LARGEST)).astype(np.int64)
        addend[rows] = np.clip(near, least, most)
    if np.abs(addend).max() >= _LARGEST // 2:
        return None
    shape = meaning.shape
    return Scaled(multiplier.reshape(shape), addend.reshape(shape), shift, top, low)


def runs(meaning: Meaning) -> Steps | None:
    """Return the ending of a function that falls and rises, of all numbers there are; None if too many.

    Every place where the rank changes is a threshold. Channels have thresholds of their own, but one table:
    the ranks that follow each other, so that of a channel with fewer changes some never come.
    """
    rows = np.arange(len(meaning.slope))
    numbers = np.arange(meaning.least, meaning.most + 1)
    if len(rows) * len(numbers) > 1 << 24:
        return None
    ranks = meaning.rank(np.broadcast_to(numbers, (len(rows), len(numbers))), rows)
    changes = [np.flatnonzero(np.diff(row)) for row in ranks]
    orders = [tuple(row[np.concatenate([[0], at + 1])]) for row, at in zip(ranks, changes, strict=True)]
    table = merged(orders)
    if len(table) - 1 > MOST:
        return None
    thresholds = np.full((len(rows), len(table) - 1), meaning.most, np.int64)
    for row, (order, at) in enumerate(zip(orders, changes, strict=True)):
        place, starts = 0, np.concatenate([[meaning.least - 1], numbers[at]])
        for rank, start in zip(order, starts, strict=True):
            found = table.index(rank, place)
            thresholds[row, place:found], place = start, found
    return Steps(thresholds.reshape(*meaning.shape, -1), np.array(table, np.int64))


def merged(orders: list[tuple[int, ...]]) -> list[int]:
    """Return a short sequence in which each of the sequences is found in its order."""
    table: list[int] = []
    for order in sorted(set(orders), key=len, reverse=True):
        place = 0
        for rank in order:
            if rank in table[place:]:
                place = table.index(rank, place)
            else:
                place += bool(table)
                table.insert(place, rank)
    return table
