"""Normalization at inference: constants per channel, and across neighbouring channels.

    BatchNormalization   y = (x - mean_c) / sqrt(var_c + epsilon) * scale_c + bias_c
    LRN                  y = x / (bias + alpha / size * sum of x^2 over size neighbouring channels)^beta

In float64, rounded once to float32.
"""

import numpy as np

from lowbit.ir.graph import Array
from lowbit.ir.operators.registry import Call, TensorType, register, require_float
from lowbit.ir.operators.windows import LARGEST


def _infer_batch_normalization(call: Call) -> list[TensorType]:
    require_float(call, 0, 1, 2, 3, 4)
    shape = _map_shape(call)
    for index, name in enumerate(("scale", "bias", "mean", "variance"), 1):
        if call.input(index).shape != shape[1:2]:
            call.fail(f"{name} for {call.described(0)}", f"{shape[1:2]}", call.described(index))
    return [TensorType("float32", shape)]


def _batch_normalization(
    call: Call, array: Array, scale: Array, bias: Array, mean: Array, variance: Array
) -> list[Array]:
    column = (-1, *[1] * (array.ndim - 2))
    scale64, bias64, mean64, variance64 = (
        np.asarray(vector, np.float64).reshape(column) for vector in (scale, bias, mean, variance)
    )
    factor = scale64 / np.sqrt(variance64 + call.real("epsilon"))
    return [((array.astype(np.float64) - mean64) * factor + bias64).astype(np.float32)]


def _infer_lrn(call: Call) -> list[TensorType]:
    require_float(call, 0)
    call.require(1 <= call.integer("size") <= LARGEST, "size", f"1 to {LARGEST}", call.integer("size"))
    return [TensorType("float32", _map_shape(call))]


def _lrn(call: Call, array: Array) -> list[Array]:
    exact, size = array.astype(np.float64), call.integer("size")
    before = (size - 1) // 2
    edges = [(0, 0), (before, size - 1 - before), *[(0, 0)] * (array.ndim - 2)]
    squares = np.pad(exact**2, edges)
    total = sum(squares[:, first : first + array.shape[1]] for first in range(size))
    divisor = (call.real("bias") + call.real("alpha") / size * total) ** call.real("beta")
    return [(exact / divisor).astype(np.float32)]


def _map_shape(call: Call) -> tuple[int | str, ...]:
    shape = call.input(0).shape
    if len(shape) < 2:
        call.fail("channels are needed", "[n, c, ...]", call.described(0))
    return shape


register(
    "BatchNormalization",
    "X scale B input_mean input_var",
    infer=_infer_batch_normalization,
    evaluate=_batch_normalization,
    epsilon=1e-5,
)
register("LRN", "X", infer=_infer_lrn, evaluate=_lrn, size=0, alpha=1e-4, beta=0.75, bias=1.0)
