"""Packets of pictures at the ends of an engine: what goes in is whole pictures, whatever comes.

A packet is some pictures, TLAST with the last byte of the last. The results of its last picture end in TLAST
as well. Where TLAST comes inside a picture, that picture is *cut*: zeros fill it up, its results are taken
from the engine and thrown away, and the next byte begins a new picture. So every picture that comes whole
gives its results, once and in order, and no other gives any; `cut` counts.

    s_axis ──► Packets.input ──► engine ──► Packets.output ──► m_axis

`lowbit.rtl.formal` proves it.
"""

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import fifo, wiring
from amaranth.lib.wiring import In, Out

from lowbit.rtl.array.hardware.streams import words
from lowbit.rtl.counters import AXI_LITE, Counters

STREAMS = {
    "s_axis_0_tdata": In(8),
    "s_axis_0_tvalid": In(1),
    "s_axis_0_tlast": In(1),
    "s_axis_0_tready": Out(1),
}
"""The stream that comes in, a byte at a time."""


RESULTS = {
    "m_axis_0_tvalid": Out(1),
    "m_axis_0_tlast": Out(1),
    "m_axis_0_tready": In(1),
}
"""The stream that goes out, without its data."""


def ports(width: int, *, counters: bool) -> dict[str, Any]:
    """Return the ports of an engine that takes bytes and gives words of so many bits."""
    return {**(AXI_LITE if counters else {}), **STREAMS, "m_axis_0_tdata": Out(width), **RESULTS}


def join_outside(m: Module, engine: wiring.Component, packets: "Packets", registers: Counters | None) -> None:
    """Let packets, and registers where there are some, have the ports of an engine."""
    join(m, engine, packets, ports(1, counters=False))
    if registers is not None:
        join(m, engine, registers, AXI_LITE)
        m.d.comb += [
            registers.started.eq(packets.started),
            registers.left.eq(packets.left),
            registers.cut.eq(packets.cut),
            packets.run.eq(registers.run),
        ]


def join(m: Module, engine: wiring.Component, part: wiring.Component, names: Mapping[str, Any]) -> None:
    """Let a part of an engine have some of its ports."""
    for name, member in names.items():
        outer, inner = getattr(engine, name), getattr(part, name)
        m.d.comb += outer.eq(inner) if member.flow is Out else inner.eq(outer)


class Packets(wiring.Component):
    """See the module.

    Args:
        picture_bytes: of a picture.
        pictures: more than can be inside at a time.
        results: words that a picture gives, the class among them.
        width: bits of such a word.

    Ports: ``s_axis_0_…`` and ``m_axis_0_…``, outside; ``input``, bytes of whole pictures; ``output``, what
    the engine gives for them. While a picture begins, leaves (whole
    or not), or is cut: ``started``, ``left``, ``cut``. No picture begins without ``run``.
    """

    def __init__(self, picture_bytes: int, pictures: int, results: int, width: int) -> None:
        self._bytes, self._pictures, self._results = picture_bytes, pictures, results
        super().__init__(
            {
                **STREAMS,
                **RESULTS,
                "m_axis_0_tdata": Out(width),
                "input": Out(words(8)),
                "output": In(words(width)),
                "started": Out(1),
                "left": Out(1),
                "cut": Out(1),
                "run": In(1, init=1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Return a counter of bytes, and what is known of every picture inside."""
        m = Module()
        m.submodules.ends = ends = fifo.SyncFIFO(width=2, depth=self._pictures)
        position, filling = Signal(range(max(2, self._bytes)), name="position"), Signal(name="filling")
        is_end, taken = position == self._bytes - 1, Signal(name="taken")
        may_enter = (ends.w_rdy | ~is_end) & (self.run | (position != 0))
        m.d.comb += [
            self.input.payload.eq(Mux(filling, 0, self.s_axis_0_tdata)),
            self.input.valid.eq((self.s_axis_0_tvalid | filling) & may_enter),
            self.s_axis_0_tready.eq(self.input.ready & may_enter & ~filling),
            taken.eq(self.input.valid & self.input.ready),
            self.cut.eq(taken & ~filling & self.s_axis_0_tlast & ~is_end),
            self.started.eq(taken & (position == 0)),
            ends.w_en.eq(taken & is_end),
            ends.w_data.eq(Cat(self.s_axis_0_tlast & ~filling, filling)),
        ]
        with m.If(taken):
            m.d.sync += position.eq(Mux(is_end, 0, position + 1))
            m.d.sync += filling.eq((filling | self.s_axis_0_tlast) & ~is_end)

        word = Signal(range(max(2, self._results)), name="word")
        is_last, given = word == self._results - 1, self.output.valid & self.output.ready
        with m.If(given):
            m.d.sync += word.eq(Mux(is_last, 0, word + 1))
        last, dropped = ends.r_data[0], ends.r_data[1]
        m.d.comb += [
            self.m_axis_0_tdata.eq(self.output.payload),
            self.m_axis_0_tvalid.eq(self.output.valid & ends.r_rdy & ~dropped),
            self.m_axis_0_tlast.eq(is_last & last & ends.r_rdy),
            self.output.ready.eq(ends.r_rdy & (self.m_axis_0_tready | dropped)),
            self.left.eq(given & is_last),
            ends.r_en.eq(self.left),
        ]
        return m
