"""The integers of a deployed layer: the arithmetic that every backend repeats.

With x = scale_x * X_n + o_x and w = scale_w * W_on (X, W small integers, the weight offset inside W):

    acc_o    = sum_n X_n W_on                                          exact
    scale_o  = scale_x * scale_w[o]                                    float64
    bias64_o = bias_o + o_x * (scale_w[o] * sum_n W_on)                float64, in this order
    y_o      = scale_o * acc_o + bias64_o                              float64

and, where the output is coded by the thresholds ``u_c`` of the pre-activation,

    T_oc     = floor((u_c - bias64_o) / scale_o)  saturated to int32
    rank     = #{c : acc_o > T_oc}

An 8-bit affine layer adds its int32 bias to the accumulator itself: y_o = scale_o * (acc_o + bias_o).
Every accumulator is an int32; a layer that could leave it is refused.
"""

from dataclasses import dataclass
from functools import cached_property
from math import prod

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
        packed: the weights, planes.
        scale: float64 ``[o]``.
        bias: ``bias64``, float64 ``[o]``.
    """

    input_levels: Integers
    packed: Value
    scale: Floats
    bias: Floats

    @cached_property
    def weights(self) -> Integers:
        """Integer levels of the weights, the weight offset inside, int32 ``[o, n]``."""
        if self.packed.dtype == "code":
            return _coded_levels(self.packed)
        encoding = _encoding(self.packed)
        codes = unpack(self.packed.data, row_length(self.packed))  # type: ignore[arg-type]
        levels = table_decode(codes, encoding.integer_levels())
        return np.asarray(levels + encoding.integer_weight_offset()[:, None], np.int32)

    def accumulator_bound(self) -> int:
        """Return the largest magnitude that an accumulator can reach, exactly."""
        return accumulator_bound(self.input_levels, self.weights)

    def integer_thresholds(self, thresholds: npt.ArrayLike) -> Integers:
        """Return ``T_oc`` for pre-activation thresholds ``u_c``: int32 ``[o, steps]``."""
        return integer_thresholds(thresholds, self.scale, self.bias)


@dataclass(frozen=True, eq=False)
class DeployedAffine:
    """The constants of one 8-bit affine layer.

    Attributes:
        input_levels: code less zero point of every input code, int32 ``[256]``.
        weights: codes less zero points, int32, outputs first.
        scale: float64 ``[o]``.
    """

    input_levels: Integers
    weights: Integers
    scale: Floats


def deployed_affine(input_encoding: Encoding, weights: Value, bias: npt.ArrayLike) -> DeployedAffine:
    """Return the constants of an 8-bit affine layer.

    Args:
        input_encoding: of the input.
        weights: 8-bit affine codes, constant, outputs first.
        bias: int32 ``[o]``.

    Raises:
        NumericError: an accumulator could leave int32.
    """
    assert weights.encoding is not None and weights.data is not None
    levels = input_encoding.integer_levels()[0]
    integers = np.asarray(table_decode(weights.data, weights.encoding.integer_levels()), np.int32)
    bound = accumulator_bound(levels, integers.reshape(len(integers), -1), np.asarray(bias, np.int64))
    require_int32(bound, weights.name)
    scale = input_encoding.integer_scale()[0] * weights.encoding.integer_scale()
    return DeployedAffine(levels, integers, np.broadcast_to(scale, len(integers)).copy())


def accumulator_bound(levels: Integers, weights: Integers, bias: npt.NDArray[np.int64] | int = 0) -> int:
    """Return the largest magnitude of ``bias_o + sum_n X_n W_on`` over all inputs ``X_n`` among the levels.

    Args:
        levels: integer levels of the input.
        weights: ``[o, n]``.
        bias: ``[o]``, or none.
    """
    low, high = int(levels.min()), int(levels.max())
    positive = np.maximum(weights, 0).sum(axis=1, dtype=np.int64)
    negative = np.minimum(weights, 0).sum(axis=1, dtype=np.int64)
    ends = np.stack([high * positive + low * negative, low * positive + high * negative]) + bias
    return int(np.abs(ends).max(initial=0))


def integer_thresholds(thresholds: npt.ArrayLike, scale: Floats, bias: Floats) -> Integers:
    """Return ``floor((u_c - bias) / scale)``, saturated to int32.

    Args:
        thresholds: ``u_c``, float32 ``[steps]``.
        scale: ``[o]``.
        bias: ``bias64``, ``[..., o]``.

    Returns:
        int32 ``[..., o, steps]``.
    """
    exact = np.asarray(thresholds, np.float32).astype(np.float64)
    quotient = np.floor((exact - bias[..., None]) / scale[:, None])
    return np.clip(quotient, -INT32_MAX - 1, INT32_MAX).astype(np.int32)


def row_length(weights: Value) -> int:
    """Return how many elements a row of packed weights has."""
    return prod(int(extent) for extent in weights.shape[1:])


def deployed_layer(input_encoding: Encoding, weights: Value, bias: npt.ArrayLike) -> DeployedLayer:
    """Return the constants of a low-bit layer, without unpacking its weights where they are planes.

    Raises:
        NumericError: an accumulator could leave int32.
        SchemeError: a basis is free, or a weight offset is not snapped.
    """
    assert weights.encoding is not None
    scale_w = weights.encoding.integer_scale()
    scale = input_encoding.integer_scale()[0] * scale_w
    row_sums = _row_sums(weights).astype(np.float64)
    bias64 = np.asarray(bias, np.float32).astype(np.float64) + input_encoding.integer_offset()[0] * (
        scale_w * row_sums
    )
    layer = DeployedLayer(input_encoding.integer_levels()[0], weights, scale, bias64)
    _check_accumulator(layer)
    return layer


def _row_sums(weights: Value) -> npt.NDArray[np.int64]:
    """Return ``sum_n W_on`` from the planes: ``sum_j m_oj (2 popcount - n) + n P_o``."""
    if weights.dtype == "code":
        return np.asarray(_coded_levels(weights).sum(axis=1, dtype=np.int64))
    encoding, length = _encoding(weights), row_length(weights)
    assert weights.data is not None
    ones = np.bitwise_count(weights.data).sum(axis=-1, dtype=np.int64)
    signs = (encoding.multipliers * (2 * ones - length)).sum(axis=1)
    return np.asarray(signs + length * encoding.integer_weight_offset().astype(np.int64))


def _check_accumulator(layer: DeployedLayer) -> None:
    """Refuse a layer whose sums could overflow: a quick bound first, the exact one if that fails."""
    largest = _largest_level(layer.packed)
    quick = int(np.abs(layer.input_levels).max()) * row_length(layer.packed) * largest
    bound = quick if quick <= INT32_MAX else layer.accumulator_bound()
    require_int32(bound, layer.packed.name)


def require_int32(bound: int, where: str) -> None:
    """Refuse sums that could leave int32.

    Args:
        bound: the largest magnitude that a sum can reach.
        where: the layer, or its weights.

    Raises:
        NumericError: they could.
    """
    if bound > INT32_MAX:
        raise NumericError(
            "an accumulator could overflow",
            where=where,
            expected=f"sums up to {INT32_MAX}",
            found=f"{bound}",
            remedy="Use fewer bits or split the layer.",
        )


def _largest_level(weights: Value) -> int:
    """Return a bound on the magnitude of a weight's integer level."""
    if weights.dtype == "code":
        return int(np.abs(_coded_levels(weights)).max(initial=0))
    encoding = _encoding(weights)
    level = encoding.multipliers.sum(axis=1, dtype=np.int64) + np.abs(encoding.integer_weight_offset())
    return int(level.max())


def _coded_levels(weights: Value) -> Integers:
    """Return the integer levels of weights stored as codes, int32 ``[o, n]``."""
    assert weights.encoding is not None and weights.data is not None
    codes = weights.data.reshape(len(weights.data), -1)
    return np.asarray(table_decode(codes, weights.encoding.integer_levels()), np.int32)


def _encoding(weights: Value) -> LearnedBasis:
    assert isinstance(weights.encoding, LearnedBasis)
    return weights.encoding
