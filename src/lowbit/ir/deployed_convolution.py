"""The integers of a deployed convolution: `lowbit.ir.deployed` over a window with true zero padding.

    acc[o, y, x]    = sum over valid taps (i, j), channels c of X[c, ..] W[o, i, j, c]  +  B_o    exact
    scale_o         = scale_x * scale_w[o]                                                        float64
    bias64[o, y, x] = bias_o + o_x * (scale_w[o] * sum over valid taps, c of W[o, i, j, c])       float64
    T[o, y, x, c]   = floor((u_c - bias64) / scale_o)

``bias64`` and ``T`` depend on which taps are valid, hence on the border classes of row and column alone.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lowbit.ir.deployed import (
    DeployedLayer,
    Floats,
    Integers,
    Wide,
    basis_of,
    deployed_layer,
    integer_thresholds,
    parts_of_bias,
    whole_weights,
)
from lowbit.ir.graph import Value
from lowbit.ir.window import Window
from lowbit.planes import WORD_BITS
from lowbit.schemes import Encoding


@dataclass(frozen=True, eq=False)
class DeployedConvolution:
    """The constants of one low-bit convolution.

    Attributes:
        layer: levels of the input, packed weights, scale and addend; its own bias is that of windows without
            border.
        row_class, column_class: the class of every output row and column, int32.
        bias: ``bias64`` by class, float64 ``[row classes, column classes, o]``.
    """

    layer: DeployedLayer
    row_class: Integers
    column_class: Integers
    bias: Floats

    @property
    def weights(self) -> Integers:
        """Integer levels of the weights, the weight offset inside, int32 ``[o, kh, kw, c / group]``."""
        return self.layer.weights.reshape([int(extent) for extent in self.layer.packed.shape])

    def accumulator_bound(self) -> int:
        """Return the largest magnitude an accumulator can reach; reached where all taps are valid."""
        return self.layer.accumulator_bound()

    def integer_thresholds(self, thresholds: npt.ArrayLike) -> Integers | Wide:
        """Return ``T`` by class: ``[row classes, column classes, o, steps]``, int32, or int64 if wide."""
        return integer_thresholds(thresholds, self.layer.scale, self.bias, wide=self.layer.is_wide)


def deployed_convolution(
    input_encoding: Encoding, weights: Value, bias: Value | npt.ArrayLike, window: Window
) -> DeployedConvolution:
    """Return the constants of a convolution of codes, without unpacking planes to integers.

    Raises:
        NumericError, SchemeError: those of `lowbit.ir.deployed.deployed_layer`.
    """
    assert weights.encoding is not None
    layer = deployed_layer(input_encoding, weights, bias)
    (row_class, rows), (column_class, columns) = (axis.classes() for axis in window)
    bias64, _ = parts_of_bias(bias, layer.scale)
    offset = input_encoding.integer_offset()[0]
    if offset:
        sums = np.einsum(
            "oij,ri,cj->rco", _tap_sums(weights), rows.astype(np.int64), columns.astype(np.int64)
        )
        bias64 = bias64 + offset * (weights.encoding.integer_scale() * sums.astype(np.float64))
    classes = len(rows), len(columns)
    return DeployedConvolution(
        layer, row_class, column_class, np.broadcast_to(bias64, (*classes, len(layer.scale)))
    )


def _tap_sums(weights: Value) -> Wide:
    """Return ``sum_c W[o, i, j, c]``; from planes: ``sum_j m_oj (2 popcount - c) + c P_o``."""
    outputs, height, width, channels = (int(extent) for extent in weights.shape)
    if weights.dtype != "planes":
        levels = whole_weights(weights).reshape(outputs, height, width, channels)
        return np.asarray(levels.sum(axis=-1, dtype=np.int64))
    encoding = basis_of(weights)
    assert weights.data is not None
    if channels % WORD_BITS == 0:
        words = weights.data.reshape(outputs, encoding.bits, height, width, channels // WORD_BITS)
        ones = np.bitwise_count(words).sum(axis=-1, dtype=np.int64)
    else:
        count = height * width * channels
        packed = np.ascontiguousarray(weights.data, "<u4").view(np.uint8)
        bits = np.unpackbits(packed, axis=-1, count=count, bitorder="little")
        ones = bits.reshape(outputs, encoding.bits, height, width, channels).sum(axis=-1, dtype=np.int64)
    factors = np.broadcast_to(encoding.multipliers, (outputs, encoding.bits)).astype(np.int64)
    signs = np.einsum("ok,okij->oij", factors, 2 * ones - channels)
    return np.asarray(signs + channels * encoding.integer_weight_offset().astype(np.int64)[:, None, None])
