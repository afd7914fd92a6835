"""Whole windows, drawn: a memory per row, a column of all rows of the window per clock, columns in registers.

clock 0   a column's address
clock 1   the column, from the memories of the window's rows, into the last register; the others move on
clock 2   a window, if enough columns of its row are there and the stride comes to it

A row's columns follow those of the row before where its rows are there; else columns of nothing complete the
windows that reach into the padding on the right.
"""

from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from lowbit.rtl.array.hardware.sequencer import wrapped
from lowbit.rtl.array.hardware.streams import choose, words
from lowbit.rtl.array.units.unit import address_bits
from lowbit.rtl.array.units.windows import WindowsPlan


class WindowsUnit(wiring.Component):
    """Ports: ``input0``, words of pixels; ``output``, words of windows."""

    def __init__(self, plan: WindowsPlan) -> None:
        self._plan = plan
        super().__init__({"input0": In(words(plan.inputs[0].width)), "output": Out(words(plan.output.width))})

    def elaborate(self, platform: Any) -> Module:
        """Return memories, counters and registers."""
        m, plan, order = Module(), self._plan, self._plan.schedule
        enable, running, owed = (Signal(name=name) for name in ("enable", "running", "owed"))
        stored, base = Signal(range(order.ring + 1), name="stored"), Signal(range(order.ring), name="base")
        x, y = Signal(range(plan.columns), name="x"), Signal(address_bits(len(order.rows)), name="y")
        released = Signal(range(order.ring + 1), name="released")
        row_end, flushing = Signal(name="row_end"), Signal(name="flushing")
        next_y = Mux(y == len(order.rows) - 1, 0, y + 1)
        following = [gone + more for gone, more in zip(order.released, _next(order.needed), strict=True)]
        m.d.comb += [
            enable.eq(~self.output.valid | self.output.ready),
            row_end.eq(running & enable & (x == plan.columns - 1)),
            released.eq(Mux(row_end, choose(order.released, y), 0)),
        ]
        with m.If(running & enable):
            m.d.sync += x.eq(Mux(row_end, 0, x + 1))
        with m.If(row_end):
            more = stored >= choose(following, y)
            m.d.sync += [running.eq(more), y.eq(next_y), base.eq(wrapped(base + released, order.ring))]
            if plan.late:
                m.d.sync += [owed.eq(1), flushing.eq(~more)]
        with m.If(flushing & enable):
            m.d.sync += x.eq(x + 1)
            with m.If(x == plan.late - 1):
                m.d.sync += [flushing.eq(0), owed.eq(0), x.eq(0)]
        with m.If(~running & ~flushing):
            m.d.sync += running.eq(stored >= choose(order.needed, y))
        self._shift(
            m, enable, running | flushing, owed, x, self._column(m, x, y, base, enable, stored, released)
        )
        return m

    def _column(
        self, m: Module, x: Signal, y: Signal, base: Signal, enable: Signal, stored: Signal, released: Signal
    ) -> list[Any]:
        """Return a column of the window, a clock later: rank 0 where its rows are in the padding."""
        order, kernel = self._plan.schedule, self._plan.windows.window[0].kernel
        data = self._rows(m, x, enable, stored, released)
        first, there = Signal(range(order.ring), name="first_row"), Signal(kernel, name="rows_there")
        ahead = [
            (skipped - row.tap) % order.ring for skipped, row in zip(order.skipped, order.rows, strict=True)
        ]
        masks = [((1 << row.taps) - 1) << row.tap for row in order.rows]
        with m.If(enable):
            m.d.sync += [
                first.eq(wrapped(base + choose(ahead, y), order.ring)),
                there.eq(choose(masks, y)),
            ]
        rows = [Array(data)[wrapped(first + tap, order.ring)] for tap in range(kernel)]
        if len(set(masks)) == 1:
            return rows
        return [Mux(there[tap], word, 0) for tap, word in enumerate(rows)]

    def _shift(
        self, m: Module, enable: Signal, moving: Any, owed: Signal, x: Signal, column: list[Any]
    ) -> None:
        """Let columns move through registers, and give a window where one is whole."""
        plan, columns = self._plan, self._plan.windows.window[1]
        width = self._plan.inputs[0].width
        mask, moved, whole = Signal(columns.kernel, name="mask"), Signal(name="moved"), Signal(name="whole")
        inside = Signal(columns.kernel, name="inside")
        taps = choose(plan.whole, x)
        mine = taps != 0
        if plan.late:
            mine = mine & ((x >= plan.late) | owed)
        registers = [
            [Signal(width, name=f"window{i}_{j}", reset_less=True) for j in range(columns.kernel)]
            for i in range(len(column))
        ]
        with m.If(enable):
            m.d.sync += [mask.eq(taps), inside.eq(mask), moved.eq(moving), whole.eq(mine)]
            m.d.sync += self.output.valid.eq(moved & whole)
        with m.If(enable & moved):
            for own, word in zip(registers, column, strict=True):
                m.d.sync += [left.eq(right) for left, right in zip(own, [*own[1:], word], strict=True)]
        padded = any(found not in (0, (1 << columns.kernel) - 1) for found in plan.whole)
        shown = [
            Mux(inside[j], register, 0) if padded else register
            for own in registers
            for j, register in enumerate(own)
        ]
        m.d.comb += self.output.payload.eq(Cat(*shown))

    def _rows(self, m: Module, x: Signal, enable: Signal, stored: Signal, released: Signal) -> list[Any]:
        """Return what the memory of each row has at a column, a clock later; rows are written in turn."""
        order, width = self._plan.schedule, self._plan.inputs[0].width
        at, row = Signal(range(order.width), name="column"), Signal(range(order.ring), name="row")
        taken, full, data = Signal(name="taken"), Signal(name="full"), []
        m.d.comb += [
            self.input0.ready.eq(stored != order.ring),
            taken.eq(self.input0.valid & self.input0.ready),
            full.eq(taken & (at == order.width - 1)),
        ]
        with m.If(taken):
            m.d.sync += at.eq(Mux(full, 0, at + 1))
        with m.If(full):
            m.d.sync += row.eq(wrapped(row + 1, order.ring))
        m.d.sync += stored.eq(stored + full - released)
        for number in range(order.ring):
            m.submodules[f"row{number}"] = own = memory.Memory(
                shape=unsigned(width), depth=max(2, order.width), init=[]
            )
            write, read = own.write_port(), own.read_port()
            m.d.comb += [
                write.addr.eq(at),
                write.data.eq(self.input0.payload),
                write.en.eq(taken & (row == number)),
                read.addr.eq(x),
                read.en.eq(enable),
            ]
            data.append(read.data)
        return data


def _next(values: tuple[int, ...]) -> tuple[int, ...]:
    return (*values[1:], values[0])
