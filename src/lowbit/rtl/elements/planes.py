"""Planes: the element of learned bases, whose levels are sums of signs times small integers.

    A(a) = Σ_i m_i s_i(a)        W(w) = Σ_j c_oj s_j(w)        s_i = 2 · bit_i − 1

    sum_o = Σ_j c_oj · ( Σ_i m_i (2 · agreeing_ij − lanes · beats) )

Counts of agreeing bits for every pair of planes, weighted by the activations' multipliers ``m_i``, which are
the layer's, are accumulated per weight plane; at the end the output channel's coefficients ``c_oj`` multiply
them. An offset of the weights is a plane whose bits are all equal.
"""

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from lowbit.rtl.elements.element import ACCUMULATOR_LUT, Element
from lowbit.rtl.elements.operands import Integers, Operands
from lowbit.rtl.elements.xnor import AGREEING_LUT
from lowbit.rtl.integers import Range, pack
from lowbit.rtl.primitives.target import ECP5_MULTIPLIER_BITS, Target, multiplier_cost

if TYPE_CHECKING:
    from amaranth.lib import wiring

    from lowbit.rtl.array.network import Layer

_PAIR_LUT = 4
"""Look-up tables that add a pair of planes to its total."""

TOTAL_LATENCY = 3
"""Clocks from the ports to the totals: registers at the inputs, the counts, the totals."""


@dataclass(frozen=True)
class PlanesElement(Element):
    """See the module.

    Attributes:
        activation_multipliers: ``m_i``, positive, one for each bit of an activation.
        largest_coefficient: of all ``c_oj``; with one plane of weights and 1, there are none.
    """

    activation_multipliers: tuple[int, ...] = (1,)
    largest_coefficient: int = 1
    kind: ClassVar[str] = "planes"
    needs: ClassVar[str] = "learned bases of activations and weights"

    def __post_init__(self) -> None:
        super().__post_init__()
        planes = len(self.activation_multipliers)
        self.require("activation multipliers", planes, self.activation_bits, self.activation_bits)
        for multiplier in self.activation_multipliers:
            self.require("activation multiplier", multiplier, 1, (1 << 16) - 1)
        self.require("largest coefficient", self.largest_coefficient, 1, (1 << 16) - 1)

        if self.target == "ecp5" and self.coefficient_bits:
            self.require("bits of a total", self.total_bits, 1, ECP5_MULTIPLIER_BITS)

    @classmethod
    def operands(cls, layer: "Layer", target: Target) -> Operands | None:
        """Return codes times codes, where activations and weights have learned bases."""
        basis = layer.basis
        if basis is None:
            return None
        element = cls(
            1,
            1,
            len(basis.multipliers),
            basis.coefficients.shape[1],
            target=target,
            activation_multipliers=basis.multipliers,
            largest_coefficient=int(basis.coefficients.max()),
        )
        ranked = None if (np.diff(basis.code_of_rank) == 1).all() else basis.code_of_rank
        ones, own = np.ones(layer.outputs, np.int64), (layer.has_border, basis.coefficients)
        return Operands(ranked, basis.codes, layer.weights, ones, 1, 0, element, *own)

    def cost(self, elements: int, products: int) -> tuple[int, int]:
        """Return counters and totals of all pairs of planes, and multipliers of the coefficients."""
        pairs = self.activation_bits * self.weight_bits
        lut = ceil(products * pairs * AGREEING_LUT) + elements * (
            pairs * _PAIR_LUT + self.weight_bits * ACCUMULATOR_LUT
        )
        if not self.coefficient_bits:
            return lut, 0
        own, dsp = multiplier_cost(self.target, self.total_bits, self.largest_coefficient.bit_length() + 1)
        return lut + elements * self.weight_bits * own, elements * self.weight_bits * dsp

    @property
    def all_signs(self) -> int:
        """The largest total of a plane."""
        return self.lanes * self.beats * sum(self.activation_multipliers)

    @property
    def total_bits(self) -> int:
        """Bits of the total of a plane."""
        return Range(-self.all_signs, self.all_signs).bits

    @property
    def latency(self) -> int:
        """Up to the totals; then registers at the multipliers, the products, the sum."""
        return TOTAL_LATENCY + (3 if self.coefficient_bits else 0)

    @property
    def coefficient_bits(self) -> int:
        """As many as all planes' coefficients have."""
        if self.weight_bits == self.largest_coefficient == 1:
            return 0
        return self.weight_bits * self.largest_coefficient.bit_length()

    def activation_values(self) -> Integers:
        """Return ``Σ_i m_i s_i``."""
        return _plane_sums(self.activation_multipliers)

    def weight_values(self, coefficients: Integers | None = None) -> Integers:
        """Return ``Σ_j c_j s_j``."""
        if coefficients is None:
            assert not self.coefficient_bits
            coefficients = np.ones(1, np.int64)
        return _plane_sums(coefficients)

    def skipped_beat(self, coefficients: Integers | None = None) -> Integers:
        """Return a beat of which no bit agrees: the totals begin with all beats of a sum."""
        own = np.ones((1, 1), np.int64) if coefficients is None else coefficients
        return np.asarray(-self.lanes * sum(self.activation_multipliers) * own.sum(axis=1))

    def pack_coefficients(self, coefficients: npt.ArrayLike) -> int:
        """Return ``c_oj`` of a channel as a word, plane 0 in the lowest bits."""
        if not self.coefficient_bits:
            return 0
        values = np.asarray(coefficients).tolist()
        for value in values:
            self.require("coefficient", value, 0, self.largest_coefficient)
        return pack(values, [self.largest_coefficient.bit_length()] * self.weight_bits)

    def draw(self) -> "wiring.Component":
        """Return the hardware."""
        from lowbit.rtl.elements.hardware.counts import PlanesHardware

        return PlanesHardware(self)


def _plane_sums(multipliers: npt.ArrayLike) -> Integers:
    """Return ``Σ_i m_i (2 · bit_i − 1)`` of every code."""
    values = np.asarray(multipliers, np.int64)
    codes = np.arange(1 << len(values))[:, None]
    return np.asarray((2 * (codes >> np.arange(len(values)) & 1) - 1) @ values)
