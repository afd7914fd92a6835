"""What the specifications of a layer's weights and of its input make of each other."""

from lowbit.schemes.encoding import Encoding
from lowbit.schemes.specification import Specification

FEW_BITS = 4
"""Of codes that lie in planes, and that sums are compared with thresholds for; more are bytes, rounded to."""

BYTE_BITS = 8


def is_int8(weights: Specification, inputs: Specification) -> bool:
    """Return whether a layer is the 8-bit one that every runtime has."""
    return weights.is_int8 and inputs.is_int8


def input_encoding(encoding: Encoding, weights: Specification, inputs: Specification) -> Encoding:
    """Return what the codes of a layer's input mean beside such weights.

    A uniform grid of few bits is planes and a basis, which sums of planes like best. One of more bits is
    rounded to and multiplied as bytes. Beside or in a fixed-point format codes are the numbers themselves.

    Args:
        encoding: as it was fitted or learned.
        weights: of the layer.
        inputs: of the layer.
    """
    if encoding.bits > FEW_BITS or weights.has_format or inputs.has_format:
        return encoding
    return encoding.as_basis() or encoding


def bias_in_units(source: Encoding, weights: Encoding) -> bool:
    """Return whether a layer's bias is in whole units of its sums, to be rounded with them as one.

    So it is in fixed point, and in the 8-bit layer that every runtime has. Other uniform weights are planes.

    Args:
        source: of the layer's input.
        weights: as they were fitted or learned.
    """
    if not (source.rounds and weights.rounds):
        return False
    affine = source.as_affine() is not None and weights.as_affine() is not None
    return not affine or source.bits == weights.bits == BYTE_BITS
