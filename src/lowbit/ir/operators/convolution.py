"""Convolution in float, any number of spatial axes, with groups and dilation.

    y[n, o, p] = bias_o + sum_{c, t} x[n, c, position(p, t)] w[o, c, t]        padding reads zero

with ``position`` as in `windows`; output channel ``o`` of group ``g`` reads the input channels of that
group. Accumulated in float64, one product of matrices per tap, rounded once to float32.
"""

from math import prod

import numpy as np

from lowbit.ir.graph import Array
from lowbit.ir.operators.registry import Call, TensorType, register, require_float
from lowbit.ir.operators.windows import Windows, output_lengths, windows_of


def _infer(call: Call) -> list[TensorType]:
    require_float(call, 0, 1, 2)
    value, weights, bias, group = call.input(0), call.input(1), call.optional(2), call.integer("group")
    call.require(
        len(weights.shape) == len(value.shape), "weights' rank", str(len(value.shape)), call.described(1)
    )
    windows = _windows(call)
    channels, outputs = weights.shape[1], weights.shape[0]
    assert isinstance(channels, int) and isinstance(outputs, int)
    call.require(group >= 1 and outputs % group == 0, "group", f"a divisor of {outputs}", group)
    if value.shape[1] != channels * group:
        wanted = f"{channels * group} channels for weights {weights.shape} in {group} group(s)"
        call.require(False, "channels differ", wanted, call.described(0))
    if bias is not None and bias.shape != (outputs,):
        call.require(False, "bias", f"float32 {(outputs,)}", call.described(2))
    return [TensorType("float32", (value.shape[0], outputs, *output_lengths(call, windows)))]


def _evaluate(call: Call, array: Array, weights: Array, bias: Array | None = None) -> list[Array]:
    windows, group = _windows(call), call.integer("group")
    samples, outputs, inputs = len(array), len(weights), weights.shape[1]
    counts = windows.counts(array.shape[2:])
    matrices = weights.reshape(group, outputs // group, inputs, -1).transpose(3, 0, 1, 2).astype(np.float64)
    total = np.zeros((samples, group, outputs // group, prod(counts)))
    for matrix, tap in zip(matrices, windows.taps(array, 0.0), strict=True):
        total += matrix @ tap.reshape(samples, group, inputs, -1).astype(np.float64)
    result = total.reshape(samples, outputs, *counts)
    if bias is not None:
        result += bias.astype(np.float64).reshape(-1, *[1] * len(counts))
    return [result.astype(np.float32)]


def _windows(call: Call) -> Windows:
    """Return the windows; their kernel is the weights' and, where the attribute says it too, the same."""
    kernel = call.input(1).shape[2:]
    said = call.integers("kernel_shape") or kernel
    call.require(said == kernel, "kernel_shape", f"{kernel}, as in the weights", said)
    call.require(all(isinstance(k, int) for k in call.input(1).shape), "weights", "a fixed shape", kernel)
    return windows_of(call, kernel)  # type: ignore[arg-type]


register(
    "Conv",
    "X W B?",
    infer=_infer,
    evaluate=_evaluate,
    kernel_shape=(),
    strides=(),
    pads=(),
    dilations=(),
    group=1,
)
