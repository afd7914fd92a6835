"""How the codes of a layer become the operands of an element.

With ``A`` and ``W`` of an element (`lowbit.rtl.elements.element`) and the integers ``X`` and ``W`` of a
deployed layer (`lowbit.ir.deployed`):

    X(code) = gain · A(operand) + offset        operand = code, or code with its highest bit inverted
    W(code) = gain_w · W(operand)

so that, over the taps that are valid,

    acc_o = Σ X W = gain · gain_w · Σ A W + offset · Σ W
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from lowbit.errors import UnsupportedError
from lowbit.ir.deployed import row_length
from lowbit.ir.graph import Value
from lowbit.planes import unpack
from lowbit.rtl.elements.element import Element, Integers
from lowbit.rtl.elements.multiply import MultiplyElement
from lowbit.rtl.elements.planes import PlanesElement
from lowbit.rtl.elements.shift import ShiftElement
from lowbit.rtl.elements.xnor import XnorElement
from lowbit.rtl.integers import Range
from lowbit.schemes import Encoding, LearnedBasis, PowerOfTwo, table_decode


@dataclass(frozen=True, eq=False)
class Operands:
    """A layer in the form of one kind of element.

    Attributes:
        element: makes the element from lanes, beats (and target); its accumulator is to be `fitted`.
        weights: operands ``[o, n]``, in the order of the layer's rows.
        coefficients: ``[o, weight_bits]`` where the element has them.
        gain, offset: of the activations, and gain of the weights inside ``gain``; see the module.
        inverted: whether the highest bit of an activation's code is inverted.
    """

    element: Callable[..., Element]
    weights: Integers
    coefficients: Integers | None = None
    gain: int = 1
    offset: int = 0
    inverted: bool = False


def operands(kind: str, activations: Encoding, weights: Value) -> Operands:
    """Return a layer's operands for a kind of element.

    Args:
        kind: a name of `ELEMENTS`.
        activations: encoding of the layer's input.
        weights: constant, with an encoding; planes or codes, outputs first.

    Raises:
        UnsupportedError: this element cannot compute with these encodings; names the weights.
    """
    return _MAKERS[kind](activations, weights)


def natural_kind(activations: Encoding, weights: Value) -> str:
    """Return the kind of element that is meant for these encodings."""
    encoding = weights.encoding
    if isinstance(encoding, PowerOfTwo):
        return "shift"
    if isinstance(encoding, LearnedBasis) and isinstance(activations, LearnedBasis):
        plain = encoding.bits == activations.bits == 1 and not encoding.integer_weight_offset().any()
        return "xnor" if plain and (encoding.multipliers == 1).all() else "planes"
    return "multiply"


def _multiply(activations: Encoding, weights: Value) -> Operands:
    gain, offset, inverted = _linear("multiply", activations, weights)
    integers = integer_weights(weights)
    bits = Range.of(integers).bits
    _require(bits <= 16, "multiply", weights, "weights of at most 16 bits", f"{bits} bits", "Use fewer bits.")
    make = partial(
        MultiplyElement, activation_bits=activations.bits, weight_bits=bits, signed_activations=inverted
    )
    return Operands(make, integers, None, gain, offset, inverted)


def _shift(activations: Encoding, weights: Value) -> Operands:
    encoding = weights.encoding
    found = encoding.scheme if encoding else "none"
    powers = isinstance(encoding, PowerOfTwo)
    _require(powers, "shift", weights, "power-of-two weights", found, "Quantize with --scheme pow2:4.")
    assert encoding is not None and weights.data is not None
    gain, offset, inverted = _linear("shift", activations, weights)
    make = partial(
        ShiftElement,
        activation_bits=activations.bits,
        weight_bits=encoding.bits,
        signed_activations=inverted,
    )
    codes = weights.data.reshape(len(weights.data), -1).astype(np.int64)
    return Operands(make, codes, None, gain, offset, inverted)


def _xnor(activations: Encoding, weights: Value) -> Operands:
    x, w = _bases("xnor", activations, weights)
    plain = x.bits == w.bits == 1 and not w.integer_weight_offset().any() and (w.multipliers == 1).all()
    found = f"{x.bits} bits times {w.bits} bits"
    _require(plain, "xnor", weights, "signs times signs", found, "Use planes.")
    return Operands(XnorElement, _codes(weights), None, int(x.multipliers[0, 0]))


def _planes(activations: Encoding, weights: Value) -> Operands:
    x, w = _bases("planes", activations, weights)
    codes, coefficients = _codes(weights), w.multipliers.astype(np.int64)
    offsets = w.integer_weight_offset().astype(np.int64)
    if offsets.any():  # a plane whose bits are all the offset's sign
        codes = codes | ((offsets > 0).astype(np.int64) << w.bits)[:, None]
        coefficients = np.column_stack([coefficients, np.abs(offsets)])
    make = partial(
        PlanesElement,
        activation_bits=x.bits,
        weight_bits=coefficients.shape[1],
        activation_multipliers=tuple(x.multipliers[0].tolist()),
        largest_coefficient=int(coefficients.max()),
    )
    return Operands(make, codes, coefficients)


_MAKERS: Mapping[str, Callable[[Encoding, Value], Operands]] = {
    "multiply": _multiply,
    "shift": _shift,
    "xnor": _xnor,
    "planes": _planes,
}


def integer_weights(weights: Value) -> Integers:
    """Return the integer levels of weights, a weight offset inside, ``[o, n]``."""
    assert weights.encoding is not None and weights.data is not None
    levels, codes = weights.encoding.integer_levels(), _codes(weights)
    integers = table_decode(codes, levels).astype(np.int64)
    if isinstance(weights.encoding, LearnedBasis):
        integers += weights.encoding.integer_weight_offset()[:, None]
    return np.asarray(integers)


def _codes(weights: Value) -> Integers:
    """Return codes ``[o, n]`` of planes or of codes."""
    assert weights.encoding is not None and weights.data is not None
    if isinstance(weights.encoding, LearnedBasis):
        return unpack(weights.data, row_length(weights)).astype(np.int64)
    return weights.data.reshape(len(weights.data), -1).astype(np.int64)


def _linear(kind: str, activations: Encoding, weights: Value) -> tuple[int, int, bool]:
    """Return gain and offset of activations whose integers are those of their codes, and whether inverted."""
    levels = activations.integer_levels()[0].astype(np.int64)
    gain = int(levels[1] - levels[0])
    linear = gain > 0 and (np.diff(levels) == gain).all()
    found = f"{activations.scheme} of {activations.bits} bits"
    _require(bool(linear), kind, weights, "activations whose levels are evenly spaced", found, "Use planes.")
    offset, middle = int(levels[0]), gain << (activations.bits - 1)
    return (gain, 0, True) if offset == -middle else (gain, offset, False)


def _bases(kind: str, activations: Encoding, weights: Value) -> tuple[LearnedBasis, LearnedBasis]:
    """Return both learned bases."""
    x, w = activations, weights.encoding
    found = f"{x.scheme} times {w.scheme if w else 'none'}"
    both = isinstance(x, LearnedBasis) and isinstance(w, LearnedBasis)
    _require(both, kind, weights, "learned bases of activations and weights", found, "Use multiply or shift.")
    assert isinstance(x, LearnedBasis) and isinstance(w, LearnedBasis)
    return x, w


def _require(met: bool, kind: str, weights: Value, expected: str, found: str, remedy: str) -> None:
    if not met:
        raise UnsupportedError(
            f"the {kind} element cannot compute this layer",
            where=weights.name,
            expected=expected,
            found=found,
            remedy=remedy,
        )
