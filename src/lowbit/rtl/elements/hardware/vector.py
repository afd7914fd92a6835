"""The vector array, drawn: a sequencer and elements (`VectorCore`), and their memories around it."""

from typing import Any

from amaranth.hdl import Cat, EnableInserter, Module, Signal, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from lowbit.rtl.address import Address
from lowbit.rtl.elements.hardware.component import delayed
from lowbit.rtl.elements.vector import VectorPlan
from lowbit.rtl.primitives.address import join
from lowbit.rtl.primitives.rom import LATENCY as ROM_LATENCY
from lowbit.rtl.primitives.rom import Rom


class VectorCore(wiring.Component):
    """Reads both memories, word after word, while a vector is ``waiting``.

    It moves while ``enable``. Ports: ``beat`` and ``place``, the addresses of activations and weights, whose
    words come a clock later; ``taken`` in a vector's last clock; ``sums`` of all elements while ``valid``.
    """

    def __init__(self, plan: VectorPlan) -> None:
        self._plan, element = plan, plan.element
        super().__init__(
            {
                "enable": In(1),
                "waiting": In(1),
                "taken": Out(1),
                "beat": Out(max(1, (element.beats - 1).bit_length())),
                "place": Out(max(1, (plan.cycles - 1).bit_length())),
                "activations": In(element.lanes * element.activation_bits),
                "weights": In(plan.elements * plan.word_bits),
                "sums": Out(plan.elements * element.accumulator_bits),
                "valid": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Any:
        """Return counters and elements."""
        m, plan, element = Module(), self._plan, self._plan.element
        first, last = self.beat == 0, self.beat == element.beats - 1
        m.d.comb += self.taken.eq(self.waiting & (self.place == plan.cycles - 1))
        with m.If(self.waiting):
            m.d.sync += [self.beat.eq(self.beat + 1), self.place.eq(self.place + 1)]
            with m.If(last):
                m.d.sync += self.beat.eq(0)
            with m.If(self.taken):
                m.d.sync += self.place.eq(0)
        m.d.comb += self.valid.eq(delayed(m, "valid", self.waiting & last, ROM_LATENCY + element.latency))
        first_word, sums = delayed(m, "first", first, ROM_LATENCY), []
        for number in range(plan.elements):
            m.submodules[f"element{number:02}"] = one = element.draw()
            m.d.comb += [
                one.enable.eq(self.enable),
                one.first.eq(first_word),
                one.activations.eq(self.activations),
                one.weights.eq(self.weights.word_select(number, plan.word_bits)),
            ]
            sums.append(one.sum)
        m.d.comb += self.sums.eq(Cat(*sums))
        return EnableInserter(self.enable)(m)


class VectorArray(wiring.Component):
    """The core, its weights, and two halves of memory for activations: one is filled while one is read."""

    def __init__(self, plan: VectorPlan) -> None:
        self._plan, element = plan, plan.element
        super().__init__(
            {
                "enable": In(1),
                "word": In(element.lanes * element.activation_bits),
                "word_valid": In(1),
                "word_ready": Out(1),
                "sums": Out(plan.elements * element.accumulator_bits),
                "valid": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Any:
        """Return everything."""
        m, plan, width = Module(), self._plan, len(self.word)
        halves = Address({"beat": plan.element.beats, "half": 2})
        m.submodules.core = core = VectorCore(plan)
        m.submodules.weights = weights = Rom(plan.words, len(core.weights))
        m.submodules.activations = words = memory.Memory(
            shape=unsigned(width), depth=halves.depth, init=[], attrs={"ram_style": "block"}
        )
        write, read = words.write_port(), words.read_port()
        full, writing, reading, at = Signal(2), Signal(), Signal(), Signal(len(core.beat))
        m.d.comb += [
            self.word_ready.eq(~full.bit_select(writing, 1) & self.enable),
            write.en.eq(self.word_valid & self.word_ready),
            write.addr.eq(join(halves, beat=at, half=writing)),
            write.data.eq(self.word),
            read.en.eq(1),
            read.addr.eq(join(halves, beat=core.beat, half=reading)),
            weights.address.eq(core.place),
            core.enable.eq(self.enable),
            core.waiting.eq(full.bit_select(reading, 1)),
            core.activations.eq(read.data),
            core.weights.eq(weights.word),
            self.sums.eq(core.sums),
            self.valid.eq(core.valid & self.enable),
        ]
        with m.If(write.en):
            m.d.sync += at.eq(at + 1)
            with m.If(at == plan.element.beats - 1):
                m.d.sync += [at.eq(0), full.bit_select(writing, 1).eq(1), writing.eq(~writing)]
        with m.If(core.taken):
            m.d.sync += [full.bit_select(reading, 1).eq(0), reading.eq(~reading)]
        return EnableInserter(self.enable)(m)
