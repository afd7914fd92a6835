"""Convolution in float, any number of spatial axes, with groups and dilation.

    y[n, o, p] = bias_o + sum_{c, t} x[n, c, position(p, t)] w[o, c, t]        padding reads zero

with ``position`` as in `lowbit.ir.window`; output channel ``o`` of group ``g`` reads the input channels of
that group. Accumulated in float64, one product of matrices per tap, rounded once to float32.
"""

from math import prod

import numpy as np

from lowbit.ir.graph import Array
from lowbit.ir.operators.registry import Call, TensorType, register, require_float
from lowbit.ir.operators.traits import Trait
from lowbit.ir.operators.windows import WINDOW, taps, windows_of
from lowbit.ir.window import Axis


def _infer(call: Call) -> list[TensorType]:
    require_float(call, 0, 1, 2)
    value, weights, bias, group = call.input(0), call.input(1), call.optional(2), call.integer("group")
    if len(weights.shape) != len(value.shape):
        call.fail("weights' rank", str(len(value.shape)), call.described(1))
    axes = _axes(call)
    channels, outputs = weights.shape[1], weights.shape[0]
    assert isinstance(channels, int) and isinstance(outputs, int)
    call.require(group >= 1 and outputs % group == 0, "group", f"a divisor of {outputs}", group)
    if value.shape[1] != channels * group:
        wanted = f"{channels * group} channels for weights {weights.shape} in {group} group(s)"
        call.fail("channels differ", wanted, call.described(0))
    if bias is not None and bias.shape != (outputs,):
        call.fail("bias", f"float32 {(outputs,)}", call.described(2))
    return [TensorType("float32", (value.shape[0], outputs, *(axis.outputs for axis in axes)))]


def _evaluate(call: Call, array: Array, weights: Array, bias: Array | None = None) -> list[Array]:
    axes, group = _axes(call), call.integer("group")
    samples, outputs, inputs = len(array), len(weights), weights.shape[1]
    counts = [axis.outputs for axis in axes]
    matrices = weights.reshape(group, outputs // group, inputs, -1).transpose(3, 0, 1, 2).astype(np.float64)
    total = np.zeros((samples, group, outputs // group, prod(counts)))
    for matrix, tap in zip(matrices, taps(array, axes, 0.0), strict=True):
        total += matrix @ tap.reshape(samples, group, inputs, -1).astype(np.float64)
    result = total.reshape(samples, outputs, *counts)
    if bias is not None:
        result += bias.astype(np.float64).reshape(-1, *[1] * len(counts))
    return [result.astype(np.float32)]


def _axes(call: Call) -> tuple[Axis, ...]:
    shape = call.input(1).shape
    call.require(all(isinstance(length, int) for length in shape), "weights", "a fixed shape", shape)
    return windows_of(call, shape[2:])  # type: ignore[arg-type]


register(
    "Conv",
    "X W B?",
    infer=_infer,
    evaluate=_evaluate,
    traits=Trait.LAYER | Trait.WINDOW,
    group=1,
    **WINDOW,
)
