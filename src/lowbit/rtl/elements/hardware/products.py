"""Elements with a product per lane: registers, products, a tree of adders, an accumulator.

clock 1   both operands are in registers
clock 2   products
then      a level of the tree per clock
last      the sum

A product may lack a one (an inverted number is one too small). It is carried beside it until an adder has a
carry to spare: each adder takes one.
"""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed

from lowbit.rtl.elements.hardware.component import ElementHardware, delayed
from lowbit.rtl.elements.multiply import PRODUCT_LATENCY, MultiplyElement, tree_levels
from lowbit.rtl.elements.shift import ShiftElement
from lowbit.rtl.primitives.multiplier import LATENCY as MULTIPLIER_LATENCY
from lowbit.rtl.primitives.multiplier import multiply

assert MULTIPLIER_LATENCY == PRODUCT_LATENCY


@dataclass(frozen=True, eq=False)
class Term:
    """A signed number, and the one that it may lack."""

    value: Value
    missing: Value | None = None


class MultiplyHardware(ElementHardware):
    """A multiplier per lane."""

    def __init__(self, element: MultiplyElement) -> None:
        self._element = element
        super().__init__(element)

    def _build(self, m: Module) -> None:
        terms = []
        for lane in self._lanes:
            x, weight = self._activation(lane), self._weight(lane).as_signed()
            x = as_number(x, signed_code=self._element.signed_activations)
            terms.append(
                Term(multiply(m, f"lane{lane:02}", x, Const(1), weight, self.enable, self._element.target))
            )
        accumulate(m, self, terms)


class ShiftHardware(ElementHardware):
    """A shifter per lane."""

    def __init__(self, element: ShiftElement) -> None:
        self._element = element
        super().__init__(element)

    def _build(self, m: Module) -> None:
        accumulate(m, self, [self._product(m, lane) for lane in self._lanes])

    def _product(self, m: Module, lane: int) -> Term:
        """Return the shifted activation, inverted where the weight is negative."""
        element, name = self._element, f"lane{lane:02}"
        x = Signal(element.activation_bits, name=f"{name}_x", reset_less=True)
        weight = Signal(element.weight_bits, name=f"{name}_weight", reset_less=True)
        m.d.sync += [x.eq(self._activation(lane)), weight.eq(self._weight(lane))]
        magnitude, sign = weight[:-1], weight[-1]
        number = as_number(x, signed_code=element.signed_activations)
        product = Signal(signed(len(number) + element.widest_shift), name=f"{name}_product", reset_less=True)
        missing = Signal(name=f"{name}_missing", reset_less=True)
        shifted = Mux(magnitude.any(), number << (magnitude - 1)[: len(magnitude)], 0)
        m.d.sync += [product.eq(shifted ^ sign.replicate(len(product)).as_signed()), missing.eq(sign)]
        return Term(product, missing)


def as_number(code: Value, *, signed_code: bool) -> Value:
    """Return a code as a signed value."""
    return code.as_signed() if signed_code else Cat(code, Const(0, 1)).as_signed()


def accumulate(m: Module, element: ElementHardware, terms: list[Term]) -> None:
    """Add terms, clock after clock, into the element's sum."""
    first = delayed(m, "first", element.first, PRODUCT_LATENCY + tree_levels(len(terms)))
    width = len(element.sum)
    for level in range(tree_levels(len(terms))):
        terms = [
            _joined(m, f"level{level}_{at // 2}", terms[at : at + 2], width) for at in range(0, len(terms), 2)
        ]
    (term,) = terms
    total = Signal(signed(width), name="total", reset_less=True)
    m.d.sync += total.eq(_added(term.value, Mux(first, 0, total), term.missing))
    m.d.comb += element.sum.eq(total)


def _joined(m: Module, name: str, terms: list[Term], widest: int) -> Term:
    """Return the registered sum of one or two terms, no wider than the accumulator."""
    left = terms[0]
    added = _added(left.value, terms[1].value, left.missing) if len(terms) == 2 else left.value
    missing = terms[-1].missing
    value = Signal(signed(min(len(added), widest)), name=name, reset_less=True)
    m.d.sync += value.eq(added)
    if missing is None:
        return Term(value)
    later = Signal(name=f"{name}_missing", reset_less=True)
    m.d.sync += later.eq(missing)
    return Term(value, later)


def _added(left: Value, right: Value, missing: Value | None) -> Value:
    """Return a sum of signed values, and one more where it is missing, in one chain of carries."""
    if missing is None:
        return left + right
    return (Cat(missing, left).as_signed() + Cat(missing, right).as_signed())[1:].as_signed()
