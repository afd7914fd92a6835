"""Weights that are powers of two, as they stand in a file: codes of up to 4 bits, two to a byte.

Element i of a row is the low half of byte i / 2 for even i, the high half for odd i; where a row has an odd
number of elements the last half is zero. ``weights_scales`` is float32 ``(o)``, the largest level of each
row; the option ``weights_bits`` says how many bits a code has.
"""

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.uint8]


def pack_halves(codes: Codes) -> Codes:
    """Return codes `[o, n]` below 16 as bytes `[o, ceil(n / 2)]`."""
    even = np.pad(codes, ((0, 0), (0, codes.shape[1] % 2)))
    return np.ascontiguousarray(even[:, ::2] | (even[:, 1::2] << 4))


def unpack_halves(packed: Codes, length: int) -> Codes:
    """Return the codes `[o, length]` of bytes `[o, ceil(length / 2)]`."""
    return np.stack([packed & 15, packed >> 4], axis=-1).reshape(len(packed), -1)[:, :length]
