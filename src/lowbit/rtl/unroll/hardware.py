"""The unrolled engine: the circuit between AXI-Streams; see `lowbit.rtl.unroll.text` for the circuit itself.

whole     s_axis_0 a picture per beat, m_axis_0 its scores and its class, each a word: a picture per clock
else      as of the other engines: a byte per beat, then a word per beat
"""

from typing import Any

from amaranth.hdl import Cat, ClockSignal, Instance, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from lowbit.rtl.array.hardware.engine import Pixels
from lowbit.rtl.array.hardware.streams import Gather, Split, connect, words
from lowbit.rtl.counters import AXI_LITE, Counters
from lowbit.rtl.packets import Packets, join, join_outside, ports
from lowbit.rtl.unroll.plan import UnrollPlan
from lowbit.rtl.unroll.text import WORD

CORE = "unroll_core"
"""Name of the module of the circuit."""


class Core(wiring.Component):
    """The circuit with streams of pictures and results, and a bit that goes with each, through all stages."""

    def __init__(self, plan: UnrollPlan) -> None:
        self._plan = plan
        numbers, results = plan.picture_bytes * plan.input_bits, WORD * len(plan.results)
        ports = {"last_in": In(1), "last_out": Out(1)}
        super().__init__({"input": In(words(numbers)), "output": Out(words(results)), **ports})

    def elaborate(self, platform: Any) -> Module:
        """Return the circuit; everything moves on while the last stage is empty or taken."""
        m, stages = Module(), self._plan.pipeline.stages
        valid, last = Signal(stages, name="valid"), Signal(stages, name="last", reset_less=True)
        enable = Signal(name="enable")
        m.d.comb += [
            enable.eq(~valid[-1] | self.output.ready),
            self.input.ready.eq(enable),
            self.output.valid.eq(valid[-1]),
            self.last_out.eq(last[-1]),
        ]
        with m.If(enable):
            m.d.sync += [
                valid.eq(Cat(self.input.valid, valid)),
                last.eq(Cat(self.last_in, last)),
            ]
        m.submodules.circuit = Instance(
            CORE,
            i_clock=ClockSignal(),
            i_enable=enable,
            i_numbers=self.input.payload,
            o_results=self.output.payload,
        )
        return m


class UnrollEngine(wiring.Component):
    """The circuit as an engine."""

    def __init__(self, plan: UnrollPlan, *, counters: bool = False) -> None:
        self._plan, self._counters = plan, counters
        lanes, results = (plan.picture_bytes, len(plan.results)) if plan.whole else (1, 1)
        super().__init__(
            {**ports(WORD * results, counters=counters), "s_axis_0_tdata": In(8 * lanes)},
        )

    def elaborate(self, platform: Any) -> Module:
        """Return the circuit, with bytes gathered and words split where a beat is no picture."""
        m, registers = Module(), None
        m.submodules.core = core = Core(self._plan)
        if self._counters:
            inside = self._plan.pipeline.stages + 4
            m.submodules.registers = registers = Counters(self._plan.cycles_per_image, inside)
        (self._whole if self._plan.whole else self._serial)(m, core, registers)
        return m

    def _whole(self, m: Module, core: Core, registers: Counters | None) -> None:
        run = 1 if registers is None else registers.run
        m.d.comb += [
            core.input.payload.eq(self.s_axis_0_tdata),
            core.input.valid.eq(self.s_axis_0_tvalid & run),
            core.last_in.eq(self.s_axis_0_tlast),
            self.s_axis_0_tready.eq(core.input.ready & run),
            self.m_axis_0_tdata.eq(core.output.payload),
            self.m_axis_0_tvalid.eq(core.output.valid),
            self.m_axis_0_tlast.eq(core.last_out),
            core.output.ready.eq(self.m_axis_0_tready),
        ]
        if registers is not None:
            m.d.comb += [
                registers.started.eq(core.input.valid & core.input.ready),
                registers.left.eq(core.output.valid & core.output.ready),
            ]
            join(m, self, registers, AXI_LITE)

    def _serial(self, m: Module, core: Core, registers: Counters | None) -> None:
        plan = self._plan
        inside, results = plan.pipeline.stages + 4, len(plan.results)
        m.submodules.packets = packets = Packets(plan.picture_bytes, inside, results, WORD)
        m.submodules.pixels = pixels = Pixels(plan.network.pixels, plan.input_bits)
        m.submodules.gather = gather = Gather(plan.input_bits, plan.picture_bytes)
        m.submodules.split = split = Split(WORD, results)
        connect(m, packets.input, pixels.input)
        connect(m, pixels.output, gather.input)
        connect(m, gather.output, core.input)
        connect(m, core.output, split.input)
        connect(m, split.output, packets.output)
        join_outside(m, self, packets, registers)
