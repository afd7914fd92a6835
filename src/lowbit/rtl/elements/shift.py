"""Shift-accumulate: the element of power-of-two weights. There is no multiplier in it.

    A(a) = a, unsigned or two's complement
    W(w) = 0 if k = 0, else (−1)^s · 2^(k − 1)       with  w = s << (b − 1) | k      (`PowerOfTwo`)

A product is the activation, shifted, inverted where the sign is set. What is missing to the negative number,
a one, goes into the carry of the adder behind it: lanes and accumulator have as many adders as there are
signs.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from lowbit.rtl.elements.element import Element, Integers
from lowbit.rtl.elements.multiply import PRODUCT_LATENCY, plain_values, tree_levels

if TYPE_CHECKING:
    from amaranth.lib import wiring


@dataclass(frozen=True)
class ShiftElement(Element):
    """See the module; ``weight_bits`` counts the sign.

    Attributes:
        signed_activations: whether activation codes are two's complement.
    """

    signed_activations: bool = False
    kind: ClassVar[str] = "shift"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("weight bits", self.weight_bits, 2, 4)

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
