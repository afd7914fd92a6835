"""A layer as an element sees it: codes for both sides, and how the element's sums become the layer's.

An element sums ``A(activation code) · W(weight code)``. A layer's levels are

    level(rank) = step · A(rank) + base         weights[o] = scale_o · W

so, with S_o the sum of W over the taps that are valid,

    acc_o = scale_o · (step · sum + base · S_o)
    acc_o > T   is   sum > ⌊(T / scale_o − base · S_o) / step⌋

Pixels of eight bits are multiplied as the bytes they are; nothing is centred, nothing is widened.
"""

from dataclasses import dataclass, replace
from math import gcd
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from lowbit.rtl.elements.element import Element

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Operands:
    """See the module.

    Attributes:
        activations: code of every input rank, ``[2**bits]``; None where a rank is its own code.
        weights: weight codes ``[o, kh, kw, c]``.
        values: what ``W`` makes of them.
        scale: of the weights, ``[o]``.
        step, base: of the levels.
        element: with one lane and one beat; `fitted` makes the real one.
        short: whether windows lack taps at the border.
        coefficients: of the output channels, ``[o, weight_bits]``, where the element has them.
    """

    activations: Integers | None
    weights: Integers
    values: Integers
    scale: Integers
    step: int
    base: int
    element: "Element"
    short: bool = False
    coefficients: Integers | None = None

    @property
    def kind(self) -> str:
        """The name of the element."""
        return self.element.kind

    def fitted(self, lanes: int, beats: int, where: str) -> "Element":
        """Return the element for so many lanes, its accumulator as wide as the sums are."""
        element = replace(self.element, lanes=lanes, beats=beats)
        rows = self.weights.reshape(len(self.weights), -1)
        return element.fitted(rows, self.coefficients, short=self.short, where=where)


def reduced(weights: Integers) -> tuple[Integers, Integers]:
    """Return the greatest common divisor of the weights of each output, and the weights without it."""
    rows = weights.reshape(len(weights), -1)
    scale = np.maximum(np.gcd.reduce(rows, axis=1), 1)
    return scale, weights // scale.reshape(-1, 1, 1, 1)


@dataclass(frozen=True, eq=False)
class Numbers:
    """Levels as numbers to multiply with: ``level(rank) = step · number(rank) + base``.

    Attributes:
        codes: of the numbers by rank, signed where numbers are; None where a rank is its number.
        step, base: of the levels.
        bits: of a code.
        signed: whether numbers can be negative.
    """

    codes: Integers | None
    step: int
    base: int
    bits: int
    signed: bool

    @classmethod
    def of(cls, levels: Integers) -> Self:
        """Return evenly spaced levels as their ranks, others as what they are without a common divisor."""
        steps = np.diff(levels)
        if (steps == steps[0]).all() and steps[0] > 0:
            return cls(None, int(steps[0]), int(levels[0]), (len(levels) - 1).bit_length(), False)
        step = max(1, gcd(*(int(level) for level in levels)))
        values = levels // step
        signed = bool(values.min() < 0)
        ends = int(values.min()), int(values.max())
        bits = max(max((end if end >= 0 else ~end).bit_length() for end in ends) + signed, 1)
        return cls(values % (1 << bits), step, 0, bits, signed)
