"""Binary: +-a, a learned basis of one bit without an offset, whose tie goes up: a value of zero is +a.

The tie is not part of a learned basis, so what encodes has the threshold of its own that is here.
"""

import numpy as np

from lowbit.schemes.encoding import SMALLEST, Floats, Floats32
from lowbit.schemes.learned_basis import LearnedBasis

THRESHOLD: Floats32 = np.nextafter(np.zeros(1, np.float32), np.float32(-1))
"""The largest float32 below zero: zero is +1."""


def signs(scale: Floats | Floats32) -> LearnedBasis:
    """Return the encoding of -a and +a.

    Args:
        scale: a, not negative, ``[channels]``; what is next to nothing becomes `SMALLEST`.
    """
    basis = np.maximum(np.asarray(scale), SMALLEST).astype(np.float32)[:, None]
    return LearnedBasis(basis, np.zeros(len(basis), np.float32), np.ones(len(basis), np.int32))
