"""A unit: its rows in a ring, its sequencer, and what it makes of the words that it reads.

clock 0                 the sequencer's beat: an address in the ring, and one in the memory of weights
clock 1                 both words
1 + element's latency   sums, of which `place` was known a clock before
then                    ranks

One clock enable stops all of it while a word that is ready is not taken. Only the ring goes on.
"""

from typing import Any

from amaranth.hdl import Cat, Const, EnableInserter, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from lowbit.rtl.array.hardware import thresholds
from lowbit.rtl.array.hardware.row_ring import RowRing
from lowbit.rtl.array.hardware.sequencer import Sequencer, ring_ports
from lowbit.rtl.array.hardware.streams import connect, recoded, words
from lowbit.rtl.array.memory import is_shallow
from lowbit.rtl.array.units.layer import LayerPlan
from lowbit.rtl.array.units.pool import PoolPlan
from lowbit.rtl.elements.hardware.component import delayed
from lowbit.rtl.primitives.address import part
from lowbit.rtl.primitives.rom import Rom


class Unit(wiring.Component):
    """Ring, core, streams. Ports: ``input0``, words of ranks; ``output``, words of ranks, or of sums."""

    def __init__(self, plan: LayerPlan | PoolPlan) -> None:
        self._plan = plan
        super().__init__(
            {
                "input0": In(words(plan.inputs[0].width)),
                "output": Out(words(plan.output.width)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Return the parts, joined."""
        m, plan, enable = Module(), self._plan, Signal(name="enable")
        core = LayerCore(plan) if isinstance(plan, LayerPlan) else PoolCore(plan)
        m.submodules.core = EnableInserter(enable)(core)
        m.d.comb += [
            enable.eq(~self.output.valid | self.output.ready),
            core.enable.eq(enable),
            self.output.valid.eq(core.ready),
            self.output.payload.eq(core.result),
        ]
        if plan.schedule.is_direct:
            held = Signal(len(core.data), name="held", reset_less=True)
            with m.If(enable):
                m.d.sync += held.eq(self.input0.payload)
            m.d.comb += [core.stored.eq(self.input0.valid), self.input0.ready.eq(enable), core.data.eq(held)]
            return m
        m.submodules.ring = ring = RowRing(plan.schedule, plan.inputs[0].width)
        connect(m, self.input0, ring.input)
        m.d.comb += [
            core.stored.eq(ring.stored),
            ring.released.eq(Mux(enable, core.released, 0)),
            ring.read.eq(enable),
            ring.row.eq(core.row),
            ring.word.eq(core.word),
            core.data.eq(ring.data),
        ]
        return m


class _Core(wiring.Component):
    """What moves while ``enable`` is 1. ``ready``: there is a result."""

    def __init__(self, plan: LayerPlan | PoolPlan) -> None:
        self._schedule = plan.schedule
        super().__init__(
            {
                **ring_ports(plan.schedule),
                "enable": In(1),
                "data": In(plan.inputs[0].width),
                "ready": Out(1),
                "result": Out(plan.output.width),
            }
        )

    def _sequence(self, m: Module) -> Sequencer:
        m.submodules.sequencer = at = Sequencer(self._schedule)
        m.d.comb += [
            at.stored.eq(self.stored),
            self.released.eq(at.released),
            self.row.eq(at.row),
            self.word.eq(at.word),
        ]
        return at


class LayerCore(_Core):
    """Weights, elements, thresholds."""

    def __init__(self, plan: LayerPlan) -> None:
        self._plan = plan
        super().__init__(plan)

    def elaborate(self, platform: Any) -> Module:
        """Return the pipeline."""
        m, plan = Module(), self._plan
        at = self._sequence(m)
        sums = self._sums(m, at)
        done = delayed(m, "done", at.valid & at.last, 1 + plan.element.latency)
        if plan.layer.thresholds is None:
            m.d.comb += [self.ready.eq(done), self.result.eq(sums)]
            return m
        m.submodules.thresholds = stage = thresholds.Thresholds(plan.comparison)
        m.d.comb += [
            stage.place.eq(delayed(m, "place", at.place, plan.element.latency)),
            stage.sums.eq(sums),
            self.ready.eq(delayed(m, "ranked", done, thresholds.latency(plan.comparison))),
            self.result.eq(stage.ranks),
        ]
        return m

    def _sums(self, m: Module, at: Sequencer) -> Any:
        plan, element = self._plan, self._plan.element
        m.submodules.weights = weights = Rom(plan.weight_words, plan.weight_bits, tables=plan.in_tables)
        m.d.comb += weights.address.eq(at.weight)
        codes = plan.operands.activations
        table = None if codes is None else codes.tolist()
        activations = recoded(m, "activations", self.data, table, plan.in_bits, element.activation_bits)
        coefficients = self._coefficients(m, at)
        first, sums = delayed(m, "first", at.first, 1), []
        for number in range(plan.folding.elements):
            m.submodules[f"pe{number}"] = pe = element.draw()
            m.d.comb += [
                pe.enable.eq(self.enable),
                pe.first.eq(first),
                pe.activations.eq(self._own(activations, number, len(pe.activations))),
                pe.weights.eq(weights.word.word_select(number, len(pe.weights))),
                pe.coefficients.eq(coefficients.word_select(number, len(pe.coefficients))),
            ]
            sums.append(pe.sum)
        return Cat(*sums)

    def _own(self, activations: Value, number: int, width: int) -> Value:
        """Return what an element is fed: its own group's part of a word."""
        plan = self._plan
        return activations.word_select(number * plan.parts // plan.folding.elements, width)

    def _coefficients(self, m: Module, at: Sequencer) -> Value:
        """Return the coefficients of all elements, a clock after their fold."""
        plan = self._plan
        if not plan.coefficient_words:
            return Const(0, 0)
        width, depth = plan.folding.elements * plan.element.coefficient_bits, len(plan.coefficient_words)
        shallow = is_shallow(depth, width)
        m.submodules.coefficients = coefficients = Rom(plan.coefficient_words, width, tables=shallow)
        m.d.comb += coefficients.address.eq(part(plan.schedule.place, at.place, "fold"))
        return coefficients.word


class PoolCore(_Core):
    """The largest rank, or the sum of the ranks, of every lane."""

    def __init__(self, plan: PoolPlan) -> None:
        self._plan = plan
        super().__init__(plan)

    def elaborate(self, platform: Any) -> Module:
        """Return a comparison, of one bit an OR, or an adder per lane."""
        m, bits, own = Module(), self._plan.pool.bits, self._plan.output.bits
        at = self._sequence(m)
        first = delayed(m, "first", at.first, 1)
        m.d.comb += self.ready.eq(delayed(m, "done", at.valid & at.last, 2))
        for lane in range(self._plan.lanes):
            rank, found = self.data.word_select(lane, bits), self.result.word_select(lane, own)
            best = Signal(own, name=f"{self._plan.kind}{lane}", reset_less=True)
            if self._plan.pool.sums:
                m.d.sync += best.eq(rank + Mux(first, 0, best))
            else:
                with m.If(first | (rank > best)):
                    m.d.sync += best.eq(rank)
            m.d.comb += found.eq(best)
        return m
