"""Whole windows, drawn: a memory per row, a column of all rows of the window per clock, columns in registers.

clock 0   a column's address
clock 1   the column, from the memories of the window's rows, into the last register; the others move on
clock 2   a window, if enough columns of its row are there and the stride comes to it
"""

from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, unsigned
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
        rows, columns = plan.windows.window
        enable, running = Signal(name="enable"), Signal(name="running")
        stored, base = Signal(range(order.ring + 1), name="stored"), Signal(range(order.ring), name="base")
        x, y = Signal(range(plan.columns), name="x"), Signal(address_bits(len(order.rows)), name="y")
        row_end, released = Signal(name="row_end"), Signal(range(order.ring + 1), name="released")
        m.d.comb += [
            enable.eq(~self.output.valid | self.output.ready),
            row_end.eq(running & enable & (x == plan.columns - 1)),
            released.eq(Mux(row_end, choose(order.released, y), 0)),
        ]
        with m.If(running & enable):
            m.d.sync += x.eq(Mux(row_end, 0, x + 1))
        with m.If(row_end):
            m.d.sync += [
                running.eq(0),
                y.eq(Mux(y == len(order.rows) - 1, 0, y + 1)),
                base.eq(wrapped(base + released, order.ring)),
            ]
        with m.If(~running):
            m.d.sync += running.eq(stored >= choose(order.needed, y))
        data = self._rows(m, x, enable, stored, released)
        first = Signal(range(order.ring), name="first_row")
        moved, whole = Signal(name="moved"), Signal(name="whole")
        at_stride = self._at_stride(m, x, running & enable)
        with m.If(enable):
            m.d.sync += [first.eq(base), moved.eq(running), whole.eq(at_stride)]
            m.d.sync += self.output.valid.eq(moved & whole)
        column = [Array(data)[wrapped(first + tap, order.ring)] for tap in range(rows.kernel)]
        registers = [
            [Signal(len(word), name=f"window{i}_{j}", reset_less=True) for j in range(columns.kernel)]
            for i, word in enumerate(column)
        ]
        with m.If(enable & moved):
            for own, word in zip(registers, column, strict=True):
                m.d.sync += [left.eq(right) for left, right in zip(own, [*own[1:], word], strict=True)]
        m.d.comb += self.output.payload.eq(Cat(*(register for own in registers for register in own)))
        return m

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

    def _at_stride(self, m: Module, x: Signal, step: Any) -> Any:
        """Return whether the column that is read is the last of a window."""
        columns = self._plan.windows.window[1]
        if columns.stride == 1:
            return x >= columns.kernel - 1
        last = [
            at >= columns.kernel - 1 and (at - columns.kernel + 1) % columns.stride == 0
            for at in range(self._plan.columns)
        ]
        return Array(Const(int(one), 1) for one in last)[x]
