"""Scores and class of a picture, one number after the other; see `lowbit.rtl.array.scores`."""

from itertools import zip_longest
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from lowbit.rtl.array.hardware.streams import words
from lowbit.rtl.array.scores import SCORE_BITS, ScorePlan
from lowbit.rtl.array.units.unit import address_bits
from lowbit.rtl.integers import Range, pack
from lowbit.rtl.primitives.rom import Rom
from lowbit.rtl.primitives.shift_add import ShiftAddProduct
from lowbit.rtl.primitives.target import DIGIT_BITS


class Scores(wiring.Component):
    """Ports: ``input``, sums; ``output``, the scores of a picture, then, while ``is_class``, its class."""

    def __init__(self, plan: ScorePlan, sum_bits: int, *, signed: bool) -> None:
        self._plan, self._sum_bits, self._signed = plan, sum_bits, signed
        super().__init__({"input": In(words(sum_bits)), "output": Out(words(SCORE_BITS)), "is_class": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        """Return a machine of three states per score: take, multiply, and compare and send."""
        m, plan = Module(), self._plan
        number = Signal(address_bits(plan.classes), name="number")
        best_number = Signal(address_bits(plan.classes), name="best_number")
        shape = signed(self._sum_bits) if self._signed else unsigned(self._sum_bits)
        total = Signal(shape, name="total", reset_less=True)
        rank, best = (Signal(signed(plan.rank.bits), name=name, reset_less=True) for name in ("rank", "best"))
        score = Signal(signed(SCORE_BITS), name="score", reset_less=True)
        gain, offset, multiplier, constant = self._constants(m, number)
        m.d.comb += self.output.payload.eq(Mux(self.is_class, best_number, score))
        with m.FSM():
            with m.State("take"):
                m.d.comb += self.input.ready.eq(1)
                m.d.sync += total.eq(self.input.payload)
                with m.If(self.input.valid):
                    m.next = "multiply"
            if plan.steps == 1:
                with m.State("multiply"):
                    m.d.sync += [score.eq(total * gain + offset), rank.eq(total * multiplier + constant)]
                    m.next = "send"
            else:
                pairs = [(score, gain, offset), (rank, multiplier, constant)]
                self._multiply(m, Cat(total, Const(0, not self._signed)).as_signed(), pairs)
            with m.State("send"):
                m.d.comb += self.output.valid.eq(1)
                with m.If(self.output.ready):
                    with m.If(self._ranked(number) & ((number == 0) | (rank > best))):
                        m.d.sync += [best.eq(rank), best_number.eq(number)]
                    m.d.sync += number.eq(number + 1)
                    m.next = "take"
                    with m.If(number == plan.classes - 1):
                        m.d.sync += number.eq(0)
                        m.next = "class"
            with m.State("class"):
                m.d.comb += [self.output.valid.eq(1), self.is_class.eq(1)]
                with m.If(self.output.ready):
                    m.next = "take"
        return m

    def _multiply(self, m: Module, total: Value, pairs: list[tuple[Signal, Value, Value]]) -> None:
        """Add states that start products of a total, and step them; the last sums have their constants."""
        steps = self._plan.steps - 1
        left = Signal(range(self._plan.steps), name="steps_left")
        parts = [ShiftAddProduct(target.name, len(total), DIGIT_BITS * steps, 1) for target, _, _ in pairs]
        with m.State("multiply"):
            for own, (_, factor, _) in zip(parts, pairs, strict=True):
                m.d.sync += own.start(total, factor)
            m.d.sync += left.eq(steps - 1)
            m.next = "step"
        with m.State("step"):
            m.d.sync += left.eq(left - 1)
            for own, (target, _, constant) in zip(parts, pairs, strict=True):
                m.d.sync += [*own.step(), target.eq(own.result + constant)]
            with m.If(left == 0):
                m.next = "send"

    def _ranked(self, number: Signal) -> Any:
        """Return whether a score is one of those that the class is chosen of."""
        plan = self._plan
        return 1 if len(plan.multipliers) == plan.classes else number < len(plan.multipliers)

    def _constants(self, m: Module, number: Signal) -> list[Any]:
        """Return gain, offset, multiplier and constant of a class, a clock after its number."""
        plan = self._plan
        tables = (plan.gains, plan.offsets, plan.multipliers, plan.constants)
        widths = [Range.of(table).bits for table in tables]
        rows = zip_longest(*(table.tolist() for table in tables), fillvalue=0)
        m.submodules.constants = rom = Rom([pack(row, widths) for row in rows], sum(widths), tables=True)
        m.d.comb += rom.address.eq(number)
        fields, at = [], 0
        for width in widths:
            fields.append(rom.word[at : at + width].as_signed())
            at += width
        return fields
