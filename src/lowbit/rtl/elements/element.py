"""What every processing element is: `lanes` products per clock, added up over the `beats` of a sum.

    sum = Σ_beats Σ_lanes  A(activation) · W(weight)                                    exact

``A`` and ``W`` are tables of integers that an element's parameters decide; both operands arrive as codes.
This file and the descriptions beside it know no hardware language: they plan, `draw` builds.

Ports of what is drawn; it moves while ``enable`` is 1, and begins with a register at both operands:

    enable        the clock enable: back-pressure is its 0
    first         this beat begins a new sum
    activations   lane l in bits [l · activation_bits, (l + 1) · activation_bits)
    weights       lane l in bits [l · weight_bits, (l + 1) · weight_bits), as `pack` makes them
    coefficients  what a sum's output channel adds (planes only, else no bits): the same in all beats of a sum
    sum           signed; of the beats up to the one that was there `latency` clocks ago

A sum is there for one clock, then the next one begins. A lane or a tap that a layer does not use is fed
activation code 0 and weight code 0, and adds ``A(0) · W(0)``, which whoever plans the layer takes off its
thresholds. Sums may wrap on the way; `sum_range` says what must fit at the end.

An element also says which layers it can run, on which codes (`operands`), and about what it takes (`cost`).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
import numpy.typing as npt

from lowbit.errors import NumericError, PlanError
from lowbit.rtl.elements.operands import Integers, Operands
from lowbit.rtl.integers import Range, pack
from lowbit.rtl.primitives.target import Target

if TYPE_CHECKING:
    from amaranth.lib import wiring

    from lowbit.rtl.array.network import Layer

WIDEST_SUM = 48
"""Bits of an accumulator: the adder behind a multiplier in 7-series devices."""

ACCUMULATOR_LUT = 20
"""Look-up tables of an accumulator, and of what compares or multiplies its sum."""


@dataclass(frozen=True)
class Element(ABC):
    """A processing element, planned.

    Attributes:
        lanes: products per clock.
        beats: clocks per sum.
        activation_bits: of an activation's code.
        weight_bits: of a weight's code.
        accumulator_bits: of the sum; see `fitted`.
        target: the family.
        kind: its name in tables and on the command line.
        needs: what layers must have that it runs.
    """

    lanes: int
    beats: int
    activation_bits: int
    weight_bits: int
    accumulator_bits: int = WIDEST_SUM
    target: Target = "xc7"
    kind: ClassVar[str] = ""
    needs: ClassVar[str] = ""

    def __post_init__(self) -> None:
        self.require("lanes", self.lanes, 1, 1 << 16)
        self.require("beats", self.beats, 1, 1 << 24)
        self.require("activation bits", self.activation_bits, 1, 16)
        self.require("weight bits", self.weight_bits, 1, 16)
        self.require("accumulator bits", self.accumulator_bits, 1, WIDEST_SUM)

    @classmethod
    @abstractmethod
    def operands(cls, layer: "Layer", target: Target) -> Operands | None:
        """Return a layer as the element sees it; None where it cannot run it."""

    @abstractmethod
    def cost(self, elements: int, products: int) -> tuple[int, int]:
        """Return about how many look-up tables and blocks of multipliers elements take, accumulators aside.

        Args:
            elements: how many, side by side.
            products: per clock, of all of them.
        """

    @property
    @abstractmethod
    def latency(self) -> int:
        """Clocks from the last beat of a sum at the ports to the sum."""

    @property
    def coefficient_bits(self) -> int:
        """Bits of the coefficients of an output channel; 0 if there are none."""
        return 0

    def skipped_beat(self, coefficients: Integers | None = None) -> Integers:
        """Return what a sum gains, at most 0, for every beat that it is short of, by output channel."""
        return np.zeros(1, np.int64)

    @abstractmethod
    def activation_values(self) -> Integers:
        """Return ``A``: the integer of every activation code, int64 ``[2**activation_bits]``."""

    @abstractmethod
    def weight_values(self, coefficients: Integers | None = None) -> Integers:
        """Return ``W``: the integer of every weight code, int64 ``[2**weight_bits]``.

        Args:
            coefficients: of the output channel, where the element has them: ``[weight_bits]``.
        """

    @abstractmethod
    def draw(self) -> "wiring.Component":
        """Return the hardware, an Amaranth component."""

    def pack(self, weights: npt.ArrayLike) -> int:
        """Return the word of one beat of weight codes ``[lanes]``; signed codes may be negative."""
        return pack(np.asarray(weights).tolist(), [self.weight_bits] * self.lanes)

    def pack_activations(self, activations: npt.ArrayLike) -> int:
        """Return the word of one beat of activation codes ``[lanes]``; signed codes may be negative."""
        return pack(np.asarray(activations).tolist(), [self.activation_bits] * self.lanes)

    def pack_coefficients(self, coefficients: npt.ArrayLike) -> int:
        """Return the coefficients of an output channel as a word; 0 where the element has none."""
        return 0

    def model(
        self, activations: npt.ArrayLike, weights: npt.ArrayLike, coefficients: npt.ArrayLike | None = None
    ) -> int:
        """Return the sum of the products of codes, of any shape: the definition, for tests."""
        table = self.weight_values(None if coefficients is None else np.asarray(coefficients, np.int64))
        a = self.activation_values()[np.asarray(activations) % (1 << self.activation_bits)]
        return int((a * table[np.asarray(weights) % (1 << self.weight_bits)]).sum())

    def sum_range(
        self, weights: npt.ArrayLike, coefficients: npt.ArrayLike | None = None, *, short: bool = False
    ) -> Range:
        """Return the exact range of the sums of output channels over all activations.

        Args:
            weights: codes ``[o, lanes · beats]``.
            coefficients: ``[o, weight_bits]`` where the element has them.
            short: whether sums may be short of beats, which then add `skipped_beat`.
        """
        values = self.activation_values()
        least, most = int(values.min()), int(values.max())
        found = Range(0, 0)
        for channel, row in enumerate(np.atleast_2d(np.asarray(weights))):
            own = None if coefficients is None else np.asarray(coefficients, np.int64)[channel]
            w = self.weight_values(own)[row % (1 << self.weight_bits)]
            low, high = np.minimum(w * least, w * most), np.maximum(w * least, w * most).sum()
            if short:
                low = np.minimum(low, self.skipped_beat(None if own is None else own[None])[0] // self.lanes)
            found |= Range(int(low.sum()), int(high))
        return found

    def sum_step(self, weights: npt.ArrayLike, coefficients: npt.ArrayLike | None = None) -> int:
        """Return what all differences of sums of an output channel are multiples of.

        Args:
            weights: codes ``[lanes · beats]``.
            coefficients: ``[weight_bits]`` where the element has them.
        """
        own = None if coefficients is None else np.asarray(coefficients, np.int64)
        values = self.weight_values(own)[np.asarray(weights) % (1 << self.weight_bits)]
        return int(np.gcd.reduce(np.diff(self.activation_values())) * np.gcd.reduce(values)) or 1

    def fitted(
        self,
        weights: npt.ArrayLike,
        coefficients: npt.ArrayLike | None = None,
        *,
        short: bool = False,
        where: str = "",
    ) -> Self:
        """Return the element with an accumulator as wide as the sums of these weights need.

        Raises:
            NumericError: wider than any adder; names ``where``, the node.
        """
        found = self.sum_range(weights, coefficients, short=short)
        if found.bits > WIDEST_SUM:
            raise NumericError(
                "a sum would overflow its adder",
                where=where or self.kind,
                expected=f"at most {WIDEST_SUM} bits",
                found=f"{found.bits} bits, for sums in {found}",
                remedy="Use fewer bits, or split the layer.",
            )
        return replace(self, accumulator_bits=found.bits)

    def require(self, what: str, found: int, least: int, most: int) -> None:
        """Refuse a parameter out of range.

        Raises:
            PlanError: it is.
        """
        if not least <= found <= most:
            raise PlanError(
                f"the {self.kind} element cannot be made",
                where=what,
                expected=f"{least} to {most}",
                found=str(found),
                remedy="Choose another element, or other bits for the layer.",
            )
