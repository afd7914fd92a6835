"""Shift-accumulate: the element of power-of-two weights. There is no multiplier in it.

    A(a) = a, unsigned or two's complement
    W(w) = 0 if k = 0, else (−1)^s · 2^(k − 1)       with  w = s << (b − 1) | k      (`PowerOfTwo`)

A product is the activation, shifted, inverted where the sign is set. What is missing to the negative number,
a one, goes into the carry of the adder behind it: lanes and accumulator have as many adders as there are
signs.
"""

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from lowbit.rtl.elements.element import Element
from lowbit.rtl.elements.multiply import PRODUCT_LATENCY, plain_values, tree_levels
from lowbit.rtl.elements.operands import Integers, Numbers, Operands, reduced
from lowbit.rtl.primitives.target import Target

if TYPE_CHECKING:
    from amaranth.lib import wiring

    from lowbit.rtl.array.network import Layer

_WIDEST = 6
_LUT = 1.6
"""Look-up tables of a shifter per bit of the activation and lane, its adder included."""


@dataclass(frozen=True)
class ShiftElement(Element):
    """See the module; ``weight_bits`` counts the sign.

    Attributes:
        signed_activations: whether activation codes are two's complement.
    """

    signed_activations: bool = False
    kind: ClassVar[str] = "shift"
    needs: ClassVar[str] = f"weights of zero or a scale times ±1 … ±2^{_WIDEST}"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("weight bits", self.weight_bits, 2, 4)

    @classmethod
    def operands(cls, layer: "Layer", target: Target) -> Operands | None:
        """Return numbers to shift, and by how much, where weights are powers of two."""
        scale, values = reduced(layer.weights)
        magnitudes = np.abs(values)
        powers = magnitudes & (magnitudes - 1) == 0
        if not powers.all() or magnitudes.max() > 1 << _WIDEST:
            return None
        exponents = np.where(magnitudes > 0, np.log2(np.maximum(magnitudes, 1)).astype(np.int64) + 1, 0)
        bits = max(2, int(exponents.max()).bit_length() + 1)
        codes = exponents + (1 << (bits - 1)) * (values < 0)
        numbers = Numbers.of(layer.levels)
        element = cls(1, 1, numbers.bits, bits, target=target, signed_activations=numbers.signed)
        return Operands(numbers.codes, codes, values, scale, numbers.step, numbers.base, element)

    def cost(self, elements: int, products: int) -> tuple[int, int]:
        """Return the shifters."""
        return ceil(products * self.activation_bits * _LUT), 0

    @property
    def latency(self) -> int:
        """As with multipliers: inputs, shifted, the levels of the tree, the accumulator."""
        return PRODUCT_LATENCY + tree_levels(self.lanes) + 1

    @property
    def widest_shift(self) -> int:
        """The most places that an activation is shifted by."""
        return (1 << (self.weight_bits - 1)) - 2

    def activation_values(self) -> Integers:
        """Return the codes themselves."""
        return plain_values(self.activation_bits, signed=self.signed_activations)

    def weight_values(self, coefficients: Integers | None = None) -> Integers:
        """Return zero and the signed powers of two."""
        powers = np.concatenate([[0], 1 << np.arange(self.widest_shift + 1, dtype=np.int64)])
        return np.concatenate([powers, -powers])

    def draw(self) -> "wiring.Component":
        """Return the hardware."""
        from lowbit.rtl.elements.hardware.products import ShiftHardware

        return ShiftHardware(self)
