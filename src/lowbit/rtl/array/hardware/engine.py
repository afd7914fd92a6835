"""The array engine: picture in, scores and class out, as AXI-Streams.

    s_axis_0   one byte per element, pixel by pixel, the channels of a pixel together; TLAST with the last
    byte of
               a packet of pictures
    m_axis_0   the sums of the last layer, then the class; 32 bits; TLAST with the class of the packet's last
    picture

Every unit waits for its input and for its reader, so several pictures are inside at a time, and a result
never waits for the next picture.
"""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import fifo, wiring
from amaranth.lib.wiring import In, Out

from lowbit.rtl.array.hardware.scores import Scores
from lowbit.rtl.array.hardware.streams import adapt, connect, words
from lowbit.rtl.array.hardware.units import Unit
from lowbit.rtl.array.plan import ArrayPlan, address_bits
from lowbit.rtl.array.scores import SCORE_BITS
from lowbit.rtl.primitives.rom import Rom


class Pixels(wiring.Component):
    """Bytes as ranks: a table, where they differ."""

    def __init__(self, plan: ArrayPlan) -> None:
        self._ranks, self._bits = plan.network.pixels.tolist(), plan.pixel_bits
        super().__init__({"input": In(words(8)), "output": Out(words(plan.pixel_bits))})

    def elaborate(self, platform: Any) -> Module:
        """Return a register, or the memory with the table."""
        m, taken = Module(), Signal(name="taken")
        m.d.comb += [
            self.input.ready.eq(~self.output.valid | self.output.ready),
            taken.eq(self.input.valid & self.input.ready),
        ]
        with m.If(self.input.ready):
            m.d.sync += self.output.valid.eq(self.input.valid)
        pixel = Signal(8, reset_less=True)
        with m.If(taken):
            m.d.sync += pixel.eq(self.input.payload)
        if self._ranks == list(range(256)):
            m.d.comb += self.output.payload.eq(pixel)
            return m
        m.submodules.ranks = rom = Rom(self._ranks, self._bits, tables=True)
        m.d.comb += [
            rom.address.eq(Mux(taken, self.input.payload, pixel)),
            self.output.payload.eq(rom.word),
        ]
        return m


class ArrayEngine(wiring.Component):
    """All units, between AXI-Streams."""

    def __init__(self, plan: ArrayPlan) -> None:
        self._plan = plan
        super().__init__(
            {
                "s_axis_0_tdata": In(8),
                "s_axis_0_tvalid": In(1),
                "s_axis_0_tlast": In(1),
                "s_axis_0_tready": Out(1),
                "m_axis_0_tdata": Out(SCORE_BITS),
                "m_axis_0_tvalid": Out(1),
                "m_axis_0_tlast": Out(1),
                "m_axis_0_tready": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Return pixels, units and scores in a row, and the ends of packets beside them."""
        m, plan = Module(), self._plan
        m.submodules.pixels = pixels = Pixels(plan)
        m.submodules.ends = ends = fifo.SyncFIFO(width=1, depth=plan.pictures_inside)
        source, lanes, bits = pixels.output, 1, plan.pixel_bits
        for label, unit in zip(plan.labels, plan.units, strict=True):
            part = Unit(unit)
            source = adapt(m, label, source, lanes, unit.in_lanes, bits)
            m.submodules[label] = part
            connect(m, source, part.input)
            source, lanes, bits = part.output, unit.out_lanes, unit.out_bits
        m.submodules.scores = scores = Scores(plan.scores, bits)
        connect(m, adapt(m, "scores", source, lanes, 1, bits), scores.input)

        last_byte = self._last_byte(m)
        may_enter = ends.w_rdy | ~last_byte
        m.d.comb += [
            pixels.input.payload.eq(self.s_axis_0_tdata),
            pixels.input.valid.eq(self.s_axis_0_tvalid & may_enter),
            self.s_axis_0_tready.eq(pixels.input.ready & may_enter),
            ends.w_en.eq(self.s_axis_0_tvalid & self.s_axis_0_tready & last_byte),
            ends.w_data.eq(self.s_axis_0_tlast),
            self.m_axis_0_tdata.eq(scores.output.payload),
            self.m_axis_0_tvalid.eq(scores.output.valid),
            self.m_axis_0_tlast.eq(scores.is_class & ends.r_data),
            scores.output.ready.eq(self.m_axis_0_tready),
            ends.r_en.eq(scores.is_class & self.m_axis_0_tready),
        ]
        return m

    def _last_byte(self, m: Module) -> Any:
        """Return whether the byte that is offered is a picture's last."""
        count = Signal(max(1, address_bits(self._plan.picture_bytes)), name="position")
        last = count == self._plan.picture_bytes - 1
        with m.If(self.s_axis_0_tvalid & self.s_axis_0_tready):
            m.d.sync += count.eq(Mux(last, 0, count + 1))
        return last
