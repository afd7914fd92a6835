"""What a tensor is to become, in a word: the one grammar of plans, recipes and every command.

float               stays as it is
binary              the sign, with a scale per output channel for weights
lq:K[:offset]       a learned basis of K bits (1 to 4), with a learned offset
pow2:K              0 and powers of two in K bits (2 to 4); `ternary` is `pow2:2`
affine:K[:group=N]  a uniform grid of K bits (2 to 8), one for every N inputs of an output
fixed:M.N[:floor]   fixed point, M bits before the point with the sign among them, N behind it;
                    rounded half up, or truncated
codebook:K          a table of levels in K bits (2 to 4), of weights
pixels              codes of 8 bits as they are: level = code / 255

Names, numbers and options come from `lowbit.schemes.registry`; a scheme that has a row there is read here.
"""

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, NoReturn

from lowbit.errors import PlanError
from lowbit.schemes.fixed_point import FixedPoint
from lowbit.schemes.grouped import GROUP
from lowbit.schemes.registry import FLOAT_BITS, REGISTRY, Scheme

if TYPE_CHECKING:
    from lowbit.schemes.fitting import Fit

Use = Literal["weights", "activations"]


@dataclass(frozen=True)
class Specification:
    """A scheme with its bits. `str` gives the text that `specification` reads.

    Attributes:
        scheme: a name of the registry.
        bits: per code; 32 for float.
        fraction: of these behind the point, where the scheme has one.
        options: what else was said, in the registry's order: name and number, which is 1 for a word alone.
    """

    scheme: str
    bits: int
    fraction: int = 0
    options: tuple[tuple[str, int], ...] = ()

    def option(self, name: str) -> int:
        """Return the number of an option, 0 where it was not said."""
        return dict(self.options).get(name, 0)

    @property
    def is_float(self) -> bool:
        """Whether nothing is to change."""
        return self.scheme == "float"

    @property
    def offset(self) -> bool:
        """`lq`: whether levels have a learned offset."""
        return bool(self.option("offset"))

    @property
    def has_format(self) -> bool:
        """Whether it is a format, bits before and behind the point, with nothing to fit or learn."""
        return self.row.parameter == "format"

    @property
    def fixed_point(self) -> FixedPoint:
        """The format of a fixed-point specification."""
        rounding = "floor" if self.option("floor") else "nearest"
        return FixedPoint(self.bits - self.fraction, self.fraction, rounding)

    @property
    def is_int8(self) -> bool:
        """Whether codes are those of the 8-bit layers that every runtime has."""
        return str(self) in ("pixels", "affine:8")

    def __str__(self) -> str:
        row, whole = REGISTRY[self.scheme], self.bits - self.fraction
        words = {"": (), "bits": (f"{self.bits}",), "format": (f"{whole}.{self.fraction}",)}
        written = (f"{name}={value}" if f"{name}=" in row.options else name for name, value in self.options)
        return ":".join([self.scheme, *words[row.parameter], *written])

    @property
    def fit(self) -> "Fit":
        """How weights and inputs are fitted to it after training."""
        from lowbit.schemes.fitting.grouped import GroupedFit

        group = self.option(GROUP)
        return GroupedFit(self.row.fit, group) if group else self.row.fit

    @property
    def row(self) -> Scheme:
        """The registry's row of the scheme."""
        return REGISTRY[self.scheme]


FLOAT = Specification("float", FLOAT_BITS)


def specification(text: "str | Specification", use: Use | None = None) -> Specification:
    """Return the specification that a text means.

    Args:
        text: such as `lq:2:offset`.
        use: what it is for, if that is known: `weights`, or `activations`, the inputs of layers.

    Raises:
        PlanError: it means none, or what it is for cannot have it; place and near ones are named.
    """
    if isinstance(text, Specification):
        return text if use is None else specification(str(text), use)
    if not isinstance(text, str):
        raise PlanError("this is no text of a specification", expected=_either(forms(use)), found=repr(text))
    return _Reader(text, use).read()


def forms(use: Use | None = None) -> tuple[str, ...]:
    """Return how specifications are written, such as `lq:K[:offset]`, one for every scheme.

    Args:
        use: of weights or activations only.
    """
    return tuple(word for row in _rows(use) for word in (_form(row), *row.aliases))


def every(use: Use) -> Iterator[Specification]:
    """Yield every specification without a number of free choice, for weights or activations.

    Args:
        use: of what.
    """
    for row in _rows(use):
        least, most = getattr(row, use)
        for bits in range(least, most + 1):
            fractions = range(bits) if row.parameter == "format" else (0,)
            words = [(), *(((option, 1),) for option in row.options if not option.endswith("="))]
            yield from (Specification(row.name, bits, n, word) for n in fractions for word in words)


def _rows(use: Use | None) -> Iterator[Scheme]:
    yield from (row for row in REGISTRY.values() if use is None or getattr(row, use))


def _form(row: Scheme) -> str:
    letters = {"": "", "bits": ":K", "format": ":M.N"}
    options = (f"[:{option}N]" if option.endswith("=") else f"[:{option}]" for option in row.options)
    return "".join([row.name, letters[row.parameter], *options])


def _either(words: Iterable[str]) -> str:
    return " or ".join(words)


class _Word(NamedTuple):
    """A part of a text between colons, and where it begins, from 1."""

    place: int
    text: str


def _words(text: str) -> list[_Word]:
    parts = text.split(":")
    return [_Word(1 + index + sum(map(len, parts[:index])), part) for index, part in enumerate(parts)]


class _Reader:
    """A text that is read for a use."""

    def __init__(self, text: str, use: Use | None) -> None:
        self._text, self._use = text, use

    def read(self) -> Specification:
        """Return what the text means."""
        name, *rest = _words(self._text)
        row = self._row(name)
        if name.text in row.aliases:
            self._end(name.text, rest)
            return specification(row.aliases[name.text], self._use)
        bits, fraction = self._bits(row, rest)
        options = self._options(row, rest[1:] if row.parameter else rest)
        return Specification(row.name, bits, fraction, options)

    def _row(self, name: _Word) -> Scheme:
        """Return the row that a name, or another word for it, stands for."""
        rows = {word: row for row in REGISTRY.values() for word in (row.name, *row.aliases)}
        if name.text not in rows:
            near = difflib.get_close_matches(name.text.lower(), rows, n=3, cutoff=0.5)
            self._fail("unknown scheme", name, [_form(rows[word]) for word in near] or forms(self._use))
        row = rows[name.text]
        if self._use and not getattr(row, self._use):
            self._fail(f"{self._use} cannot have this scheme", name, forms(self._use))
        return row

    def _bits(self, row: Scheme, rest: list[_Word]) -> tuple[int, int]:
        """Return the bits that follow the name, and how many of them are behind the point."""
        least, most = (getattr(row, self._use) if self._use else None) or row.bits
        if not row.parameter:
            return least, 0
        word = rest[0] if rest else _Word(len(self._text) + 1, "")
        if row.parameter == "format":
            found = re.fullmatch(r"(0?[1-9]|[1-9][0-9])\.([0-9]{1,2})", word.text)
            whole, fraction = (int(found[1]), int(found[2])) if found else (0, 0)
            expected = f"{row.name}:M.N, M at least 1 and M + N {least} to {most}"
        else:
            found = re.fullmatch(r"[0-9]{1,2}", word.text)
            whole, fraction = int(found[0]) if found else 0, 0
            expected = f"{row.name}:{least} to {row.name}:{most}"
        if not found or not least <= whole + fraction <= most:
            self._fail("bits out of range" if found else "the bits cannot be read", word, [expected])
        return whole + fraction, fraction

    def _options(self, row: Scheme, words: list[_Word]) -> tuple[tuple[str, int], ...]:
        """Return the options that were said, in the order of the row."""
        if not row.options:
            self._end(row.name, words)
        found: dict[str, int] = {}
        for word in words:
            name, equals, number = word.text.partition("=")
            if name + equals not in row.options:
                near = difflib.get_close_matches(word.text, row.options, n=2, cutoff=0.5) or row.options
                self._fail(f"unknown option of {row.name}", word, near)
            if equals and not re.fullmatch(r"[1-9][0-9]{0,8}", number):
                self._fail(f"{name} is no whole number above 0", word, [f"{name}=128"])
            if name in found:
                self._fail(f"{name} is said twice", word, ["once"])
            found[name] = int(number) if equals else 1
        order = [option.rstrip("=") for option in row.options]
        return tuple((name, found[name]) for name in order if name in found)

    def _end(self, name: str, words: list[_Word]) -> None:
        if words:
            self._fail(f"nothing can follow {name}", words[0], [name])

    def _fail(self, message: str, word: _Word, expected: Iterable[str]) -> NoReturn:
        found = f"{word.text!r} at character {word.place} of {self._text!r}"
        raise PlanError(message, expected=_either(expected), found=found)
