"""Which element runs a layer, on which codes, and how its sums become the layer's.

An element sums ``A(activation code) · W(weight code)``. A layer's levels are

    level(rank) = step · A(rank) + base         weights[o] = scale_o · W

so, with S_o the sum of W over the taps that are valid,

    acc_o = scale_o · (step · sum + base · S_o)
    acc_o > T   is   sum > ⌊(T / scale_o − base · S_o) / step⌋

Pixels of eight bits are multiplied as the bytes they are; nothing is centred, nothing is widened.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from math import gcd
from typing import Literal

import numpy as np

from lowbit.errors import PlanError
from lowbit.rtl.array.network import Integers, Layer
from lowbit.rtl.elements import Element, MultiplyElement, PlanesElement, ShiftElement, XnorElement
from lowbit.rtl.primitives.target import Target

Kind = Literal["xnor", "shift", "planes", "multiply"]
"""Elements that the engine chooses from, the cheapest first."""

_WIDEST_SHIFT = 6


@dataclass(frozen=True, eq=False)
class Operands:
    """A layer as its element sees it.

    Attributes:
        kind: of the element.
        activations: code of every input rank, ``[2**bits]``; None where a rank is its own code.
        weights: weight codes ``[o, kh, kw, c]``.
        values: what ``W`` makes of them.
        scale: of the weights, ``[o]``.
        step, base: of the levels.
        element: with one lane and one beat; `fitted` makes the real one.
        short: whether windows lack taps at the border.
        coefficients: of the output channels, ``[o, weight_bits]``, where the element has them.
    """

    kind: Kind
    activations: Integers | None
    weights: Integers
    values: Integers
    scale: Integers
    step: int
    base: int
    element: Element
    short: bool = False
    coefficients: Integers | None = None

    def fitted(self, lanes: int, beats: int, where: str) -> Element:
        """Return the element for so many lanes, its accumulator as wide as the sums are."""
        element = replace(self.element, lanes=lanes, beats=beats)
        rows = self.weights.reshape(len(self.weights), -1)
        return element.fitted(rows, self.coefficients, short=self.short, where=where)


def operands(layer: Layer, target: Target, kind: Kind | None = None) -> Operands:
    """Return the operands of a layer for the element wanted, or for the cheapest that can run it.

    Raises:
        PlanError: no such element can run it; names the node.
    """
    candidates: Iterable[Kind] = _CHOICES if kind is None else (kind,)
    for candidate in candidates:
        found = _CHOICES[candidate](layer, target)
        if found is not None:
            return found
    raise PlanError(
        "the element cannot run this layer",
        where=layer.name,
        expected=_NEEDS[kind or "multiply"],
        found=f"levels {_listed(layer.levels)}, weights {_listed(np.unique(layer.weights))}",
        remedy="Leave --pe out, and each layer gets an element that can run it.",
    )


def _xnor(layer: Layer, target: Target) -> Operands | None:
    scale = np.abs(layer.weights).reshape(layer.outputs, -1).max(axis=1)
    signs = np.abs(layer.weights) == scale.reshape(-1, 1, 1, 1)
    if len(layer.levels) != 2 or not signs.all() or not scale.all():
        return None
    low, high = (int(level) for level in layer.levels)
    if low + high:
        return None
    codes = (layer.weights > 0).astype(np.int64)
    element = XnorElement(1, 1, target=target)
    return Operands("xnor", None, codes, 2 * codes - 1, scale, high, 0, element)


def _shift(layer: Layer, target: Target) -> Operands | None:
    scale, values = _reduced(layer.weights)
    magnitudes = np.abs(values)
    powers = magnitudes & (magnitudes - 1) == 0
    if not powers.all() or magnitudes.max() > 1 << _WIDEST_SHIFT:
        return None
    exponents = np.where(magnitudes > 0, np.log2(np.maximum(magnitudes, 1)).astype(np.int64) + 1, 0)
    bits = max(2, int(exponents.max()).bit_length() + 1)
    codes = exponents + (1 << (bits - 1)) * (values < 0)
    activations, step, base, width, signed = _number(layer.levels)
    element = ShiftElement(1, 1, width, bits, target=target, signed_activations=signed)
    return Operands("shift", activations, codes, values, scale, step, base, element)


def _planes(layer: Layer, target: Target) -> Operands | None:
    basis = layer.basis
    if basis is None:
        return None
    element = PlanesElement(
        1,
        1,
        len(basis.multipliers),
        basis.coefficients.shape[1],
        target=target,
        activation_multipliers=basis.multipliers,
        largest_coefficient=int(basis.coefficients.max()),
    )
    ranked = None if (np.diff(basis.code_of_rank) == 1).all() else basis.code_of_rank
    ones = np.ones(layer.outputs, np.int64)
    own = (layer.has_border, basis.coefficients)
    return Operands("planes", ranked, basis.codes, layer.weights, ones, 1, 0, element, *own)


def _multiply(layer: Layer, target: Target) -> Operands | None:
    scale, values = _reduced(layer.weights)
    activations, step, base, width, signed = _number(layer.levels)
    bits = max(2, int(max(values.max(), -values.min() - 1)).bit_length() + 1)
    element = MultiplyElement(1, 1, width, bits, target=target, signed_activations=signed)
    return Operands("multiply", activations, values, values, scale, step, base, element)


_CHOICES: Mapping[Kind, Callable[[Layer, Target], Operands | None]] = {
    "xnor": _xnor,
    "shift": _shift,
    "planes": _planes,
    "multiply": _multiply,
}
_NEEDS: Mapping[Kind, str] = {
    "xnor": "levels and weights of one bit, of opposite signs",
    "shift": f"weights of zero or a scale times ±1 … ±2^{_WIDEST_SHIFT}",
    "planes": "learned bases of activations and weights",
    "multiply": "integers",
}


def _reduced(weights: Integers) -> tuple[Integers, Integers]:
    """Return the greatest common divisor of the weights of each output, and the weights without it."""
    rows = weights.reshape(len(weights), -1)
    scale = np.maximum(np.gcd.reduce(rows, axis=1), 1)
    return scale, weights // scale.reshape(-1, 1, 1, 1)


def _number(levels: Integers) -> tuple[Integers | None, int, int, int, bool]:
    """Return levels as numbers to multiply with: codes by rank, step, base, bits, whether they are signed.

    Evenly spaced levels are their ranks; others are what they are, divided by what all have in common.
    """
    steps = np.diff(levels)
    if (steps == steps[0]).all() and steps[0] > 0:
        return None, int(steps[0]), int(levels[0]), (len(levels) - 1).bit_length(), False
    step = max(1, gcd(*(int(level) for level in levels)))
    values = levels // step
    signed = bool(values.min() < 0)
    bits = max(int(end if end >= 0 else ~end).bit_length() for end in (values.min(), values.max())) + signed
    return values % (1 << max(bits, 1)), step, 0, max(bits, 1), signed


def _listed(values: Integers) -> str:
    shown = [str(value) for value in values[:5]]
    return ", ".join(shown) + (f" … {values[-1]}" if len(values) > 5 else "")
