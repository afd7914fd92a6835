"""A vector array: elements side by side, one memory of activations, one of weights. y = W x, again and again.

    clocks per vector = ceil(outputs / elements) · ceil(inputs / lanes)

It is the array that shift elements and multipliers are compared in: everything but the elements is the same.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lowbit.errors import PlanError
from lowbit.rtl.elements.element import Element
from lowbit.rtl.elements.operands import Integers
from lowbit.rtl.integers import pack


@dataclass(frozen=True, eq=False)
class VectorPlan:
    """An array, planned.

    Attributes:
        element: one of those side by side.
        elements: how many.
        weights: codes ``[outputs, inputs]``; rows and columns are filled up with code 0.
    """

    element: Element
    elements: int
    weights: Integers

    def __post_init__(self) -> None:
        self.element.require("elements", self.elements, 1, 1 << 10)
        beats = -(-self.weights.shape[1] // self.element.lanes)
        if self.element.beats != beats or self.element.coefficient_bits:
            raise PlanError(
                "the vector array cannot be made of this element",
                where=self.element.kind,
                expected=f"{beats} beats and no coefficients",
                found=f"{self.element.beats} beats and {self.element.coefficient_bits} bits of coefficients",
                remedy="Give the element as many beats as a row has words.",
            )

    @property
    def folds(self) -> int:
        """How many outputs each element computes."""
        return -(-len(self.weights) // self.elements)

    @property
    def cycles(self) -> int:
        """Clocks per vector."""
        return self.folds * self.element.beats

    @cached_property
    def words(self) -> list[int]:
        """The memory: the weights of all elements for address {fold, beat}, folds from the first on."""
        element = self.element
        rows, columns = self.folds * self.elements, element.beats * element.lanes
        filled = np.zeros((rows, columns), np.int64)
        filled[: len(self.weights), : self.weights.shape[1]] = self.weights
        table = filled.reshape(self.folds, self.elements, element.beats, element.lanes)
        return [
            pack([element.pack(codes) for codes in table[fold, :, beat]], [self.word_bits] * self.elements)
            for fold in range(self.folds)
            for beat in range(element.beats)
        ]

    @property
    def word_bits(self) -> int:
        """Bits of the weights of one element in one clock."""
        return self.element.lanes * self.element.weight_bits

    def activation_words(self, vector: Integers) -> list[int]:
        """Return the words of a vector of activation codes, beat by beat."""
        element = self.element
        filled = np.zeros(element.beats * element.lanes, np.int64)
        filled[: len(vector)] = vector
        return [element.pack_activations(codes) for codes in filled.reshape(element.beats, element.lanes)]
