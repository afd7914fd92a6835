"""The text of one generated program while it grows: types, constants, functions and statements, each once."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.c99.stored import Stored, size_of

_NUMPY = {
    "uint8_t": np.uint8,
    "int8_t": np.int8,
    "uint16_t": np.uint16,
    "int16_t": np.int16,
    "uint32_t": np.uint32,
    "int32_t": np.int32,
    "int64_t": np.int64,
    "float": np.float32,
    "double": np.float64,
}
_SIGNED = ("int16_t", "int32_t", "int64_t")
_LINE = 100


@dataclass(frozen=True)
class Statement:
    """A call of the program, and what it needs of the arena.

    Attributes:
        text: of C.
        result: what it makes.
        reads: numbers of values.
        scratch: bytes that it alone uses.
        in_place: whether it may write over the first value that it reads.
        distance: how far below the value that it reads its result may begin and grow into it; -1: not at all.
    """

    text: str
    result: Stored
    reads: tuple[int, ...]
    scratch: int = 0
    in_place: bool = False
    distance: int = -1


@dataclass
class Unit:
    """What a generated file holds so far.

    Attributes:
        values: by number.
        functions: shared ones by name, in the order in which they call each other.
        constants: the text of each array and struct.
        statements: in order.
        weight_bytes, constant_bytes: of weights, and of everything else that is constant.
        owners: bytes of constants by the number of the value whose step they belong to.
        current: the number of the value whose step is being added.
        integers: whether outputs are integers, too.
        proved: whether the order of integer scores was looked at for all sums.
        roots: of values that lie where another one does, by number.
        gathered: numbers of values that windows alone read, so that a table may wait until then.
    """

    values: dict[int, Stored] = field(default_factory=dict)
    functions: dict[str, str] = field(default_factory=dict)
    constants: dict[str, str] = field(default_factory=dict)
    statements: list[Statement] = field(default_factory=list)
    weight_bytes: int = 0
    constant_bytes: int = 0
    owners: dict[int, int] = field(default_factory=dict)
    current: int = 0
    integers: bool = False
    proved: bool = True
    roots: dict[int, int] = field(default_factory=dict)
    gathered: frozenset[int] = frozenset()
    _known: dict[tuple[str, bytes], str] = field(default_factory=dict)

    def function(self, name: str, text: str) -> str:
        """Add a shared function, once; return its name."""
        self.functions.setdefault(name, text.strip("\n"))
        return name

    def array(self, ctype: str, numbers: npt.ArrayLike, stem: str, *, weights: bool = False) -> str:
        """Add a constant array; return its name. Equal ones are one.

        Args:
            ctype: of its elements.
            numbers: laid flat.
            stem: what its name begins with.
            weights: whether it is counted as weights.
        """
        dense = np.ascontiguousarray(numbers, _NUMPY[ctype]).reshape(-1)
        key = ctype, dense.tobytes()
        if key not in self._known:
            name = f"{stem}_{self.current}"
            while name in self.constants:
                name += "_"
            self.constants[name] = f"static const {ctype} {name}[{len(dense)}] = {{\n{_rows(dense)}\n}};"
            self._known[key] = name
            self._count(dense.nbytes, weights=weights)
        return self._known[key]

    def struct(self, kind: str, fields: Iterable[tuple[str, str]], sizes: int) -> str:
        """Add a constant struct; return its name.

        Args:
            kind: of struct, declared by a function's text.
            fields: names and initializers.
            sizes: its bytes on a machine of 32 bits.
        """
        name = f"{kind}_{self.current}"
        while name in self.constants:
            name += "_"
        inner = ", ".join(f".{key} = {text}" for key, text in fields)
        self.constants[name] = f"static const struct {kind} {name} = {{{inner}}};"
        self._count(sizes, weights=False)
        return name

    def _count(self, nbytes: int, *, weights: bool) -> None:
        if weights:
            self.weight_bytes += nbytes
        else:
            self.constant_bytes += nbytes
        self.owners[self.current] = self.owners.get(self.current, 0) + nbytes

    def put(
        self,
        text: str,
        result: Stored,
        reads: Iterable[Stored],
        scratch: int = 0,
        *,
        in_place: bool = False,
        distance: int = -1,
    ) -> Stored:
        """Add a statement that makes a value; see `Statement`."""
        numbers = tuple(each.number for each in reads)
        self.statements.append(Statement(text, result, numbers, scratch, in_place, distance))
        self.values[result.number] = result
        return result

    def alias(self, value: Stored, source: Stored) -> Stored:
        """Note that a value lies where another one does."""
        made = replace(value, text=source.name)
        self.roots[value.number] = self.root(source.number)
        self.values[value.number] = made
        return made

    def root(self, number: int) -> int:
        """Return the number of the value whose memory a value lies in."""
        return self.roots.get(number, number)


def narrowest(numbers: npt.NDArray[Any], *, bytes_too: bool = False) -> str:
    """Return the narrowest signed type of at least 16 bits, or of 8, that holds integers."""
    low, high = int(numbers.min(initial=0)), int(numbers.max(initial=0))
    for ctype in ("int8_t", *_SIGNED) if bytes_too else _SIGNED:
        limit = 1 << (8 * size_of(ctype) - 1)
        if -limit <= low and high < limit:
            return ctype
    raise OverflowError(f"{low} to {high}")


def times_function(unit: Unit, ctype: str, bits: int) -> str:
    """Add what multiplies a number by a code of so many bits; return its name: ``NAME(x, code)``.

    Shifted numbers are added where a core cannot multiply.
    """
    name = f"times_{ctype[0]}{bits}"
    terms = "".join(f"  if (code & {1 << bit}) sum += x * {1 << bit};\n" for bit in range(bits))
    return unit.function(
        name,
        f"""
#if defined(LOWBIT_NO_MULTIPLY)
static {ctype} {name}({ctype} x, {ctype} code)
{{
  {ctype} sum = 0;
{terms}  return sum;
}}
#else
#define {name}(x, code) ((x) * (code))
#endif
""",
    )


def number(value: float) -> str:
    """Return a float64 in C, exactly."""
    return float(value).hex()


def integer(value: int) -> str:
    """Return an integer in C, of 32 or of 64 bits."""
    if -(1 << 31) <= value < 1 << 31:
        return str(value) if value >= 0 else f"({value})" if value > -(1 << 31) else "(-2147483647 - 1)"
    if value == -(1 << 63):
        return "(-INT64_C(9223372036854775807) - 1)"
    return f"INT64_C({value})" if value >= 0 else f"(-INT64_C({-value}))"


def _rows(numbers: npt.NDArray[Any]) -> str:
    lines, line = [], " "
    for each in numbers:
        text = _text(each)
        if len(line) + len(text) > _LINE:
            lines.append(line)
            line = " "
        line += f" {text},"
    return "\n".join([*lines, line])


def _text(value: Any) -> str:
    if isinstance(value, np.floating):
        return float(value).hex() + ("f" if value.dtype == np.float32 else "")
    if isinstance(value, np.uint32):
        return f"0x{int(value):08x}u"
    return integer(int(value)).strip("()") if -(1 << 31) < int(value) < 1 << 31 else integer(int(value))
