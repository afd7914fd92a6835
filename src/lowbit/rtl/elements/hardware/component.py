"""What every drawn element has: its ports, its clock enable, its operands by lane."""

from abc import abstractmethod
from typing import Any

from amaranth.hdl import EnableInserter, Module, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from lowbit.rtl.elements.element import Element


class ElementHardware(wiring.Component):
    """Ports as `lowbit.rtl.elements.element` describes them."""

    def __init__(self, element: Element) -> None:
        self._lanes = range(element.lanes)
        self._activation_bits, self._weight_bits = element.activation_bits, element.weight_bits
        super().__init__(
            {
                "enable": In(1),
                "first": In(1),
                "activations": In(element.lanes * element.activation_bits),
                "weights": In(element.lanes * element.weight_bits),
                "coefficients": In(element.coefficient_bits),
                "sum": Out(signed(element.accumulator_bits)),
            }
        )

    def elaborate(self, platform: Any) -> Any:
        """Return the element; it stands still while ``enable`` is 0."""
        m = Module()
        self._build(m)
        return EnableInserter(self.enable)(m)

    @abstractmethod
    def _build(self, m: Module) -> None:
        """Add everything from the ports to the sum."""

    def _activation(self, lane: int) -> Value:
        return self.activations.word_select(lane, self._activation_bits)

    def _weight(self, lane: int) -> Value:
        return self.weights.word_select(lane, self._weight_bits)


def delayed(m: Module, name: str, value: Value, clocks: int) -> Value:
    """Return a value of so many clocks ago."""
    for clock in range(clocks):
        later = Signal(value.shape(), name=f"{name}_{clock + 1}")
        m.d.sync += later.eq(value)
        value = later
    return value
