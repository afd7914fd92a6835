"""The byte that pads maps: what stands for zero, where one does, so that no constant differs between borders.

Bytes stand for ``X = X_min + u``, so a window that misses taps has other constants ``X_min sum W``. Where
``u = -X_min`` is a byte, it stands in for missing taps, and all windows have the constants of a whole one.
"""

import numpy as np

from lowbit.c99.stored import Stored
from lowbit.c99.sums import matrix_of
from lowbit.ir.window import Window
from lowbit.program.steps import ByteWeights
from lowbit.program.windows import tap_sums_by_region


def padded_with(weights: ByteWeights, window: Window, x: Stored) -> tuple[int, ByteWeights]:
    """Return the byte that pads a layer's input, and the layer's weights with constants for that byte.

    Args:
        weights: of a convolution.
        window: its own.
        x: what it reads.

    Returns:
        Zero and the weights as they are where constants are the same everywhere, or have to differ.
    """
    outputs = len(weights.weights)
    constant = weights.constant.astype(np.int64).reshape(-1, outputs)
    if len(constant) == 1:
        return 0, weights
    matrix = matrix_of(weights)
    kernel = window[0].kernel, window[1].kernel
    taps = matrix.reshape(outputs, *kernel, -1).sum(axis=3)
    sums = tap_sums_by_region(taps, window).reshape(-1, outputs)
    if len(sums) != len(constant):
        return 0, weights
    differ = (sums - sums[:1]).reshape(-1)
    first = int(np.argmax(differ != 0))
    lowest, rest = divmod(int((constant - constant[:1]).reshape(-1)[first]), int(differ[first]) or 1)
    whole = constant + lowest * (taps.sum(axis=(1, 2))[None] - sums)
    if rest or not 0 <= -lowest <= x.high or (whole != whole[:1]).any():
        return 0, weights
    made = ByteWeights(weights.weights, whole[0].astype(np.int32), weights.row_factor)
    return -lowest, made
