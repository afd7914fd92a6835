"""Sums and joins of streams, and the buffers of a stream that several units read."""

from typing import Any

from amaranth.hdl import Cat, Const, EnableInserter, Module, Mux, Signal, signed
from amaranth.lib import fifo, wiring
from amaranth.lib.wiring import In, Out

from lowbit.rtl.array.hardware.recode import scaled_rank
from lowbit.rtl.array.hardware.streams import words
from lowbit.rtl.array.units.joins import SMALL_BUFFER, AddPlan, ConcatPlan
from lowbit.rtl.array.units.unit import address_bits
from lowbit.rtl.elements.hardware.component import delayed


class AddUnit(wiring.Component):
    """Ports: ``input0`` and ``input1``, words of ranks; ``output``, words of ranks."""

    def __init__(self, plan: AddPlan) -> None:
        self._plan = plan
        ports = {f"input{port}": In(words(own.width)) for port, own in enumerate(plan.inputs)}
        super().__init__({**ports, "output": Out(words(plan.output.width))})

    def elaborate(self, platform: Any) -> Module:
        """Return an adder per lane behind a clock enable; both words are taken together."""
        m, core, enable, both = Module(), Module(), Signal(name="enable"), Signal(name="both")
        inputs = self.input0, self.input1
        m.d.comb += [
            enable.eq(~self.output.valid | self.output.ready),
            both.eq(self.input0.valid & self.input1.valid),
            self.input0.ready.eq(enable & self.input1.valid),
            self.input1.ready.eq(enable & self.input0.valid),
            self.output.valid.eq(delayed(core, "ready", both, 4)),
        ]
        ending, ranks = self._plan.add.ending, []
        multiplier, addend = (int(each[0, 0, 0]) for each in (ending.multiplier, ending.addend))
        for lane in range(self._plan.lanes):
            pair = [
                Cat(port.payload.word_select(lane, own.bits), Const(0, 1)).as_signed()
                for port, own in zip(inputs, self._plan.inputs, strict=True)
            ]
            total = Signal((pair[0] + pair[1]).shape(), name=f"sum{lane}", reset_less=True)
            core.d.sync += total.eq(pair[0] + pair[1])
            constants = _signed(multiplier), _signed(addend)
            ranks.append(scaled_rank(core, f"lane{lane}", total, *constants, ending))
        m.d.comb += self.output.payload.eq(Cat(*ranks))
        m.submodules.core = EnableInserter(enable)(core)
        return m


class ConcatUnit(wiring.Component):
    """Ports: ``input0`` …, words of numbers; ``output``, of every pixel those of one after the other."""

    def __init__(self, plan: ConcatPlan) -> None:
        self._plan = plan
        ports = {f"input{port}": In(words(own.width)) for port, own in enumerate(plan.inputs)}
        super().__init__({**ports, "output": Out(words(plan.output.width))})

    def elaborate(self, platform: Any) -> Module:
        """Return a counter of parts and of their words, and a register."""
        m, plan = Module(), self._plan
        lengths = [part // plan.lanes for part in plan.concat.parts]
        part, at = Signal(range(len(lengths)), name="part"), Signal(address_bits(max(lengths)), name="word")
        taken = Signal(name="taken")
        enable = ~self.output.valid | self.output.ready
        with m.If(enable):
            m.d.sync += self.output.valid.eq(taken)
        with m.Switch(part):
            for port, (own, length) in enumerate(zip(plan.inputs, lengths, strict=True)):
                source = getattr(self, f"input{port}")
                with m.Case(port):
                    m.d.comb += [taken.eq(source.valid), source.ready.eq(enable)]
                    with m.If(taken & enable):
                        numbers = [source.payload.word_select(lane, own.bits) for lane in range(plan.lanes)]
                        for lane, number in enumerate(numbers):
                            target = self.output.payload.word_select(lane, plan.bits)
                            m.d.sync += target.eq(number.as_signed() if own.signed else number)
                        m.d.sync += at.eq(Mux(at == length - 1, 0, at + 1))
                        with m.If(at == length - 1):
                            m.d.sync += part.eq(0 if port == len(lengths) - 1 else port + 1)
        return m


class Fork(wiring.Component):
    """A stream for several readers: a buffer for each; a word is taken when there is room in all of them."""

    def __init__(self, width: int, depths: list[int]) -> None:
        self._width, self._depths = width, depths
        outputs = {f"output{number}": Out(words(width)) for number in range(len(depths))}
        super().__init__({"input": In(words(width)), **outputs})

    def elaborate(self, platform: Any) -> Module:
        """Return the buffers."""
        m, room, taken = Module(), Const(1, 1), Signal(name="taken")
        for number, depth in enumerate(self._depths):
            kind = fifo.SyncFIFO if depth <= SMALL_BUFFER else fifo.SyncFIFOBuffered
            m.submodules[f"buffer{number}"] = buffer = kind(width=self._width, depth=depth)
            output, room = getattr(self, f"output{number}"), room & buffer.w_rdy
            m.d.comb += [
                buffer.w_data.eq(self.input.payload),
                buffer.w_en.eq(taken),
                output.payload.eq(buffer.r_data),
                output.valid.eq(buffer.r_rdy),
                buffer.r_en.eq(output.ready),
            ]
        m.d.comb += [self.input.ready.eq(room), taken.eq(self.input.valid & room)]
        return m


def _signed(value: int) -> Const:
    """Return a constant in as many bits as it needs, its sign among them."""
    bits = (value if value >= 0 else ~value).bit_length() + 1
    return Const(value, signed(bits))
