"""Packets of pictures at the ends of an engine: what goes in is whole pictures, whatever comes.

A packet is some pictures, TLAST with the last byte of the last. The results of its last picture end in TLAST
as well. Where TLAST comes inside a picture, that picture is *cut*: zeros fill it up, its results are taken
from the engine and thrown away, and the next byte begins a new picture. So every picture that comes whole
gives its results, once and in order, and no other gives any; `cut` counts.

    s_axis ──► Packets.input ──► engine ──► Packets.output ──► m_axis

`lowbit.rtl.formal` proves it.
"""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import fifo, wiring
from amaranth.lib.wiring import In, Out

from lowbit.rtl.array.hardware.streams import words

STREAMS = {
    "s_axis_0_tdata": In(8),
    "s_axis_0_tvalid": In(1),
    "s_axis_0_tlast": In(1),
    "s_axis_0_tready": Out(1),
}
"""The stream that comes in, a byte at a time."""


class Packets(wiring.Component):
    """See the module.

    Args:
        picture_bytes: of a picture.
        pictures: more than can be inside at a time.
        width: bits of a result.

    Ports: ``s_axis_0_…`` and ``m_axis_0_…``, outside; ``input``, bytes of whole pictures; ``output``, what
    the engine gives for them, ``is_last`` with the last word of each; ``cut``, while a picture is cut.
    """

    def __init__(self, picture_bytes: int, pictures: int, width: int) -> None:
        self._bytes, self._pictures = picture_bytes, pictures
        super().__init__(
            {
                **STREAMS,
                "m_axis_0_tdata": Out(width),
                "m_axis_0_tvalid": Out(1),
                "m_axis_0_tlast": Out(1),
                "m_axis_0_tready": In(1),
                "input": Out(words(8)),
                "output": In(words(width)),
                "is_last": In(1),
                "cut": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Return a counter of bytes, and what is known of every picture inside."""
        m = Module()
        m.submodules.ends = ends = fifo.SyncFIFO(width=2, depth=self._pictures)
        position, filling = Signal(range(max(2, self._bytes)), name="position"), Signal(name="filling")
        is_end, taken = position == self._bytes - 1, Signal(name="taken")
        may_enter = ends.w_rdy | ~is_end
        m.d.comb += [
            self.input.payload.eq(Mux(filling, 0, self.s_axis_0_tdata)),
            self.input.valid.eq((self.s_axis_0_tvalid | filling) & may_enter),
            self.s_axis_0_tready.eq(self.input.ready & may_enter & ~filling),
            taken.eq(self.input.valid & self.input.ready),
            self.cut.eq(taken & ~filling & self.s_axis_0_tlast & ~is_end),
            ends.w_en.eq(taken & is_end),
            ends.w_data.eq(Cat(self.s_axis_0_tlast & ~filling, filling)),
        ]
        with m.If(taken):
            m.d.sync += position.eq(Mux(is_end, 0, position + 1))
            m.d.sync += filling.eq((filling | self.s_axis_0_tlast) & ~is_end)

        last, dropped = ends.r_data[0], ends.r_data[1]
        m.d.comb += [
            self.m_axis_0_tdata.eq(self.output.payload),
            self.m_axis_0_tvalid.eq(self.output.valid & ends.r_rdy & ~dropped),
            self.m_axis_0_tlast.eq(self.is_last & last & ends.r_rdy),
            self.output.ready.eq(ends.r_rdy & (self.m_axis_0_tready | dropped)),
            ends.r_en.eq(self.output.valid & self.output.ready & self.is_last),
        ]
        return m
