"""Rows of a map in a ring: written word by word as they come, read at any word, given back row by row."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from lowbit.rtl.array.hardware.streams import words
from lowbit.rtl.array.schedule import Schedule
from lowbit.rtl.primitives.address import join


class RowRing(wiring.Component):
    """A memory of rows, each at a power of two: an address is a row and a word side by side.

    Ports: ``input``; ``stored``, whole rows that have not been given back; ``released``, rows given back in
    this clock; ``row`` and ``word``, what is read while ``read``, and a clock later ``data``.
    """

    def __init__(self, schedule: Schedule, width: int) -> None:
        self._schedule, self._width = schedule, width
        super().__init__(
            {
                "input": In(words(width)),
                "stored": Out(range(schedule.ring + 1)),
                "released": In(range(schedule.ring + 1)),
                "read": In(1),
                **{name: In(width) for name, width in schedule.stored.widths.items()},
                "data": Out(width),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Return memory and counters."""
        m, plan = Module(), self._schedule
        depth = max(2, plan.stored.depth)
        m.submodules.rows = rows = memory.Memory(shape=unsigned(self._width), depth=depth, init=[])
        write, read = rows.write_port(), rows.read_port()
        at, row = Signal(len(self.word)), Signal(len(self.row))
        taken, full = Signal(), Signal()
        m.d.comb += [
            self.input.ready.eq(self.stored != plan.ring),
            taken.eq(self.input.valid & self.input.ready),
            full.eq(taken & (at == plan.row_words - 1)),
            write.addr.eq(join(plan.stored, word=at, row=row)),
            write.data.eq(self.input.payload),
            write.en.eq(taken),
            read.addr.eq(join(plan.stored, word=self.word, row=self.row)),
            read.en.eq(self.read),
            self.data.eq(read.data),
        ]
        with m.If(taken):
            m.d.sync += at.eq(at + 1)
        with m.If(full):
            m.d.sync += [at.eq(0), row.eq(Mux(row == plan.ring - 1, 0, row + 1))]
        m.d.sync += self.stored.eq(self.stored + full - self.released)
        return m
