"""Streams of words between units: other widths, other codes.

A word is taken in a clock in which it is valid and the reader ready.
"""

from collections.abc import Sequence
from math import gcd
from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


def words(width: int) -> stream.Signature:
    """Return a stream of words of so many bits."""
    return stream.Signature(unsigned(width))


class Split(wiring.Component):
    """Words in parts, the lowest first."""

    def __init__(self, width: int, parts: int) -> None:
        self._width, self._parts = width, parts
        super().__init__({"input": In(words(width * parts)), "output": Out(words(width))})

    def elaborate(self, platform: Any) -> Module:
        """Return a shift register that is loaded as its last part leaves."""
        m, left = Module(), Signal(range(self._parts + 1))
        held = Signal(self._width * self._parts, reset_less=True)
        m.d.comb += [
            self.output.valid.eq(left != 0),
            self.output.payload.eq(held),
            self.input.ready.eq((left == 0) | ((left == 1) & self.output.ready)),
        ]
        with m.If(self.output.valid & self.output.ready):
            m.d.sync += [held.eq(held >> self._width), left.eq(left - 1)]
        with m.If(self.input.valid & self.input.ready):
            m.d.sync += [held.eq(self.input.payload), left.eq(self._parts)]
        return m


class Gather(wiring.Component):
    """Words of several parts, the first in the lowest bits."""

    def __init__(self, width: int, parts: int) -> None:
        self._width, self._parts = width, parts
        super().__init__({"input": In(words(width)), "output": Out(words(width * parts))})

    def elaborate(self, platform: Any) -> Module:
        """Return a shift register that takes a part as a full word leaves."""
        m, count = Module(), Signal(range(self._parts + 1))
        held = Signal(self._width * self._parts, reset_less=True)
        full = count == self._parts
        m.d.comb += [
            self.output.valid.eq(full),
            self.output.payload.eq(held),
            self.input.ready.eq(~full | self.output.ready),
        ]
        with m.If(full & self.output.ready):
            m.d.sync += count.eq(0)
        with m.If(self.input.valid & self.input.ready):
            m.d.sync += [
                held.eq(Cat(held, self.input.payload) >> self._width),
                count.eq(Mux(full, 1, count + 1)),
            ]
        return m


def connect(m: Module, source: Any, sink: Any) -> None:
    """Join an output stream and an input stream."""
    m.d.comb += [
        sink.payload.eq(source.payload),
        sink.valid.eq(source.valid),
        source.ready.eq(sink.ready),
    ]


def adapt(m: Module, name: str, source: Any, before: int, after: int, bits: int) -> Any:
    """Return a stream of ``after`` numbers per word, made of one with ``before``.

    Where neither divides the other, words are split to what divides both, and gathered again.
    """
    common = gcd(before, after)
    for label, component in (
        ("split", Split(common * bits, before // common) if common < before else None),
        ("gather", Gather(common * bits, after // common) if common < after else None),
    ):
        if component is not None:
            m.submodules[f"{label}_{name}"] = component
            connect(m, source, component.input)
            source = component.output
    return source


def recoded(m: Module, name: str, word: Value, table: Sequence[int] | None, bits: int, width: int) -> Value:
    """Return the numbers in a word, of so many bits each, looked up in a table of ``width`` bits."""
    if table is None:
        return word
    codes = Array(Const(code, width) for code in table)
    found = Signal(len(word) // bits * width, name=name)
    for lane in range(len(word) // bits):
        m.d.comb += found.word_select(lane, width).eq(codes[word.word_select(lane, bits)])
    return found


def choose(values: Sequence[int], index: Value) -> Value:
    """Return the entry of a table; a constant where all are the same."""
    width = max(1, max(values).bit_length())
    if len(set(values)) == 1:
        return Const(values[0], width)
    return Array(Const(value, width) for value in values)[index]
