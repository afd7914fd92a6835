"""Elements that count bits that agree.

A count of agreeing bits is half of a sum of products of signs, but for a constant. So a total begins at minus
half of all there are, and the sum is the total, shifted by one bit.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed

from lowbit.rtl.elements.hardware.component import ElementHardware, delayed
from lowbit.rtl.elements.planes import PlanesElement
from lowbit.rtl.elements.xnor import XnorElement
from lowbit.rtl.primitives.multiplier import multiply
from lowbit.rtl.primitives.popcount import agreeing_bits


class XnorHardware(ElementHardware):
    """Clock 1: both operands are in registers; clock 2: their count is in the accumulator."""

    def __init__(self, element: XnorElement) -> None:
        self._element = element
        super().__init__(element)

    def _build(self, m: Module) -> None:
        x, w = registered(m, "x", self.activations), registered(m, "w", self.weights)
        first, count = delayed(m, "first", self.first, 1), agreeing_bits(m, x, w, self._element.target)
        all_signs = self._element.lanes * self._element.beats
        m.d.comb += self.sum.eq(total_of_signs(m, "total", first, count, all_signs, len(self.sum)))


class PlanesHardware(ElementHardware):
    """Clock 1: operands; clock 2: a count per pair of planes; clock 3: a total per plane of weights.

    Then, where there are coefficients: clock 4 and 5: products; clock 6: the sum.
    """

    def __init__(self, element: PlanesElement) -> None:
        self._element = element
        super().__init__(element)

    def _build(self, m: Module) -> None:
        totals = self._totals(m)
        if not self._element.coefficient_bits:
            m.d.comb += self.sum.eq(totals[0])
            return
        coefficients, products = delayed(m, "coefficients", self.coefficients, 3), []
        width = self._element.largest_coefficient.bit_length()
        for plane, total in enumerate(totals):
            coefficient = Cat(coefficients.word_select(plane, width), Const(0, 1)).as_signed()
            name = f"plane{plane}"
            products.append(
                multiply(m, name, total, Const(1), coefficient, self.enable, self._element.target)
            )
        m.d.sync += self.sum.eq(sum(products[1:], start=products[0]))

    def _totals(self, m: Module) -> list[Value]:
        """Return ``Σ_i m_i (2 · agreeing_ij − lanes · beats)`` of every weight plane j."""
        element = self._element
        x = [registered(m, f"x{plane}", word) for plane, word in enumerate(self._activation_planes())]
        w = [registered(m, f"w{plane}", word) for plane, word in enumerate(self._weight_planes())]
        first = delayed(m, "first", self.first, 2)
        totals = []
        for j, weights in enumerate(w):
            count: Value = Const(0, 1)
            for i, multiplier in enumerate(element.activation_multipliers):
                agreeing = agreeing_bits(m, x[i], weights, element.target, f"pair{i}_{j}_")
                count = count + times(registered(m, f"agreeing{i}_{j}", agreeing), multiplier)
            totals.append(total_of_signs(m, f"total{j}", first, count, element.all_signs, element.total_bits))
        return totals

    def _activation_planes(self) -> list[Value]:
        lanes = [self._activation(lane) for lane in self._lanes]
        return [Cat(*(lane[bit] for lane in lanes)) for bit in range(self._activation_bits)]

    def _weight_planes(self) -> list[Value]:
        lanes = [self._weight(lane) for lane in self._lanes]
        return [Cat(*(lane[bit] for lane in lanes)) for bit in range(self._weight_bits)]


def registered(m: Module, name: str, value: Value) -> Signal:
    """Return a value of a clock ago."""
    register = Signal(value.shape(), name=name, reset_less=True)
    m.d.sync += register.eq(value)
    return register


def total_of_signs(m: Module, name: str, first: Value, count: Value, all_signs: int, width: int) -> Value:
    """Return ``Σ (2 · count) − all_signs`` over the clocks of a sum, signed, of so many bits."""
    odd = all_signs % 2
    total = Signal(signed(max(1, width - 1)), name=name, reset_less=True)
    m.d.sync += total.eq(count + Mux(first, -(all_signs + odd) // 2, total))
    return Cat(Const(odd, 1), total).as_signed()


def times(value: Value, constant: int) -> Value:
    """Return an unsigned value times a small constant, by adders: no multiplier is worth it."""
    places = [place for place in range(constant.bit_length()) if constant >> place & 1]
    shifted: list[Value] = [Cat(Const(0, place), value) if place else value for place in places]
    return sum(shifted[1:], start=shifted[0])
