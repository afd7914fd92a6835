"""The integers of a deployed convolution: `lowbit.ir.deployed` over a window with true zero padding.

    acc[o, y, x]    = sum over valid taps (i, j), channels c of X[c, ..] W[o, i, j, c]            exact
    scale_o         = scale_x * scale_w[o]                                                        float64
    bias64[o, y, x] = bias_o + o_x * (scale_w[o] * sum over valid taps, c of W[o, i, j, c])       float64
    T[o, y, x, c]   = floor((u_c - bias64) / scale_o)

``bias64`` and ``T`` depend on which taps are valid, hence on the border classes of row and column alone.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lowbit.ir.deployed import DeployedLayer, Floats, Integers, deployed_layer, integer_thresholds
from lowbit.ir.graph import Value
from lowbit.ir.window import Window
from lowbit.planes import WORD_BITS
from lowbit.schemes import Encoding, LearnedBasis, table_decode


@dataclass(frozen=True, eq=False)
class DeployedConvolution:
    """The constants of one low-bit convolution.

    Attributes:
        layer: levels of the input, packed weights and scale; its own bias is that of windows without border.
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

    def integer_thresholds(self, thresholds: npt.ArrayLike) -> Integers:
        """Return ``T`` by class: int32 ``[row classes, column classes, o, steps]``."""
        return integer_thresholds(thresholds, self.layer.scale, self.bias)


def deployed_convolution(
    input_encoding: Encoding, weights: Value, bias: npt.ArrayLike, window: Window
) -> DeployedConvolution:
    """Return the constants of an ``LQConv``, without unpacking its weights to integers.

    Raises:
        NumericError: an accumulator could leave int32.
        SchemeError: a basis is free, or a weight offset is not snapped.
    """
    layer = deployed_layer(input_encoding, weights, bias)
    (row_class, rows), (column_class, columns) = (axis.classes() for axis in window)
    sums = np.einsum("oij,ri,cj->rco", _tap_sums(weights), rows.astype(np.int64), columns.astype(np.int64))
    assert weights.encoding is not None
    bias64 = np.asarray(bias, np.float32).astype(np.float64) + input_encoding.integer_offset()[0] * (
        weights.encoding.integer_scale() * sums.astype(np.float64)
    )
    return DeployedConvolution(layer, row_class, column_class, bias64)


def _tap_sums(weights: Value) -> npt.NDArray[np.int64]:
    """Return ``sum_c W[o, i, j, c]`` from the planes: ``sum_j m_oj (2 popcount - c) + c P_o``."""
    outputs, height, width, channels = (int(extent) for extent in weights.shape)
    encoding = weights.encoding
    if weights.dtype == "code":
        assert encoding is not None and weights.data is not None
        levels = table_decode(weights.data, encoding.integer_levels())
        return np.asarray(levels.sum(axis=-1, dtype=np.int64))
    assert isinstance(encoding, LearnedBasis) and weights.data is not None
    if channels % WORD_BITS == 0:
        words = weights.data.reshape(outputs, encoding.bits, height, width, channels // WORD_BITS)
        ones = np.bitwise_count(words).sum(axis=-1, dtype=np.int64)
    else:
        count = height * width * channels
        packed = np.ascontiguousarray(weights.data, "<u4").view(np.uint8)
        bits = np.unpackbits(packed, axis=-1, count=count, bitorder="little")
        ones = bits.reshape(outputs, encoding.bits, height, width, channels).sum(axis=-1, dtype=np.int64)
    signs = np.einsum("ok,okij->oij", encoding.multipliers.astype(np.int64), 2 * ones - channels)
    return np.asarray(signs + channels * encoding.integer_weight_offset().astype(np.int64)[:, None, None])
