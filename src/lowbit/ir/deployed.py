"""The integers of a deployed layer: the arithmetic that every backend repeats.

With x = scale_x * X_n + o_x and w = scale_w * W_on (X, W small integers, the weight offset inside W):

    acc_o    = sum_n X_n W_on                                          exact
    scale_o  = scale_x * scale_w[o]                                    float64
    bias64_o = bias_o + o_x * (scale_w[o] * sum_n W_on)                float64, in this order
    y_o      = scale_o * acc_o + bias64_o                              float64

and, where the output is coded by the thresholds ``u_c`` of the pre-activation,

    T_oc     = floor((u_c - bias64_o) / scale_o)  saturated to int32
    rank     = #{c : acc_o > T_oc}
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lowbit.errors import NumericError
from lowbit.ir.graph import Value
from lowbit.planes import unpack
from lowbit.schemes import Encoding, LearnedBasis, table_decode

Integers = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]

INT32_MAX = 2**31 - 1


@dataclass(frozen=True, eq=False)
class DeployedLayer:
    """The constants of one low-bit layer.

    Attributes:
        input_levels: integer level of every input code, int32 ``[2**bits]``.
        weights: integer levels with the weight offset, int32 ``[o, n]``.
        scale: float64 ``[o]``.
        bias: ``bias64``, float64 ``[o]``.
    """

    input_levels: Integers
    weights: Integers
    scale: Floats
    bias: Floats

    def accumulator_bound(self) -> int:
        """Return the largest magnitude that an accumulator can reach, exactly."""
        low, high = int(self.input_levels.min()), int(self.input_levels.max())
        positive = np.maximum(self.weights, 0).sum(axis=1, dtype=np.int64)
        negative = np.minimum(self.weights, 0).sum(axis=1, dtype=np.int64)
        ends = np.stack([high * positive + low * negative, low * positive + high * negative])
        return int(np.abs(ends).max(initial=0))

    def integer_thresholds(self, thresholds: npt.ArrayLike) -> Integers:
        """Return ``T_oc`` for pre-activation thresholds ``u_c``: int32 ``[o, steps]``."""
        exact = np.asarray(thresholds, np.float32).astype(np.float64)
        quotient = np.floor((exact[None, :] - self.bias[:, None]) / self.scale[:, None])
        return np.clip(quotient, -INT32_MAX - 1, INT32_MAX).astype(np.int32)


def deployed_layer(input_encoding: Encoding, weights: Value, bias: npt.ArrayLike) -> DeployedLayer:
    """Return the constants of an ``LQFullyConnected`` layer.

    Raises:
        NumericError: an accumulator could leave int32.
        SchemeError: a basis is free, or a weight offset is not snapped.
    """
    levels = weight_integers(weights)
    encoding = weights.encoding
    assert isinstance(encoding, LearnedBasis)
    scale_w = encoding.integer_scale()
    scale = input_encoding.integer_scale()[0] * scale_w
    row_sums = levels.sum(axis=1, dtype=np.int64).astype(np.float64)
    bias64 = np.asarray(bias, np.float32).astype(np.float64) + input_encoding.integer_offset()[0] * (scale_w * row_sums)
    layer = DeployedLayer(input_encoding.integer_levels()[0], levels, scale, bias64)
    bound = layer.accumulator_bound()
    if bound > INT32_MAX:
        raise NumericError(
            "an accumulator could overflow",
            where=weights.name,
            expected=f"sums up to {INT32_MAX}",
            found=f"{bound}",
            remedy="Use fewer bits or split the layer.",
        )
    return layer


def weight_integers(weights: Value) -> Integers:
    """Return the integer levels of packed weights, int32 ``[o, n]``, the weight offset inside."""
    encoding = weights.encoding
    assert isinstance(encoding, LearnedBasis) and weights.data is not None
    codes = unpack(weights.data, int(weights.shape[-1]))
    levels = table_decode(codes, encoding.integer_levels())
    return np.asarray(levels + encoding.integer_weight_offset()[:, None], np.int32)
