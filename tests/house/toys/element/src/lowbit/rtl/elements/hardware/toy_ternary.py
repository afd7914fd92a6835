"""The toy element, drawn: an activation, its opposite, or nothing."""

from amaranth.hdl import Module, Mux, Signal, signed
from lowbit.rtl.elements.toy_ternary import TernaryElement

from lowbit.rtl.elements.hardware.component import ElementHardware
from lowbit.rtl.elements.hardware.products import Term, accumulate, as_number


class TernaryHardware(ElementHardware):
    def __init__(self, element: TernaryElement) -> None:
        self._element = element
        super().__init__(element)

    def _build(self, m: Module) -> None:
        accumulate(m, self, [Term(self._product(m, lane)) for lane in self._lanes])

    def _product(self, m: Module, lane: int) -> Signal:
        x = Signal(self._element.activation_bits, name=f"x{lane}", reset_less=True)
        weight = Signal(2, name=f"weight{lane}", reset_less=True)
        m.d.sync += [x.eq(self._activation(lane)), weight.eq(self._weight(lane))]
        number = as_number(x, signed_code=self._element.signed_activations)
        product = Signal(signed(len(number) + 1), name=f"product{lane}", reset_less=True)
        m.d.sync += product.eq(Mux(weight[0], Mux(weight[1], -number, number), 0))
        return product
