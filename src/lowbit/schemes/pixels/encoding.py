"""The grid of pixels: level = code / 255."""

import numpy as np

from lowbit.schemes.affine import Affine


def pixels() -> Affine:
    """Return the grid of pixels, 0 to 1 in 255 steps."""
    return Affine(8, np.full(1, 1 / 255, np.float32), np.zeros(1, np.int32))
