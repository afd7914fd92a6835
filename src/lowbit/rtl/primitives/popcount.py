"""How many bits of two words agree, by look-up tables of six inputs.

    count = Σ_i ¬(x_i ⊕ w_i)

The first level takes three pairs of bits and gives their count in two bits: two tables for three products.
Then six bits of the same weight become a count of three bits, in three tables, until two numbers are left.
7-series and UltraScale+: tables by name, because synthesizers take the structure apart again. Others: the
same functions, as logic.
"""

from collections.abc import Callable, Sequence

from amaranth.hdl import Cat, Const, Instance, Module, Signal, Value

from lowbit.rtl.primitives.target import NAMED_TABLES, Target

LUT_INPUTS = 6

_Columns = list[list[Value]]


def agreeing_bits(m: Module, x: Value, w: Value, target: Target, name: str = "") -> Value:
    """Return the count of equal bits of two words of the same width, as an unsigned value.

    Args:
        m: where it is built.
        x, w: the words.
        target: the family.
        name: that of its tables begin with, where there are several in a module.
    """
    tables = _Tables(m, target, name)
    columns: _Columns = [[], []]
    for at in range(0, len(x), 3):
        pairs = [bit for lane in range(at, min(at + 3, len(x))) for bit in (x[lane], w[lane])]
        for weight, bit in enumerate(tables.bits_of(pairs, _agreeing, 1 if len(pairs) == 2 else 2)):
            columns[weight].append(bit)
    while any(len(column) > 2 for column in columns):
        columns = _level(columns, tables)
    rows = [Cat(*(column[row] if row < len(column) else Const(0, 1) for column in columns)) for row in (0, 1)]
    return (rows[0] + rows[1])[: len(x).bit_length()]


def _level(columns: _Columns, tables: "_Tables") -> _Columns:
    """Return the columns after one level of compressors: of six where there are six, else of what is left."""
    least = LUT_INPUTS if any(len(column) >= LUT_INPUTS for column in columns) else 3
    after: _Columns = [[] for _ in range(len(columns) + 2)]
    for weight, column in enumerate(columns):
        left = list(column)
        while len(left) >= least:
            group, left = left[:LUT_INPUTS], left[LUT_INPUTS:]
            for higher, bit in enumerate(tables.bits_of(group, int.bit_count, len(group).bit_length())):
                after[weight + higher].append(bit)
        after[weight] += left
    while not after[-1]:
        after.pop()
    return after


def _agreeing(pairs: int) -> int:
    """Return how many of three pairs of bits are equal."""
    return sum((pairs >> at & 1) == (pairs >> at + 1 & 1) for at in (0, 2, 4))


class _Tables:
    """Makes look-up tables."""

    def __init__(self, m: Module, target: Target, name: str) -> None:
        self._m, self._target, self._name, self._made = m, target, name, 0

    def bits_of(self, inputs: Sequence[Value], function: Callable[[int], int], bits: int) -> list[Value]:
        """Return the bits of a function of up to six bits; inputs that are missing count for nothing."""
        known = range(1 << len(inputs))
        # A pair that is missing would count as equal, so its two inputs differ.
        missing = 0 if function is not _agreeing else sum(1 << at for at in range(len(inputs), LUT_INPUTS, 2))
        contents = [
            sum((function(index | missing) >> bit & 1) << index for index in known) for bit in range(bits)
        ]
        return [self._table(inputs, content) for content in contents]

    def _table(self, inputs: Sequence[Value], content: int) -> Value:
        output = Signal(name=f"{self._name}table{self._made}")
        self._made += 1
        if self._target in NAMED_TABLES:
            size = len(inputs)
            pins = {f"i_I{number}": bit for number, bit in enumerate(inputs)}
            self._m.submodules[f"{self._name}lut{self._made}"] = Instance(
                f"LUT{size}", p_INIT=Const(content, 1 << size), **pins, o_O=output
            )
        else:
            table = Const(content, 1 << len(inputs))
            self._m.d.comb += output.eq(table.bit_select(Cat(*inputs), 1))
        return output
