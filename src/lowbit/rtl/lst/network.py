"""A network of one learned separable transform, as the integers that hardware computes with.

    H = f(X W1ᵀ + b1)      rows:    X [rows, columns] → H [rows, a]
    Z = f(Hᵀ W2ᵀ + b2)     columns: Hᵀ [a, rows]      → Z [a, b]
    s = flatten(Zᵀ) W3ᵀ + b3

All numbers are Qm.n: q · 2^−n, q of m + n bits. Each layer adds full-width products (2n fraction bits)
to the bias, rounds once to n, saturates to m + n bits; f is a table over all codes. The class is the
first of the largest scores. Source: Vashkevich and Krivalcevich 2025.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from lowbit.errors import PlanError

Integers = npt.NDArray[np.int64]
Rounding = Literal["half_up", "floor"]

MOST_BITS = 16
"""The widest code: tables over all codes stay below a megabit, products below 32 bits."""


@dataclass(frozen=True, eq=False)
class Layer:
    """Codes of a fully connected layer: weights ``[outputs, inputs]`` and bias ``[outputs]``."""

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
        integer_bits: m of Qm.n, the sign included.
        fraction_bits: n of Qm.n.
        rounding: of each layer's sum.
        by_rows: ``[a, columns]``, shared by all rows.
        by_columns: ``[b, rows]``, shared by all columns of H.
        output: ``[classes, b · a]``.
        activation: code of f for every code, from −2^(m+n−1) on.
        pixels: code for every byte of the picture.
    """

    integer_bits: int
    fraction_bits: int
    rounding: Rounding
    by_rows: Layer
    by_columns: Layer
    output: Layer
    activation: Integers
    pixels: Integers

    @property
    def bits(self) -> int:
        """Width of a code."""
        return self.integer_bits + self.fraction_bits

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
        return f"Q{self.integer_bits}.{self.fraction_bits}"

    @property
    def half(self) -> int:
        """What is added to a sum so that cutting its lower half rounds it."""
        return (1 << self.fraction_bits >> 1) if self.rounding == "half_up" else 0

    def scores(self, pictures: npt.NDArray[np.uint8]) -> Integers:
        """Return what hardware must compute: codes ``[n, classes]`` of pictures ``[n, rows, columns]``."""
        hidden = self._activated(self._linear(self.pixels[pictures], self.by_rows))
        both = self._activated(self._linear(hidden.transpose(0, 2, 1), self.by_columns))
        return self._linear(both.transpose(0, 2, 1).reshape(len(pictures), -1), self.output)

    def _linear(self, x: Integers, layer: Layer) -> Integers:
        # float64 is exact: every sum is below 2^48, see `lowbit.rtl.lst.plan`. It is ten times faster.
        products = (x.astype(np.float64) @ layer.weights.T.astype(np.float64)).astype(np.int64)
        total = (products + (layer.bias << self.fraction_bits) + self.half) >> self.fraction_bits
        bound = 1 << (self.bits - 1)
        codes: Integers = np.minimum(np.maximum(total, -bound), bound - 1)
        return codes

    def _activated(self, codes: Integers) -> Integers:
        return np.take(self.activation, codes + (1 << (self.bits - 1)))

    def check(self) -> "LstNetwork":
        """Return the network.

        Raises:
            PlanError: sizes that do not belong together, or codes that the format does not hold.
        """
        if self.integer_bits < 1 or self.fraction_bits < 0 or self.bits > MOST_BITS:
            raise PlanError(
                "the number format has no hardware",
                expected=f"Qm.n with m ≥ 1, n ≥ 0 and at most {MOST_BITS} bits",
                found=self.number_format,
                remedy="Use fewer bits.",
            )
        features = self.by_rows.outputs * self.by_columns.outputs
        if self.output.inputs != features:
            raise PlanError(
                "the layers do not fit each other",
                where=self.output.name,
                expected=f"{features} inputs",
                found=str(self.output.inputs),
            )
        for layer in (self.by_rows, self.by_columns, self.output):
            self._check_codes(f"{layer.name}: weights", layer.weights)
            self._check_codes(f"{layer.name}: bias", layer.bias, layer.outputs)
        self._check_codes("activation table", self.activation, 1 << self.bits)
        self._check_codes("pixel table", self.pixels, 256)
        return self

    def _check_codes(self, where: str, codes: Integers, count: int | None = None) -> None:
        if count is not None and codes.shape != (count,):
            raise PlanError(
                "a wrong number of codes", where=where, expected=str(count), found=str(codes.shape)
            )
        bound = 1 << (self.bits - 1)
        if codes.min() < -bound or codes.max() >= bound:
            raise PlanError(
                "a code is outside its format",
                where=where,
                expected=f"{-bound} to {bound - 1} ({self.number_format})",
                found=f"{codes.min()} to {codes.max()}",
            )


def quantize_codes(values: npt.ArrayLike, integer_bits: int, fraction_bits: int) -> Integers:
    """Return Qm.n codes of reals: ⌊x · 2^n + ½⌋, saturated."""
    bound = 1 << (integer_bits + fraction_bits - 1)
    rounded = np.floor(np.asarray(values, np.float64) * 2**fraction_bits + 0.5)
    codes: Integers = np.minimum(np.maximum(rounded, -bound), bound - 1).astype(np.int64)
    return codes


def table_codes(
    function: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
    integer_bits: int,
    fraction_bits: int,
) -> Integers:
    """Return the code of a function's value for every Qm.n code, in order."""
    bound = 1 << (integer_bits + fraction_bits - 1)
    reals = np.arange(-bound, bound) / 2**fraction_bits
    return quantize_codes(function(reals), integer_bits, fraction_bits)


def pixel_codes(integer_bits: int, fraction_bits: int, mean: float = 0.5, deviation: float = 0.5) -> Integers:
    """Return the code of (p / 255 − mean) / deviation for every byte p."""
    return quantize_codes((np.arange(256) / 255 - mean) / deviation, integer_bits, fraction_bits)
