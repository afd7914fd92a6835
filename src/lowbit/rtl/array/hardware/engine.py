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

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import fifo, wiring
from amaranth.lib.wiring import In, Out

from lowbit.rtl.array.hardware.joins import Fork
from lowbit.rtl.array.hardware.scores import Scores
from lowbit.rtl.array.hardware.streams import adapt, connect, words
from lowbit.rtl.array.network import PICTURE, Integers
from lowbit.rtl.array.plan import ArrayPlan, Edge
from lowbit.rtl.array.scores import SCORE_BITS
from lowbit.rtl.array.units.unit import address_bits
from lowbit.rtl.primitives.rom import Rom


class Pixels(wiring.Component):
    """Bytes as ranks: a table, where they differ."""

    def __init__(self, ranks: Integers, bits: int) -> None:
        self._ranks, self._bits = ranks, bits
        super().__init__({"input": In(words(8)), "output": Out(words(bits))})

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
        if self._ranks.ndim == 1 and self._ranks.tolist() == list(range(256)):
            m.d.comb += self.output.payload.eq(pixel)
            return m
        address = Mux(taken, self.input.payload, pixel)
        if self._ranks.ndim == 2:
            address = Cat(address, self._channel(m, taken))
        m.submodules.ranks = rom = Rom(self._ranks.ravel().tolist(), self._bits, tables=self._ranks.ndim == 1)
        m.d.comb += [rom.address.eq(address), self.output.payload.eq(rom.word)]
        return m

    def _channel(self, m: Module, taken: Signal) -> Signal:
        """Return the channel of a byte, which chooses its table, as long as the byte is there."""
        last = len(self._ranks) - 1
        coming, there = Signal(range(last + 1), name="coming"), Signal(range(last + 1), name="there")
        channel = Signal(range(last + 1), name="channel")
        with m.If(taken):
            m.d.sync += [there.eq(coming), coming.eq(Mux(coming == last, 0, coming + 1))]
        m.d.comb += channel.eq(Mux(taken, coming, there))
        return channel


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
        m.submodules.pixels = pixels = Pixels(plan.network.pixels, plan.pixel_bits)
        m.submodules.ends = ends = fifo.SyncFIFO(width=1, depth=plan.pictures_inside)
        streams = self._readers(m, PICTURE, "pixels", pixels.output)
        for label, unit in zip(plan.labels, plan.units, strict=True):
            m.submodules[label] = part = unit.draw()
            for port, wanted in enumerate(unit.inputs):
                edge = next(edge for edge in plan.edges if (edge.reader, edge.port) == (unit.name, port))
                name = label if len(unit.inputs) == 1 else f"{label}_{port}"
                stream = adapt(m, name, streams[edge], edge.words.lanes, wanted.lanes, edge.words.bits)
                connect(m, stream, getattr(part, f"input{port}"))
            streams |= self._readers(m, unit.name, label, part.output)
            source, words = part.output, unit.output
        m.submodules.scores = scores = Scores(plan.scores, words.bits, signed=words.signed)
        connect(m, adapt(m, "scores", source, words.lanes, 1, words.bits), scores.input)

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

    def _readers(self, m: Module, name: str, label: str, source: Any) -> dict[Edge, Any]:
        """Return a stream for every reader of one: itself, or what comes out of a buffer for each."""
        edges = [edge for edge in self._plan.edges if edge.source == name]
        if len(edges) < 2:
            return dict.fromkeys(edges, source)
        depths = [max(2, edge.depth) for edge in edges]
        m.submodules[f"buffer_{label}"] = fork = Fork(edges[0].words.width, depths)
        connect(m, source, fork.input)
        return {edge: getattr(fork, f"output{number}") for number, edge in enumerate(edges)}

    def _last_byte(self, m: Module) -> Any:
        """Return whether the byte that is offered is a picture's last."""
        count = Signal(max(1, address_bits(self._plan.picture_bytes)), name="position")
        last = count == self._plan.picture_bytes - 1
        with m.If(self.s_axis_0_tvalid & self.s_axis_0_tready):
            m.d.sync += count.eq(Mux(last, 0, count + 1))
        return last
