"""XNOR and popcount: the element of binary activations and weights.

    A, W ∈ {−1, +1}, code 1 is +1        sum = 2 · (bits that agree) − lanes · beats

The accumulator counts agreeing bits and begins at minus half of all, so that the sum is what it holds,
shifted.
"""

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from lowbit.rtl.elements.element import Element
from lowbit.rtl.elements.operands import Integers, Operands
from lowbit.rtl.primitives.target import Target

if TYPE_CHECKING:
    from amaranth.lib import wiring

    from lowbit.rtl.array.network import Layer

AGREEING_LUT = 1.1
"""Look-up tables to count a pair of bits."""


@dataclass(frozen=True)
class XnorElement(Element):
    """See the module; both operands have one bit."""

    activation_bits: int = 1
    weight_bits: int = 1
    kind: ClassVar[str] = "xnor"
    needs: ClassVar[str] = "levels and weights of one bit, of opposite signs"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("activation bits", self.activation_bits, 1, 1)
        self.require("weight bits", self.weight_bits, 1, 1)

    @classmethod
    def operands(cls, layer: "Layer", target: Target) -> Operands | None:
        """Return signs times signs, where levels and weights are of two opposite values."""
        scale = np.abs(layer.weights).reshape(layer.outputs, -1).max(axis=1)
        signs = np.abs(layer.weights) == scale.reshape(-1, 1, 1, 1)
        if len(layer.levels) != 2 or not signs.all() or not scale.all():
            return None
        low, high = (int(level) for level in layer.levels)
        if low + high:
            return None
        codes = (layer.weights > 0).astype(np.int64)
        return Operands(None, codes, 2 * codes - 1, scale, high, 0, cls(1, 1, target=target))

    def cost(self, elements: int, products: int) -> tuple[int, int]:
        """Return the counters."""
        return ceil(products * AGREEING_LUT), 0

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
