"""The systolic chain: one row in per `period` clocks, one sum out per clock, through the activation table.

slot t + 1:  address of the memory
t + 2:       the word; x arrives at the multipliers, and multiplier c keeps it if t is slot c
t + 3:       both are in the input registers
t + 4:       product
t + 5:       sum of multiplier 0 (bias included); multiplier c has its sum c clocks later
"""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from lowbit.rtl.integers import Range
from lowbit.rtl.lst.network import LstNetwork
from lowbit.rtl.lst.plan import TransformPlan
from lowbit.rtl.primitives.address import join
from lowbit.rtl.primitives.multiplier import multiply
from lowbit.rtl.primitives.rom import Rom
from lowbit.rtl.primitives.target import Target

X_DELAY = 2
"""Clocks from a slot to its x."""


class Transform(wiring.Component):
    """A chain of multipliers with its weights.

    Ports: ``slot``; ``bank_before`` and ``bank``, the layer of the previous and of this row (where there are
    two); ``x``, two clocks after its slot; ``total``, the unrounded sum, ``length + 4`` clocks after.
    ``enable`` is the clock enable of the domain.
    """

    def __init__(self, plan: TransformPlan, target: Target) -> None:
        self._plan, self._target = plan, target
        super().__init__(
            {
                "slot": In((plan.period - 1).bit_length()),
                "bank_before": In(1),
                "bank": In(1),
                "x": In(signed(plan.inputs.bits)),
                "total": Out(signed(plan.sums[-1].bits)),
                "enable": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Return memory, multipliers and adders."""
        m, plan = Module(), self._plan
        widths = [lane.bits for lane in plan.lanes]
        m.submodules.weights = weights = Rom(plan.words, sum(widths) + plan.bias.bits)
        address = join(plan.address, slot=self.slot, bank=self.bank, bank_before=self.bank_before)
        m.d.comb += weights.address.eq(address)
        total, at = self._bias(weights.word[sum(widths) :]), 0
        for lane, width in enumerate(widths):
            weight = weights.word[at : at + width].as_signed()
            at += width
            mine = self.slot == (lane + X_DELAY) % plan.period
            product = multiply(m, f"pe{lane:02}", self.x, mine, weight, self.enable, self._target)
            above, total = (
                total,
                Signal(signed(plan.sums[lane].bits), name=f"pe{lane:02}_sum", reset_less=True),
            )
            m.d.sync += total.eq(above + product)
        m.d.comb += self.total.eq(total)
        return m

    def _bias(self, code: Value) -> Value:
        """Return the bias as a sum has it: with twice the fraction bits, and half a step for rounding."""
        fraction = self._plan.fraction_bits
        return Cat(Const(self._plan.half, fraction), code).as_signed() if fraction else code.as_signed()


class ActivationTable(wiring.Component):
    """Rounds a sum, and looks the activation up, a clock later."""

    def __init__(self, network: LstNetwork, used: Range, total_bits: int) -> None:
        self._fraction_bits, self._index_bits = network.encoding.fraction_bits, used.bits
        least, count = network.encoding.least, 1 << used.bits
        order = (index if index < count // 2 else index - count for index in range(count))
        self._codes = [int(network.activation[min(max(index, least), -least - 1) - least]) for index in order]
        width = Range.of(network.activation).bits
        super().__init__({"total": In(signed(total_bits)), "y": Out(signed(width))})

    def elaborate(self, platform: Any) -> Module:
        """Return the memory; its index is the rounded sum, saturated to where the activation changes."""
        m, width = Module(), len(self.y)
        words = [code % (1 << width) for code in self._codes]
        m.submodules.codes = codes = Rom(words, width)
        rounded = self.total >> self._fraction_bits
        m.d.comb += codes.address.eq(saturate(m, "index", rounded, self._index_bits))
        m.d.comb += self.y.eq(codes.word.as_signed())
        return m


def saturate(m: Module, name: str, value: Value, bits: int) -> Value:
    """Return a signed value as a signed one of at most so many bits."""
    if len(value) <= bits:
        return value.as_signed()
    sign, above = value[-1], value[bits - 1 : -1]
    inside = Signal(name=f"{name}_inside")
    m.d.comb += inside.eq(Mux(sign, above.all(), ~above.any()))
    kept = Mux(inside, value[: bits - 1], (~sign).replicate(bits - 1))  # of one bit, only the sign is kept
    return Cat(kept, sign).as_signed()
