"""The body of an operator that is made of others: a few lines that say what it computes.

    low = Clip(X, max=0)
    alpha * Elu(low, alpha=1) + Relu(X)

A line gives a value a name; the last line is the result. ``+ - * /`` are Add, Sub, Mul and Div. A call is an
operator (``domain.Name`` outside ONNX's own domain) with its inputs in order or by name, and its attributes
by name. A name is an input of the operator that has the body, one of its attributes, or an earlier line.
Numbers and attributes are constants: worked out among themselves in float64, rounded to float32 where they
meet a value.

Nothing here is evaluated by Python: `parse` knows this grammar alone, and `Body.write` hands the steps to a
`Writer`, which makes nodes of a graph or an ONNX function of them.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import NoReturn, Protocol

from lowbit.errors import GraphError

Operand = str | float
"""A value by its name, or a number."""

_SIGN = re.compile(r"\s*(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)?|[-+*/(),=])")
_SUMS = {"+": "Add", "-": "Sub"}
_PRODUCTS = {"*": "Mul", "/": "Div"}


class Writer(Protocol):
    """What makes something of the steps of a body."""

    def attribute(self, name: str) -> Operand:
        """Return an attribute of the operator that has the body, as a number or a value."""

    def node(self, op: str, inputs: Sequence[Operand], named: Mapping[str, "Operand | Own"]) -> str:
        """Add a step and return the name of its result; ``named`` holds inputs and attributes by name."""


@dataclass(frozen=True)
class Own:
    """An attribute of the operator that has the body, where a step may take it as its own attribute."""

    name: str


@dataclass(frozen=True)
class _Number:
    value: float


@dataclass(frozen=True)
class _Name:
    name: str


@dataclass(frozen=True)
class _Step:
    op: str
    inputs: tuple["_Expression", ...]
    named: tuple[tuple[str, "_Expression"], ...] = ()


_Expression = _Number | _Name | _Step


@dataclass(frozen=True)
class Body:
    """A parsed body.

    Attributes:
        text: as it was written.
        lines: name and expression of each line; the last has no name.
    """

    text: str
    lines: tuple[tuple[str, _Expression], ...]

    def write(self, writer: Writer, inputs: Mapping[str, str], attributes: frozenset[str]) -> Operand:
        """Hand all steps to a writer, each behind those that it reads; return the result.

        Args:
            writer: takes the steps.
            inputs: the value that each input of the operator is.
            attributes: names of the operator's attributes.
        """
        return _Walk(writer, dict(inputs), attributes).all(self.lines)

    @property
    def operators(self) -> frozenset[str]:
        """The operators that it calls."""
        return frozenset(name for _, expression in self.lines for name in _called(expression))


class _Walk:
    """One way through a body."""

    def __init__(self, writer: Writer, known: dict[str, Operand], attributes: frozenset[str]) -> None:
        self.writer, self.known, self.attributes = writer, known, attributes

    def all(self, lines: Sequence[tuple[str, _Expression]]) -> Operand:
        for name, expression in lines:
            self.known[name] = self.operand(expression)
        return self.known[""]

    def operand(self, expression: _Expression) -> Operand:
        if isinstance(expression, _Number):
            return expression.value
        if isinstance(expression, _Name):
            if expression.name not in self.known:
                self.known[expression.name] = self.writer.attribute(expression.name)
            return self.known[expression.name]
        return self.step(expression)

    def step(self, step: _Step) -> Operand:
        inputs = [self.operand(part) for part in step.inputs]
        if step.op in _ARITHMETIC and all(isinstance(number, float) for number in inputs):
            left, right = (float(number) for number in inputs)
            return _ARITHMETIC[step.op](left, right)
        return self.writer.node(step.op, inputs, {key: self.named(part) for key, part in step.named})

    def named(self, expression: _Expression) -> Operand | Own:
        own = isinstance(expression, _Name) and expression.name in self.attributes
        return Own(expression.name) if own else self.operand(expression)  # type: ignore[union-attr]


def parse(text: str, where: str) -> Body:
    """Return the body that a text is.

    Raises:
        GraphError: it is not one; names the place.
    """
    lines = [line for line in text.splitlines() if line.strip()] or [""]
    return Body(text, tuple(_line(line, last=line is lines[-1], where=where) for line in lines))


def _line(text: str, *, last: bool, where: str) -> tuple[str, _Expression]:
    parser = _Parser(text, where)
    name = "" if last else parser.word()
    if not last:
        parser.take("=")
    expression = parser.sum()
    if parser.sign:
        parser.fail("the end of the line")
    return name, expression


class _Parser:
    """Reads one line by recursive descent."""

    def __init__(self, text: str, where: str) -> None:
        self.text, self.where, self.at, self.sign = text, where, 0, ""
        self.next()

    def next(self) -> str:
        """Return the sign, which may be a word or a number, and go on to the next one; "" is the end."""
        sign, rest = self.sign, self.text[self.at :]
        found = _SIGN.match(rest)
        self.sign = found.group(1) if found else ""
        if not found and rest.strip():
            self.fail("a number, a name or one of + - * / ( ) , =")
        self.at += found.end() if found else len(rest)
        return sign

    def fail(self, expected: str) -> NoReturn:
        place = self.at - len(self.sign)
        found = f"{self.text.strip()!r}, at {self.text[place:].strip()[:20]!r}"
        raise GraphError(
            "the body of an operator cannot be read", where=self.where, expected=expected, found=found
        )

    def take(self, sign: str) -> None:
        if self.sign != sign:
            self.fail(repr(sign))
        self.next()

    def word(self) -> str:
        if not self.sign[:1].isalpha() and self.sign[:1] != "_":
            self.fail("a name")
        return self.next()

    def sum(self) -> _Expression:
        return self._chain(_SUMS, self.product)

    def product(self) -> _Expression:
        return self._chain(_PRODUCTS, self.factor)

    def _chain(self, signs: Mapping[str, str], part: Callable[[], _Expression]) -> _Expression:
        left = part()
        while self.sign in signs:
            op = signs[self.next()]
            left = _Step(op, (left, part()))
        return left

    def factor(self) -> _Expression:
        if self.sign == "-":
            self.next()
            return _negative(self.factor())
        if self.sign == "(":
            self.next()
            inside = self.sum()
            self.take(")")
            return inside
        if self.sign[:1].isdigit():
            return _Number(float(self.next()))
        name = self.word()
        return self.call(name) if self.sign == "(" else _Name(name)

    def call(self, op: str) -> _Expression:
        self.take("(")
        inputs: list[_Expression] = []
        named: list[tuple[str, _Expression]] = []
        while self.sign != ")":
            part = self.sum()
            if self.sign == "=" and isinstance(part, _Name):
                self.next()
                named.append((part.name, self.sum()))
            elif named:
                self.fail("an argument by name, as the one before it")
            else:
                inputs.append(part)
            if self.sign != ")":
                self.take(",")
        self.take(")")
        return _Step(op, tuple(inputs), tuple(named))


def _negative(expression: _Expression) -> _Expression:
    if isinstance(expression, _Number):
        return _Number(-expression.value)
    return _Step("Mul", (expression, _Number(-1.0)))


def _called(expression: _Expression) -> Iterator[str]:
    if isinstance(expression, _Step):
        yield expression.op
        for part in (*expression.inputs, *(part for _, part in expression.named)):
            yield from _called(part)


_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "Add": lambda left, right: left + right,
    "Sub": lambda left, right: left - right,
    "Mul": lambda left, right: left * right,
    "Div": lambda left, right: left / right if right else nan,  # verification refuses such a constant
}
