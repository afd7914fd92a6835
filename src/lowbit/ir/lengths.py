"""Lengths that are open, and what arithmetic makes of them.

A dimension of a graph is an integer or a text. A text is a name (``batch``), or what arithmetic makes of
names: ``12*batch``, ``frames-1``. `Length` is that as a number: sums and products, with one text each, so
that equal lengths are equal texts. A text that is no such expression is a name as it stands.
"""

import re
from collections.abc import Iterable, Mapping
from functools import reduce
from operator import mul

import numpy as np

from lowbit.ir.graph import Array, Dimension

Monomial = tuple[str, ...]

_TERM = re.compile(r"([+-]?)([^+\-]+)")
_NAME = re.compile(r"[A-Za-z_]\w*")


class Length:
    """A polynomial of open lengths; arithmetic gives integers where nothing is open."""

    def __init__(self, terms: Mapping[Monomial, int]) -> None:
        self.terms = {names: number for names, number in terms.items() if number}

    def __add__(self, other: object) -> "int | Length":
        added = _terms(other)
        return NotImplemented if added is None else _number(_sum(self.terms, added))

    __radd__ = __add__

    def __neg__(self) -> "int | Length":
        return self * -1

    def __sub__(self, other: object) -> "int | Length":
        taken = _terms(other)
        return NotImplemented if taken is None else _number(_sum(self.terms, taken, -1))

    def __rsub__(self, other: object) -> "int | Length":
        return (self * -1) + other  # type: ignore[operator]

    def __mul__(self, other: object) -> "int | Length":
        factors = _terms(other)
        if factors is None:
            return NotImplemented
        total: dict[Monomial, int] = {}
        for names, number in self.terms.items():
            for more, factor in factors.items():
                key = tuple(sorted(names + more))
                total[key] = total.get(key, 0) + number * factor
        return _number(total)

    __rmul__ = __mul__

    def __floordiv__(self, other: object) -> "int | Length":
        """Divide where it comes out even for every value of the names, by an integer or by one monomial."""
        divisors = _terms(other)
        if divisors is None:
            return NotImplemented
        if len(divisors) != 1:
            raise ArithmeticError(f"{self} cannot be divided by {other}")
        ((taken, divisor),) = divisors.items()
        return _number(
            dict(self._divided(names, number, taken, divisor) for names, number in self.terms.items())
        )

    def _divided(self, names: Monomial, number: int, taken: Monomial, divisor: int) -> tuple[Monomial, int]:
        rest = list(names)
        for name in taken:
            if name not in rest:
                raise ArithmeticError(f"{self} cannot be divided by {'*'.join(taken)}")
            rest.remove(name)
        if number % divisor:
            raise ArithmeticError(f"{self} cannot be divided by {divisor}")
        return tuple(rest), number // divisor

    def __rfloordiv__(self, other: object) -> "int | Length":
        terms = _terms(other)
        return NotImplemented if terms is None else Length(terms) // self

    __truediv__ = __floordiv__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Length) and self.terms == other.terms

    def __hash__(self) -> int:
        return hash(frozenset(self.terms.items()))

    def __str__(self) -> str:
        text = "".join(_written(names, self.terms[names]) for names in sorted(self.terms, key=_order))
        return text.removeprefix("+")

    __repr__ = __str__

    @property
    def names(self) -> frozenset[str]:
        """The names that it is made of."""
        return frozenset(name for names in self.terms for name in names)


def length_of(dimension: Dimension) -> "int | Length":
    """Return a dimension as a number."""
    if not isinstance(dimension, str):
        return int(dimension)
    terms: dict[Monomial, int] = {}
    for sign, text in _TERM.findall(dimension):
        factors = text.split("*")
        names = tuple(sorted(part for part in factors if not part.isdigit()))
        if not all(map(_NAME.fullmatch, names)):
            return Length({(dimension,): 1})
        number = reduce(mul, (int(part) for part in factors if part.isdigit()), -1 if sign == "-" else 1)
        terms[names] = terms.get(names, 0) + number
    found = Length(terms)
    return found if str(found) == dimension else Length({(dimension,): 1})


def dimension_of(length: object) -> Dimension:
    """Return a number as a dimension."""
    return str(length) if isinstance(length, Length) else int(length)  # type: ignore[call-overload]


def may_be_equal(one: Dimension, other: Dimension) -> bool:
    """Return whether dimensions are equal, or one is open: exporters give equal lengths different names."""
    return one == other or isinstance(one, str) or isinstance(other, str)


def with_known(length: "int | Length", known: Mapping[str, int]) -> "int | Length":
    """Return a length in which some names have become numbers."""
    if not isinstance(length, Length):
        return length
    total: int | Length = 0
    for names, number in length.terms.items():
        factors = (known.get(name, Length({(name,): 1})) for name in names)
        total = total + reduce(mul, factors, number)
    return total


def product(dimensions: Iterable[Dimension]) -> "int | Length":
    """Return how many elements a shape has."""
    return reduce(mul, map(length_of, dimensions), 1)


def as_array(lengths: Iterable[object]) -> Array:
    """Return numbers in a row: int64, or objects where some are open."""
    row = list(lengths)
    if not any(isinstance(length, Length) for length in row):
        return np.array(row, np.int64)
    made = np.empty(len(row), object)
    made[:] = row
    return made


def _terms(number: object) -> Mapping[Monomial, int] | None:
    """Return an integer, a float that is one, or a length as terms."""
    if isinstance(number, Length):
        return number.terms
    if isinstance(number, int | np.integer | float | np.floating) and number == int(number):
        return {(): int(number)}
    return None


def _sum(left: Mapping[Monomial, int], right: Mapping[Monomial, int], sign: int = 1) -> dict[Monomial, int]:
    return {key: left.get(key, 0) + sign * right.get(key, 0) for key in (*left, *right)}


def _number(terms: Mapping[Monomial, int]) -> "int | Length":
    left = {names: number for names, number in terms.items() if number}
    return left.get((), 0) if all(names == () for names in left) else Length(left)


def _written(names: Monomial, number: int) -> str:
    sign, size = "-" if number < 0 else "+", abs(number)
    return sign + "*".join([*([str(size)] if size != 1 or not names else []), *names])


def _order(names: Monomial) -> tuple[int, Monomial]:
    return (-len(names), names)
