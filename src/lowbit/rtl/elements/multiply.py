"""Multiply-accumulate: the element of fixed point and affine codes.

    A(a) = a, unsigned or two's complement        W(w) = w, two's complement

A multiplier per lane (DSP blocks, or look-up tables where synthesis is told to use none), a tree of adders
with a register per level, an accumulator.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from lowbit.rtl.elements.element import Element
from lowbit.rtl.elements.operands import Integers, Numbers, Operands, reduced
from lowbit.rtl.primitives.target import Target, multiplier_cost

if TYPE_CHECKING:
    from amaranth.lib import wiring

    from lowbit.rtl.array.network import Layer

PRODUCT_LATENCY = 2
"""Clocks from the ports to a product."""


@dataclass(frozen=True)
class MultiplyElement(Element):
    """See the module.

    Attributes:
        signed_activations: whether activation codes are two's complement.
    """

    signed_activations: bool = False
    kind: ClassVar[str] = "multiply"
    needs: ClassVar[str] = "integers"

    @classmethod
    def operands(cls, layer: "Layer", target: Target) -> Operands:
        """Return numbers times numbers: it runs every layer."""
        (scale, values), numbers = reduced(layer.weights), Numbers.of(layer.levels)
        bits = max(2, int(max(values.max(), -values.min() - 1)).bit_length() + 1)
        element = cls(1, 1, numbers.bits, bits, target=target, signed_activations=numbers.signed)
        return Operands(numbers.codes, values, values, scale, numbers.step, numbers.base, element)

    def cost(self, elements: int, products: int) -> tuple[int, int]:
        """Return a multiplier per product, of look-up tables where a family has none."""
        lut, dsp = multiplier_cost(self.target, self.activation_bits + 1, self.weight_bits)
        return products * lut, products * dsp

    @property
    def latency(self) -> int:
        """Registers at the inputs and the product, the levels of the tree, the accumulator."""
        return PRODUCT_LATENCY + tree_levels(self.lanes) + 1

    def activation_values(self) -> Integers:
        """Return the codes themselves."""
        return plain_values(self.activation_bits, signed=self.signed_activations)

    def weight_values(self, coefficients: Integers | None = None) -> Integers:
        """Return the codes as two's complement."""
        return plain_values(self.weight_bits, signed=True)

    def draw(self) -> "wiring.Component":
        """Return the hardware."""
        from lowbit.rtl.elements.hardware.products import MultiplyHardware

        return MultiplyHardware(self)


def tree_levels(lanes: int) -> int:
    """Return how many levels of adders join so many lanes."""
    return (lanes - 1).bit_length()


def plain_values(bits: int, *, signed: bool) -> Integers:
    """Return the integer that every code of so many bits is, unsigned or two's complement."""
    codes = np.arange(1 << bits, dtype=np.int64)
    return np.where(codes >> (bits - 1) & 1, codes - (1 << bits), codes) if signed else codes
