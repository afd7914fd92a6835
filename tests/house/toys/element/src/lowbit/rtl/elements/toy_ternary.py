"""Ternary: weights of -1, 0 and 1 times a scale, without a multiplier."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from lowbit.rtl.elements.element import Element
from lowbit.rtl.elements.multiply import PRODUCT_LATENCY, plain_values, tree_levels
from lowbit.rtl.elements.operands import Integers, Numbers, Operands, reduced
from lowbit.rtl.primitives.target import Target

if TYPE_CHECKING:
    from amaranth.lib import wiring

    from lowbit.rtl.array.network import Layer


@dataclass(frozen=True)
class TernaryElement(Element):
    signed_activations: bool = False
    kind: ClassVar[str] = "toy_ternary"
    needs: ClassVar[str] = "weights of -1, 0 and 1 times a scale"

    @classmethod
    def operands(cls, layer: "Layer", target: Target) -> Operands | None:
        (scale, values), numbers = reduced(layer.weights), Numbers.of(layer.levels)
        if np.abs(values).max() > 1:
            return None
        element = cls(1, 1, numbers.bits, 2, target=target, signed_activations=numbers.signed)
        return Operands(numbers.codes, values % 4, values, scale, numbers.step, numbers.base, element)

    def cost(self, elements: int, products: int) -> tuple[int, int]:
        return products * self.activation_bits, 0

    @property
    def latency(self) -> int:
        return PRODUCT_LATENCY + tree_levels(self.lanes) + 1

    def activation_values(self) -> Integers:
        return plain_values(self.activation_bits, signed=self.signed_activations)

    def weight_values(self, coefficients: Integers | None = None) -> Integers:
        return np.array([0, 1, 0, -1])

    def draw(self) -> "wiring.Component":
        from lowbit.rtl.elements.hardware.toy_ternary import TernaryHardware

        return TernaryHardware(self)
