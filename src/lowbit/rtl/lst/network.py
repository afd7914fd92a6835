"""A network of one learned separable transform, as the integers that hardware computes with.

    H = f(X W1ᵀ + b1)      rows:    X [rows, columns] → H [rows, a]
    Z = f(Hᵀ W2ᵀ + b2)     columns: Hᵀ [a, rows]      → Z [a, b]
    s = flatten(Zᵀ) W3ᵀ + b3

What a layer computes is said in `lowbit.ir.operators.fixed_point`: sums at full width, one rounding,
saturation; f is a table over all codes. The scores s are not rounded: they have 2n fraction bits. The class
is the first of the largest. Source: Vashkevich and Krivalcevich 2025.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lowbit.errors import PlanError
from lowbit.schemes import FixedPoint

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Layer:
    """Integers of a fully connected layer: weights ``[outputs, inputs]`` and bias ``[outputs]``."""

    name: str
    weights: Integers
    bias: Integers

    @property
    def outputs(self) -> int:
        """How many sums it has."""
        return int(self.weights.shape[0])

    @property
    def inputs(self) -> int:
        """How many products a sum has."""
        return int(self.weights.shape[1])


@dataclass(frozen=True, eq=False)
class LstNetwork:
    """The three layers, the number format and the two tables.

    Attributes:
        encoding: of all weights, biases and activations.
        by_rows: ``[a, columns]``, shared by all rows.
        by_columns: ``[b, rows]``, shared by all columns of H.
        output: ``[classes, b · a]``.
        activation: integer of f for every code.
        pixels: integer for every byte of the picture.
    """

    encoding: FixedPoint
    by_rows: Layer
    by_columns: Layer
    output: Layer
    activation: Integers
    pixels: Integers

    @property
    def rows(self) -> int:
        """Rows of the picture."""
        return self.by_columns.inputs

    @property
    def columns(self) -> int:
        """Columns of the picture."""
        return self.by_rows.inputs

    @property
    def classes(self) -> int:
        """How many scores there are."""
        return self.output.outputs

    @property
    def number_format(self) -> str:
        """The name of the format, such as Q6.7."""
        return f"Q{self.encoding.integer_bits}.{self.encoding.fraction_bits}"

    @property
    def half(self) -> int:
        """What is added to a sum so that cutting its lower half rounds it."""
        return (1 << self.encoding.fraction_bits >> 1) if self.encoding.rounds_to_nearest else 0

    def check(self) -> "LstNetwork":
        """Return the network.

        Raises:
            PlanError: sizes that do not belong together, or integers that the format does not hold.
        """
        features = self.by_rows.outputs * self.by_columns.outputs
        if self.output.inputs != features:
            raise PlanError(
                "the layers do not fit each other",
                where=self.output.name,
                expected=f"{features} inputs",
                found=str(self.output.inputs),
            )
        for layer in (self.by_rows, self.by_columns, self.output):
            self._check_integers(f"{layer.name}: weights", layer.weights)
            self._check_integers(f"{layer.name}: bias", layer.bias, layer.outputs)
        self._check_integers("activation table", self.activation, 1 << self.encoding.bits)
        self._check_integers("pixel table", self.pixels, 256)
        return self

    def _check_integers(self, where: str, integers: Integers, count: int | None = None) -> None:
        if count is not None and integers.shape != (count,):
            raise PlanError(
                "a wrong number of integers", where=where, expected=str(count), found=str(integers.shape)
            )
        least = self.encoding.least
        if integers.min() < least or integers.max() >= -least:
            raise PlanError(
                "an integer is outside its format",
                where=where,
                expected=f"{least} to {-least - 1} ({self.number_format})",
                found=f"{integers.min()} to {integers.max()}",
            )
