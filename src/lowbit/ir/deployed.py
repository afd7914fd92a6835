"""The integers of a deployed layer: the arithmetic that every backend repeats, whatever the encodings.

With x = scale_x * X_n + o_x and w = scale_w * W_on (X, W whole numbers, the weight offset inside W):

    acc_o    = sum_n X_n W_on + B_o                                    exact
    scale_o  = scale_x * scale_w[o]                                    float64
    bias64_o = bias_o + o_x * (scale_w[o] * sum_n W_on)                float64, in this order
    y_o      = scale_o * acc_o + bias64_o                              float64

A bias is real (``bias_o``, float32; B = 0) or part of the sum (bias_o = 0): int32 numbers are ``B_o`` itself,
codes of scale_b stand for ``B_o = q_o * scale_b / scale_o``, which must be whole. Where the output is coded
by the thresholds ``u_c`` of the pre-activation,

    T_oc     = floor((u_c - bias64_o) / scale_o)  saturated to int32, or to 62 bits where sums need more
    rank     = #{c : acc_o > T_oc}

where its encoding rounds, the code is that encoding's of ``y_o``, one rounding; else y_o becomes a float32.
Sums stay below 2^52, so that float64 holds each of them, and half a step more, exactly; a layer that could
go beyond is refused. Back ends with narrower sums refuse by `DeployedLayer.accumulator_bound`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
import numpy.typing as npt

from lowbit.errors import NumericError, SchemeError
from lowbit.ir.activations import apply_activation
from lowbit.ir.graph import DTYPES, Value
from lowbit.planes import unpack
from lowbit.schemes import Encoding, LearnedBasis, table_decode

Integers = npt.NDArray[np.int32]
Wide = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

INT32_MAX = 2**31 - 1
LARGEST_SUM = 2**52
_SATURATED = 2.0**62


@dataclass(frozen=True, eq=False)
class DeployedLayer:
    """The constants of one layer on codes.

    Attributes:
        input_levels: integer level of every input code, int32 ``[2**bits]``.
        packed: the weights, planes or codes.
        scale: float64 ``[o]``.
        bias: ``bias64``, float64 ``[o]``.
        addend: ``B``, int64 ``[o]``.
    """

    input_levels: Integers
    packed: Value
    scale: Floats
    bias: Floats
    addend: Wide

    @cached_property
    def weights(self) -> Integers:
        """Whole levels of the weights, int32 ``[o, n]``."""
        return whole_weights(self.packed)

    def accumulator_bound(self) -> int:
        """Return the largest magnitude that an accumulator can reach, exactly."""
        return accumulator_bound(self.input_levels, self.weights, self.addend)

    def integer_thresholds(self, thresholds: npt.ArrayLike) -> Integers | Wide:
        """Return ``T_oc`` for pre-activation thresholds ``u_c``: ``[o, steps]``, int64 if `is_wide`."""
        return integer_thresholds(thresholds, self.scale, self.bias, wide=self.is_wide)

    @cached_property
    def is_wide(self) -> bool:
        """Whether sums can leave int32."""
        return self.largest > INT32_MAX and self.accumulator_bound() > INT32_MAX

    @cached_property
    def largest(self) -> int:
        """A quick bound on every sum and every part of one, without unpacking the weights."""
        most = int(np.abs(self.input_levels).max()) * row_length(self.packed) * _largest_level(self.packed)
        return most + int(np.abs(self.addend).max(initial=0))


def deployed_layer(input_encoding: Encoding, weights: Value, bias: Value | npt.ArrayLike) -> DeployedLayer:
    """Return the constants of a layer on codes, without unpacking its weights where they are planes.

    Args:
        input_encoding: of the input, one set of parameters.
        weights: constant, outputs first, of any encoding with whole levels.
        bias: ``[o]``: floats, integers in units of the sums, or codes.

    Raises:
        NumericError: a sum could reach `LARGEST_SUM`.
        SchemeError: a basis is free, a weight offset is no whole number of scales, or a coded bias none of
            units of the sums.
    """
    assert weights.encoding is not None
    outputs = int(weights.shape[0])
    scale_w = np.broadcast_to(weights.encoding.integer_scale(), (outputs,))
    scale = input_encoding.integer_scale()[0] * scale_w
    real, addend = parts_of_bias(bias, scale)
    offset = input_encoding.integer_offset()[0]
    bias64 = real + offset * (scale_w * _row_sums(weights).astype(np.float64)) if offset else real
    layer = DeployedLayer(input_encoding.integer_levels()[0], weights, scale, bias64, addend)
    _check_sums(layer)
    return layer


def whole_weights(weights: Value) -> Integers:
    """Return ``W``, the whole levels of constant weights, the offset inside: int32 ``[o, n]``."""
    assert weights.encoding is not None
    return np.asarray(table_decode(codes_of(weights), weights.encoding.whole_levels()), np.int32)


def codes_of(weights: Value) -> npt.NDArray[np.unsignedinteger]:
    """Return the codes of constant weights, whether planes or codes: ``[o, n]``."""
    assert weights.data is not None
    if weights.dtype == "planes":
        return unpack(weights.data, row_length(weights))
    return np.asarray(weights.data.reshape(len(weights.data), -1), DTYPES[weights.dtype])


def parts_of_bias(bias: Value | npt.ArrayLike, scale: Floats) -> tuple[Floats, Wide]:
    """Return the real part of a bias and what is added to the sums, both ``[o]``.

    Raises:
        SchemeError: codes that are no whole number of units of the sums.
    """
    if isinstance(bias, Value) and bias.encoding is not None:
        return np.zeros(len(scale)), _in_units(bias, scale)
    array = np.asarray(bias.data if isinstance(bias, Value) else bias)
    if array.dtype.kind in "iu":
        return np.zeros(len(scale)), array.astype(np.int64)
    return array.astype(np.float32).astype(np.float64), np.zeros(len(scale), np.int64)


def _in_units(bias: Value, scale: Floats) -> Wide:
    assert bias.encoding is not None and bias.data is not None
    factor = bias.encoding.integer_scale() / scale
    if bias.encoding.integer_offset().any() or (factor != np.rint(factor)).any():
        raise SchemeError(
            "a bias is no whole number of units of the sums",
            where=bias.name,
            expected="codes whose scale is a multiple of the input's times the weights'",
            found=f"{factor.min():.4f} units",
            remedy="Give the bias in float32.",
        )
    integers = table_decode(bias.data, bias.encoding.integer_levels())
    return np.asarray(integers * factor.astype(np.int64), np.int64)


def _check_sums(layer: DeployedLayer) -> None:
    """Refuse a layer whose sums float64 might not hold: a quick bound first, the exact one if that fails."""
    if layer.largest < LARGEST_SUM:
        return
    reach = np.abs(layer.weights).sum(axis=1, dtype=np.float64).max(initial=0)
    bound = int(np.abs(layer.input_levels).max()) * int(reach) + int(np.abs(layer.addend).max(initial=0))
    if bound >= LARGEST_SUM:
        raise NumericError(
            "an accumulator could overflow",
            where=layer.packed.name,
            expected=f"sums up to {LARGEST_SUM - 1}",
            found=f"{bound}",
            remedy="Use fewer bits or split the layer.",
        )


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


def integer_thresholds(
    thresholds: npt.ArrayLike, scale: Floats, bias: Floats, *, wide: bool = False
) -> Integers | Wide:
    """Return ``floor((u_c - bias) / scale)``, saturated.

    Args:
        thresholds: ``u_c``, float32 ``[steps]``.
        scale: ``[o]``.
        bias: ``bias64``, ``[..., o]``.
        wide: whether sums can leave int32.

    Returns:
        ``[..., o, steps]``: int32, or int64 of at most 62 bits where `wide`.
    """
    exact = np.asarray(thresholds, np.float32).astype(np.float64)
    quotient = np.floor((exact - bias[..., None]) / scale[:, None])
    if wide:
        return np.clip(quotient, -_SATURATED, _SATURATED).astype(np.int64)
    return np.clip(quotient, -INT32_MAX - 1, INT32_MAX).astype(np.int32)


def thresholds_of_rounding(layer: DeployedLayer, bias: Floats, encoding: Encoding, activation: str) -> Wide:
    """Return the integer thresholds that give the codes of a layer that rounds: the largest sum below each.

    They are searched for, in the arithmetic of the rounding. No sum beyond what the layer reaches is meant.

    Args:
        layer: scale, and what sums reach.
        bias: ``bias64``, ``[..., o]``.
        encoding: of the output, one that rounds.
        activation: one that clips, or `none`.

    Returns:
        ``[..., o, steps]``.
    """
    bound, wanted = layer.accumulator_bound(), np.arange((1 << encoding.bits) - 1)

    def stays(sums: Wide) -> npt.NDArray[np.bool_]:
        real = layer.scale[:, None] * sums.astype(np.float64) + bias[..., None]
        return np.asarray(encoding.encode(apply_activation(activation, real)) <= wanted)

    shape = (*bias.shape, len(wanted))
    return largest_where(stays, np.full(shape, -bound - 1), np.full(shape, bound))


def largest_where(holds: Callable[[Wide], npt.NDArray[np.bool_]], least: Wide, most: Wide) -> Wide:
    """Return the largest integers between bounds for which something holds that holds for all smaller ones.

    Args:
        holds: of an array of the shape of the bounds, element by element.
        least: the result where it does not hold beyond.
        most: of the results.
    """
    while (least < most).any():
        middle = least + (most - least + 1) // 2
        true = holds(middle)
        least, most = np.where(true, middle, least), np.where(true, most, middle - 1)
    return least


def row_length(weights: Value) -> int:
    """Return how many elements a row of packed weights has."""
    return prod(int(extent) for extent in weights.shape[1:])


def _row_sums(weights: Value) -> Wide:
    """Return ``sum_n W_on``; from planes: ``sum_j m_oj (2 popcount - n) + n P_o``."""
    if weights.dtype != "planes":
        return np.asarray(whole_weights(weights).sum(axis=1, dtype=np.int64))
    encoding, length = basis_of(weights), row_length(weights)
    assert weights.data is not None
    ones = np.bitwise_count(weights.data).sum(axis=-1, dtype=np.int64)
    signs = (encoding.multipliers * (2 * ones - length)).sum(axis=1)
    return np.asarray(signs + length * encoding.integer_weight_offset().astype(np.int64))


def _largest_level(weights: Value) -> int:
    """Return a bound on the magnitude of a weight's whole level."""
    assert weights.encoding is not None
    return int(np.abs(weights.encoding.whole_levels()).max(initial=0))


def basis_of(weights: Value) -> LearnedBasis:
    """Return the encoding of weights in planes as a learned basis."""
    basis = None if weights.encoding is None else weights.encoding.as_basis()
    assert basis is not None
    return basis
