"""What the specifications of a layer's weights and of its input make of each other."""

from lowbit.schemes.encoding import Encoding
from lowbit.schemes.specification import Specification


def is_int8(weights: Specification, inputs: Specification) -> bool:
    """Return whether a layer is the 8-bit one that every runtime has."""
    return weights.is_int8 and inputs.is_int8


def input_encoding(encoding: Encoding, weights: Specification, inputs: Specification) -> Encoding:
    """Return what the codes of a layer's input mean beside such weights.

    A uniform grid is planes and a basis, which sums of planes like best, except in the 8-bit layer that every
    runtime has, and beside or in a fixed-point format, whose codes are the numbers themselves.

    Args:
        encoding: as it was fitted or learned.
        weights: of the layer.
        inputs: of the layer.
    """
    if is_int8(weights, inputs) or weights.has_format or inputs.has_format:
        return encoding
    return encoding.as_basis() or encoding
