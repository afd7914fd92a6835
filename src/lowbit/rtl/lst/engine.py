"""The LST engine: picture in, scores and class out, as AXI-Streams.

    s_axis_0   one byte per pixel, row by row; TLAST with the last pixel of a packet of pictures
    m_axis_0   the scores, with 2n bits behind the point, then the class; 32 bits, or 64; TLAST with the class
               of the packet's last picture

One clock enable stops everything: while a pixel is due and none is there, and while a score is not taken.
Between pictures the engine runs on, so results never wait for the next picture.
"""

from typing import Any

from amaranth.hdl import EnableInserter, Module, Mux, Signal, signed
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from lowbit.rtl.counters import Counters
from lowbit.rtl.lst.output_layer import OutputLayer
from lowbit.rtl.lst.pixel import PixelCode
from lowbit.rtl.lst.plan import SUM_DELAY, TABLE_DELAY, LstPlan, score_bits
from lowbit.rtl.lst.sequencer import PipelinedSequencer, SharedSequencer, delay, follow
from lowbit.rtl.lst.transform import ActivationTable, Transform
from lowbit.rtl.packets import Packets, join_outside, ports
from lowbit.rtl.primitives.address import join
from lowbit.rtl.primitives.target import Target

PICTURES_INSIDE = 4
"""More than can be inside at a time."""


class LstCore(wiring.Component):
    """The engine without its streams.

    It moves while ``enable``. ``wanted``: it needs a pixel in this clock; ``start``: it would take one, and
    begin a picture.
    """

    def __init__(self, plan: LstPlan, target: Target) -> None:
        self._plan, self._target = plan, target
        super().__init__(
            {
                "pixel": In(8),
                "waiting": In(1),
                "start": Out(1),
                "wanted": Out(1),
                "score": Out(signed(plan.output.read_out_bits)),
                "score_valid": Out(1),
                "enable": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Return sequencer, chains, the memory that transposes, and the output layer."""
        m, plan, network = Module(), self._plan, self._plan.network
        shared = plan.variant == "shared"
        m.submodules.sequencer = at = (SharedSequencer if shared else PipelinedSequencer)(plan)
        inside = at.slot < network.columns if network.columns < plan.period else 1
        m.d.comb += [at.waiting.eq(self.waiting), self.start.eq(at.start)]
        m.d.comb += self.wanted.eq(at.first.by_rows & inside)
        pixel = Signal(8, reset_less=True)
        with m.If(self.waiting & (self.wanted | self.start)):
            # What is on the wires between pixels goes nowhere, not even to weights of zero.
            m.d.sync += pixel.eq(self.pixel)
        m.submodules.pixel_code = code = PixelCode(network)
        m.d.comb += code.pixel.eq(pixel)
        x_pixel = code.code

        hidden_bits, depth = plan.output.inputs.bits, 1 << max(1, plan.hidden.bits)
        m.submodules.hidden = hidden = memory.Memory(
            shape=signed(hidden_bits), depth=depth, init=[], attrs={"ram_style": "block"}
        )
        write, read = hidden.write_port(), hidden.read_port()
        read_at = join(plan.hidden, output=at.second.index, row=at.slot, half=at.second.half)
        m.d.comb += [read.addr.eq(read_at), read.en.eq(1)]

        if shared:
            x = Signal(signed(plan.transforms[0].inputs.bits), reset_less=True)
            m.d.sync += x.eq(Mux(delay(m, "by_columns", at.second.by_columns, 1), read.data, x_pixel))
            y, slot, row = self._transform(m, 0, at, at.first, x)
            y_of_columns, column_slot, column_row = y, slot, row
        else:
            x = Signal(signed(len(x_pixel)), reset_less=True)
            x_of_columns = Signal(signed(hidden_bits), reset_less=True)
            m.d.sync += [x.eq(x_pixel), x_of_columns.eq(read.data)]
            y, slot, row = self._transform(m, 0, at, at.first, x)
            y_of_columns, column_slot, column_row = self._transform(m, 1, at, at.second, x_of_columns)

        write_at = join(plan.hidden, output=slot, row=row.index, half=row.half)
        m.d.comb += [
            write.addr.eq(delay(m, "write_address", write_at, TABLE_DELAY)),
            write.en.eq(delay(m, "write", row.by_rows & (slot < network.by_rows.outputs), TABLE_DELAY)),
            write.data.eq(y),
        ]
        self._output(m, y_of_columns, column_slot, column_row)
        return m

    def _transform(self, m: Module, which: int, at: Any, row: Any, x: Signal) -> tuple[Any, Any, Any]:
        """Return the activations of a chain, and slot and row of its sums, a clock ahead."""
        plan = self._plan.transforms[which]
        chain = Transform(plan, self._target)
        table = ActivationTable(self._plan.network, self._plan.table, plan.sums[-1].bits)
        m.submodules[plan.name], m.submodules[f"{plan.name}_activation"] = chain, table
        if len(plan.layers) == 2:
            before = Signal(name="by_columns_before")
            with m.If(at.slot == plan.period - 1):
                m.d.sync += before.eq(row.by_columns)
            m.d.comb += [chain.bank.eq(row.by_columns), chain.bank_before.eq(before)]
        m.d.comb += [
            chain.slot.eq(at.slot),
            chain.x.eq(x),
            chain.enable.eq(self.enable),
            table.total.eq(chain.total),
        ]
        slot, row = follow(m, f"{plan.name}_sum", at.slot, row, plan.period, plan.length + SUM_DELAY)
        return table.y, slot, row

    def _output(self, m: Module, y: Any, slot: Any, row: Any) -> None:
        plan = self._plan.output
        m.submodules.scores = output = OutputLayer(plan, self._target)
        m.d.comb += [
            output.address.eq(join(plan.address, slot=slot, row=row.index)),
            output.valid.eq(row.by_columns & (slot < plan.b)),
            output.first.eq((slot == 0) & (row.index == 0)),
            output.last.eq((slot == plan.b - 1) & (row.index == plan.a - 1)),
            output.y.eq(y),
            output.enable.eq(self.enable),
            self.score.eq(output.score),
            self.score_valid.eq(output.score_valid),
        ]


class LstEngine(wiring.Component):
    """The core behind AXI-Streams, and counters behind AXI-Lite where they are wanted."""

    def __init__(self, plan: LstPlan, target: Target = "xc7", *, counters: bool = False) -> None:
        self._plan, self._target, self._counters = plan, target, counters
        super().__init__(ports(score_bits(plan), counters=counters))

    def elaborate(self, platform: Any) -> Module:
        """Return the core and the enable, between the ends of packets."""
        m, enable = Module(), Signal(name="enable")
        blocked, taken = Signal(name="blocked"), Signal(name="taken")
        core, network = LstCore(self._plan, self._target), self._plan.network
        m.submodules.core = EnableInserter(enable)(core)
        picture, results = network.rows * network.columns, network.classes + 1
        m.submodules.packets = packets = Packets(picture, PICTURES_INSIDE, results, score_bits(self._plan))
        pixels, scores = packets.input, packets.output
        m.d.comb += [
            blocked.eq(scores.valid & ~scores.ready),
            enable.eq(~blocked & (pixels.valid | ~core.wanted)),
            pixels.ready.eq((core.wanted | core.start) & ~blocked),
            core.enable.eq(enable),
            core.pixel.eq(pixels.payload),
            core.waiting.eq(pixels.valid),
        ]
        # A score that was taken while the core stood still must not be offered again.
        with m.If(enable):
            m.d.sync += taken.eq(0)
        with m.Elif(scores.ready):
            m.d.sync += taken.eq(1)
        m.d.comb += [scores.valid.eq(core.score_valid & ~taken), scores.payload.eq(core.score)]
        registers = Counters(self._plan.cycles_per_image) if self._counters else None
        if registers is not None:
            m.submodules.counters = registers
        join_outside(m, self, packets, registers)
        return m
