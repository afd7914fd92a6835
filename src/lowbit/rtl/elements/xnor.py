"""XNOR and popcount: the element of binary activations and weights.

    A, W ∈ {−1, +1}, code 1 is +1        sum = 2 · (bits that agree) − lanes · beats

The accumulator counts agreeing bits and begins at minus half of all, so that the sum is what it holds,
shifted.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from lowbit.rtl.elements.element import Element, Integers

if TYPE_CHECKING:
    from amaranth.lib import wiring


@dataclass(frozen=True)
class XnorElement(Element):
    """See the module; both operands have one bit."""

    activation_bits: int = 1
    weight_bits: int = 1
    kind: ClassVar[str] = "xnor"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("activation bits", self.activation_bits, 1, 1)
        self.require("weight bits", self.weight_bits, 1, 1)

    @property
    def latency(self) -> int:
        """Registers at the inputs, the accumulator."""
        return 2

    def skipped_beat(self, coefficients: Integers | None = None) -> Integers:
        """Return a beat of which no bit agrees: the accumulator begins with all beats of a sum."""
        return np.array([-self.lanes])

    def activation_values(self) -> Integers:
        """Return −1 and +1."""
        return np.array([-1, 1])

    def weight_values(self, coefficients: Integers | None = None) -> Integers:
        """Return −1 and +1."""
        return np.array([-1, 1])

    def draw(self) -> "wiring.Component":
        """Return the hardware."""
        from lowbit.rtl.elements.hardware.counts import XnorHardware

        return XnorHardware(self)
