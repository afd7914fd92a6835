"""Elements that count bits that agree.

clock 1   both operands are in registers
clock 2   the count is in the accumulator
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed

from lowbit.rtl.elements.hardware.component import ElementHardware, delayed
from lowbit.rtl.elements.xnor import XnorElement
from lowbit.rtl.primitives.popcount import agreeing_bits


class XnorHardware(ElementHardware):
    """Count, accumulator."""

    def __init__(self, element: XnorElement) -> None:
        self._element = element
        super().__init__(element)

    def _build(self, m: Module) -> None:
        x = Signal(len(self.activations), reset_less=True)
        w = Signal(len(self.weights), reset_less=True)
        m.d.sync += [x.eq(self.activations), w.eq(self.weights)]
        first = delayed(m, "first", self.first, 1)
        count = agreeing_bits(m, x, w, self._element.target)
        products = self._element.lanes * self._element.beats
        odd = products % 2
        total = Signal(signed(max(1, len(self.sum) - 1)), reset_less=True)
        m.d.sync += total.eq(count + Mux(first, -(products + odd) // 2, total))
        m.d.comb += self.sum.eq(Cat(Const(odd, 1), total).as_signed())
