"""The array engine: picture in, scores and class out, as AXI-Streams.

    s_axis_0   one byte per element, pixel by pixel, the channels of a pixel together; TLAST with the last
               byte of a packet of pictures
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
from lowbit.rtl.counters import Counters
from lowbit.rtl.packets import Packets, join_outside, ports
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

    def __init__(self, plan: ArrayPlan, *, counters: bool = False) -> None:
        self._plan, self._counters = plan, counters
        super().__init__(ports(SCORE_BITS, counters=counters))

    def elaborate(self, platform: Any) -> Module:
        """Return pixels, units and scores in a row, between the ends of packets."""
        m, plan = Module(), self._plan
        m.submodules.packets = packets = Packets(
            plan.picture_bytes, plan.pictures_inside, plan.network.classes + 1, SCORE_BITS
        )
        m.submodules.pixels = pixels = Pixels(plan.network.pixels, plan.pixel_bits)
        connect(m, packets.input, pixels.input)
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

        connect(m, self._held(m, scores.output) if plan.ends_early else scores.output, packets.output)
        registers = Counters(plan.cycles_per_image, plan.pictures_inside) if self._counters else None
        if registers is not None:
            m.submodules.registers = registers
        join_outside(m, self, packets, registers)
        return m

    def _held(self, m: Module, source: Any) -> Any:
        """Return results that may wait until their picture is known as whole: its last byte is in."""
        width, depth = SCORE_BITS, self._plan.network.classes + 1
        m.submodules.held = held = fifo.SyncFIFOBuffered(width=width, depth=depth)
        m.d.comb += [
            held.w_data.eq(source.payload),
            held.w_en.eq(source.valid),
            source.ready.eq(held.w_rdy),
        ]
        return held.r_stream

    def _readers(self, m: Module, name: str, label: str, source: Any) -> dict[Edge, Any]:
        """Return a stream for every reader of one: itself, or what comes out of a buffer for each."""
        edges = [edge for edge in self._plan.edges if edge.source == name]
        if len(edges) < 2:
            return dict.fromkeys(edges, source)
        depths = [max(2, edge.depth) for edge in edges]
        m.submodules[f"buffer_{label}"] = fork = Fork(edges[0].words.width, depths)
        connect(m, source, fork.input)
        return {edge: getattr(fork, f"output{number}") for number, edge in enumerate(edges)}
