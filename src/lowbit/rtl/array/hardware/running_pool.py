"""A pool whose windows do not overlap, drawn: every word goes into what its window has so far.

clock 0   a word is taken, and the address of what its window has
clock 1   both are there: the largest or the sum is written back, and goes out with the window's last word

What was computed last is not yet in the memory when the next word wants it, and is taken from its register.
"""

from typing import Any

from amaranth.hdl import Cat, EnableInserter, Module, Mux, Signal, Value, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from lowbit.ir.window import Axis
from lowbit.rtl.array.hardware.streams import choose, words
from lowbit.rtl.array.units.pool import PoolPlan
from lowbit.rtl.array.units.unit import address_bits
from lowbit.rtl.primitives.address import join


class RunningPool(wiring.Component):
    """Ports: ``input0``, words of ranks; ``output``, words of ranks, or of sums of them."""

    def __init__(self, plan: PoolPlan) -> None:
        self._plan = plan
        super().__init__({"input0": In(words(plan.inputs[0].width)), "output": Out(words(plan.output.width))})

    def elaborate(self, platform: Any) -> Module:
        """Return the core behind its clock enable."""
        m, enable = Module(), Signal(name="enable")
        m.submodules.core = EnableInserter(enable)(self._core())
        m.d.comb += [enable.eq(~self.output.valid | self.output.ready), self.input0.ready.eq(enable)]
        return m

    def _core(self) -> Module:
        m, plan = Module(), self._plan
        taken = self.input0.valid
        inside, first, last, address = self._place(m, taken)
        held = Signal(plan.inputs[0].width, name="held", reset_less=True)
        there, starts, ends = (Signal(name=name) for name in ("there", "starts", "ends"))
        own, before = (Signal(plan.partial.bits, name=name) for name in ("own_address", "address_before"))
        m.d.sync += [
            held.eq(self.input0.payload),
            there.eq(taken & inside),
            starts.eq(first),
            ends.eq(last),
            own.eq(address),
            self.output.valid.eq(there & ends),
        ]
        written, found = Signal(plan.output.width, name="written"), []
        so_far = self._so_far(m, address, own, before, written, there)
        for lane in range(plan.lanes):
            rank = held.word_select(lane, plan.pool.bits)
            old = so_far.word_select(lane, plan.output.bits)
            new = rank + old if plan.pool.sums else Mux(rank > old, rank, old)
            found.append(Mux(starts, rank, new)[: plan.output.bits])
        m.d.comb += written.eq(Cat(*found))
        with m.If(there):
            m.d.sync += [self.output.payload.eq(written), before.eq(own)]
        return m

    def _so_far(
        self, m: Module, address: Value, own: Value, before: Value, written: Value, there: Value
    ) -> Value:
        """Return what the window of a word has, a clock after its address, and keep what it has then."""
        plan = self._plan
        if plan.partial.depth == 1:
            return self.output.payload
        width = plan.output.width
        m.submodules.partial = kept = memory.Memory(shape=unsigned(width), depth=plan.partial.depth, init=[])
        read, write = kept.read_port(), kept.write_port()
        m.d.comb += [
            read.addr.eq(address),
            read.en.eq(1),
            write.addr.eq(own),
            write.data.eq(written),
            write.en.eq(there),
        ]
        return Mux(own == before, self.output.payload, read.data)

    def _place(self, m: Module, taken: Value) -> tuple[Value, Value, Value, Value]:
        """Return whether a word is in a window, its first or its last one there, and the window's address."""
        plan, (rows, columns) = self._plan, self._plan.pool.window
        word, x, y = (
            Signal(address_bits(length), name=name)
            for name, length in (("word", plan.words), ("x", columns.extent), ("y", rows.extent))
        )
        column = Signal(address_bits(columns.outputs), name="column")
        row_of, column_of = (
            [choose(table, at) for table in _tables(axis)] for axis, at in ((rows, y), (columns, x))
        )
        pixel_end, row_end = word == plan.words - 1, x == columns.extent - 1
        with m.If(taken):
            m.d.sync += word.eq(Mux(pixel_end, 0, word + 1))
            with m.If(pixel_end):
                m.d.sync += [x.eq(Mux(row_end, 0, x + 1)), column.eq(column + column_of[2])]
                with m.If(row_end):
                    m.d.sync += [y.eq(Mux(y == rows.extent - 1, 0, y + 1)), column.eq(0)]
        inside, first, last = (one & other for one, other in zip(row_of, column_of, strict=True))
        return inside, first, last, join(plan.partial, word=word, column=column)


def _tables(axis: Axis) -> tuple[list[int], list[int], list[int]]:
    """Return of every position whether a window reads it, is there for the first and for the last time."""
    inside, first, last = ([0] * axis.extent for _ in range(3))
    for valid, positions in zip(axis.valid(), axis.positions(), strict=True):
        read = positions[valid].tolist()
        first[read[0]] = last[read[-1]] = 1
        for position in read:
            inside[position] = 1
    return inside, first, last
