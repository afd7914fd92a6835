"""The output layer: a multiplier with accumulator per class, read out one score per clock, with the class.

With `skew` every class starts one clock after the one before, so that the next picture may follow at once:
its first product replaces a sum in the very clock in which the sum is read. Without, sums wait.
"""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from lowbit.rtl.lst.plan import OutputPlan
from lowbit.rtl.lst.sequencer import delay
from lowbit.rtl.primitives.multiplier import multiply
from lowbit.rtl.primitives.rom import Rom
from lowbit.rtl.primitives.target import Target


class OutputLayer(wiring.Component):
    """The layer with its weights.

    Ports: ``address``, ``valid``, ``first`` and ``last``, a clock before their ``y``. Then, one per clock
    while ``score_valid``, ``score``: the scores, and at last, while ``is_class``, the class.
    """

    def __init__(self, plan: OutputPlan, target: Target) -> None:
        self._plan, self._target = plan, target
        super().__init__(
            {
                "address": In(plan.address.bits),
                "valid": In(1),
                "first": In(1),
                "last": In(1),
                "y": In(signed(plan.inputs.bits)),
                "score": Out(signed(plan.read_out_bits)),
                "score_valid": Out(1),
                "is_class": Out(1),
                "enable": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Return memory, accumulators and the serial comparison."""
        m = Module()
        totals, done = self._accumulators(m)
        self._read_out(m, totals, done)
        return m

    def _accumulators(self, m: Module) -> tuple[list[Signal], Signal]:
        plan = self._plan
        widths = [lane.bits for lane in plan.lanes]
        m.submodules.weights = weights = Rom(plan.words, sum(widths))
        m.d.comb += weights.address.eq(self.address)
        valid = delay(m, "valid", self.valid, 3, reset_less=False)
        first = delay(m, "first", self.first, 3)
        done = delay(m, "last", self.last & self.valid, 4, reset_less=False)
        y, totals, at = self.y, [], 0
        for lane, width in enumerate(widths):
            weight = weights.word[at : at + width].as_signed()
            at += width
            product = multiply(m, f"class{lane:02}", y, 1, weight, self.enable, self._target)
            total = Signal(signed(plan.sums.bits), name=f"class{lane:02}_sum", reset_less=True)
            bias = int(plan.layer.bias[lane]) << plan.fraction_bits
            with m.If(valid):
                m.d.sync += total.eq(Mux(first, bias, total) + product)
            totals.append(total)
            y, valid, first = (
                delay(m, f"{name}_class{lane + 1:02}", value, plan.skew, reset_less=name != "valid")
                for name, value in (("y", y), ("valid", valid), ("first", first))
            )
        return totals, done

    def _read_out(self, m: Module, totals: list[Signal], done: Signal) -> None:
        """Give a sum per clock, and keep the first of the largest.

        ``done`` is 1 in the clock in which the sum of class 0 is complete.
        """
        classes = len(totals)
        index, reading = Signal(range(max(2, classes)), name="read_index"), Signal(name="reading")
        last = index == classes - 1
        with m.If(reading | done):
            m.d.sync += [index.eq(Mux(last, 0, index + 1)), reading.eq(~last)]
        total = Cat(*totals).word_select(index, len(totals[0])).as_signed()

        # A clock later the score is in its register; a clock after the last one, the class.
        at_score = delay(m, "score_index", index, 1)
        was_last = delay(m, "was_last", last & (reading | done), 1, reset_less=False)
        best = Signal(signed(self._plan.sums.bits), reset_less=True)
        best_index = Signal(index.shape(), reset_less=True)
        with m.If((at_score == 0) | (self.score > best)):
            m.d.sync += [best.eq(self.score), best_index.eq(at_score)]
        class_next = delay(m, "class_next", was_last, 1, reset_less=False)
        m.d.sync += [
            self.score.eq(Mux(class_next, Cat(best_index, 0), total)),
            self.score_valid.eq(reading | done | class_next),
            self.is_class.eq(class_next),
        ]
