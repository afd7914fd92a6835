"""The operators of float networks as functions of torch, with gradients.

A function takes the call and the tensors of its inputs (None where one is absent) and returns its output.
What has no row here is written in operators that do where there is a way (`lowbit.ir.passes.expand`), and is
named as being in the way where there is none.
"""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lowbit.ir import Graph, Node
from lowbit.ir.operators import Call
from lowbit.ir.operators.contents import axes_of, integers
from lowbit.ir.operators.reductions import reduced_axes
from lowbit.ir.operators.windows import windows_of
from lowbit.ir.window import Axis

Function = Callable[..., Tensor]

_CONVOLUTIONS: dict[int, Function] = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
NARROW = 16
"""Channels up to which maps are convolved with channels last, which is faster for few alone: 32 maps of 8
channels, 28 x 28, forward and backward 4.5 against 11.6 ms, of 32 channels 40 against 29 (Zen 3, AVX2)."""

_LARGEST: dict[int, Function] = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}


def convolution(call: Call, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return a convolution, of weights `[o, c / group, ...]`, with zero padding."""
    axes = windows_of(call, tuple(weight.shape[2:]))
    padded, pads = _padded(x, axes, 0.0)
    if x.ndim == 4 and 1 < x.shape[1] <= NARROW:
        padded = padded.contiguous(memory_format=torch.channels_last)
        weight = weight.contiguous(memory_format=torch.channels_last)
    strides, dilations = [axis.stride for axis in axes], [axis.dilation for axis in axes]
    return _CONVOLUTIONS[len(axes)](padded, weight, bias, strides, pads, dilations, call.integer("group"))


def _padded(x: Tensor, axes: tuple[Axis, ...], fill: float) -> tuple[Tensor, list[int]]:
    """Return a map, and the pads that are left to do: those that are alike at both ends."""
    if all(axis.before == axis.after for axis in axes):
        return x, [axis.before for axis in axes]
    edges = [edge for axis in reversed(axes) for edge in (axis.before, axis.after)]
    return functional.pad(x, edges, value=fill), [0] * len(axes)


def _largest(call: Call, x: Tensor) -> Tensor:
    axes = windows_of(call, call.integers("kernel_shape"))
    edges = [edge for axis in reversed(axes) for edge in (axis.before, axis.after)]
    padded = functional.pad(x, edges, value=-torch.inf) if any(edges) else x
    kernel, strides = [axis.kernel for axis in axes], [axis.stride for axis in axes]
    return _LARGEST[len(axes)](padded, kernel, strides, 0, [axis.dilation for axis in axes])


def _means(call: Call, x: Tensor) -> Tensor:
    """Return sums by a convolution with ones, over how many of them are counted."""
    axes = windows_of(call, call.integers("kernel_shape"))
    edges = [edge for axis in reversed(axes) for edge in (axis.before, axis.after)]
    ones = x.new_ones(1, 1, *x.shape[2:])
    counted = functional.pad(ones, edges, value=float(call.integer("count_include_pad")))
    window = x.new_ones(1, 1, *(axis.kernel for axis in axes))
    settings = [axis.stride for axis in axes], 0, [axis.dilation for axis in axes]
    convolve = _CONVOLUTIONS[len(axes)]
    flat = functional.pad(x, edges).flatten(0, 1)[:, None]
    sums = convolve(flat, window, None, *settings).view(*x.shape[:2], *(axis.outputs for axis in axes))
    return sums / convolve(counted, window, None, *settings)


def _gemm(call: Call, left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    a = left.T if call.integer("transA") else left
    b = right.T if call.integer("transB") else right
    made = call.real("alpha") * (a @ b)
    return made if bias is None else made + call.real("beta") * bias


def _map_mean(call: Call, x: Tensor) -> Tensor:
    return x.mean(tuple(range(2, x.ndim)), keepdim=True)


def _map_largest(call: Call, x: Tensor) -> Tensor:
    return x.amax(tuple(range(2, x.ndim)), keepdim=True)


def _batch_norm(call: Call, x: Tensor, *given: Tensor) -> Tensor:
    scale, bias, mean, variance = given
    return functional.batch_norm(x, mean, variance, scale, bias, eps=call.real("epsilon"))


def _clip(call: Call, x: Tensor, least: Tensor | None = None, most: Tensor | None = None) -> Tensor:
    return x if least is None and most is None else torch.clamp(x, least, most)


def _prelu(call: Call, x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x < 0, slope * x, x)


def _reduced(function: Callable[..., Tensor]) -> Function:
    def reduce(call: Call, x: Tensor, *_: Tensor) -> Tensor:
        axes = reduced_axes(call)
        return function(x, axes, keepdim=bool(call.integer("keepdims"))) if axes else x

    return reduce


def _flatten(call: Call, x: Tensor) -> Tensor:
    axis = call.integer("axis") % x.ndim if call.integer("axis") < x.ndim else x.ndim
    return x.reshape(prod(x.shape[:axis]), -1)


def _reshape(call: Call, x: Tensor, _: Tensor) -> Tensor:
    """Reshape; a batch that the shape fixes is that of the tensor, as in the reference."""
    wanted = [length or x.shape[axis] for axis, length in enumerate(integers(call, 1))]
    shape = call.output().shape
    if -1 not in wanted and shape and isinstance(shape[0], str):
        wanted[0] = -1
    return x.reshape(wanted)


def _transpose(call: Call, x: Tensor) -> Tensor:
    return x.permute(call.integers("perm") or tuple(range(x.ndim))[::-1])


def _concat(call: Call, *parts: Tensor) -> Tensor:
    return torch.cat(parts, call.integer("axis"))


def _squeeze(call: Call, x: Tensor, _: Tensor | None = None) -> Tensor:
    if call.optional(1) is None:
        return x.squeeze()
    return x.squeeze(axes_of(call, integers(call, 1), x.ndim))


def _unsqueeze(call: Call, x: Tensor, _: Tensor) -> Tensor:
    count = x.ndim + len(integers(call, 1))
    for axis in sorted(axes_of(call, integers(call, 1), count)):
        x = x.unsqueeze(axis)
    return x


def _slice(call: Call, x: Tensor, *_: Tensor | None) -> Tensor:
    """Take every so many elements from one to another, as ONNX counts them; steps back are an index."""
    starts, ends = integers(call, 1), integers(call, 2)
    axes = integers(call, 3) if call.optional(3) is not None else range(len(starts))
    steps = integers(call, 4) if call.optional(4) is not None else [1] * len(starts)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        taken = range(x.shape[axis])[start:end:step]
        x = x.index_select(axis, torch.tensor(list(taken), dtype=torch.int64))
    return x


def _gather(call: Call, x: Tensor, indices: Tensor) -> Tensor:
    axis = call.integer("axis") % x.ndim
    found = x.index_select(axis, indices.reshape(-1).long() % x.shape[axis])
    return found.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


def _expand(call: Call, x: Tensor, shape: Tensor) -> Tensor:
    sizes = np.broadcast_shapes(tuple(x.shape), tuple(int(each) for each in shape))
    return x.expand(sizes)


def _plain(function: Callable[..., Tensor]) -> Function:
    """Return the row of a function that needs nothing of the call."""
    return lambda call, *tensors: function(*tensors)


def _elu(call: Call, x: Tensor) -> Tensor:
    return functional.elu(x, call.real("alpha"))


FUNCTIONS: dict[str, Function] = {
    "Add": _plain(torch.add),
    "Sub": _plain(torch.sub),
    "Mul": _plain(torch.mul),
    "Div": _plain(torch.div),
    "Pow": _plain(torch.pow),
    "Max": _plain(torch.maximum),
    "Min": _plain(torch.minimum),
    "Sum": lambda call, *tensors: sum(tensors[1:], tensors[0]),
    "Identity": lambda call, x: x,
    "Relu": _plain(torch.relu),
    "Tanh": _plain(torch.tanh),
    "Sigmoid": _plain(torch.sigmoid),
    "Softplus": _plain(functional.softplus),
    "HardSwish": _plain(functional.hardswish),
    "LeakyRelu": lambda call, x: functional.leaky_relu(x, call.real("alpha")),
    "Elu": _elu,
    "PRelu": _prelu,
    "Clip": _clip,
    "Abs": _plain(torch.abs),
    "Exp": _plain(torch.exp),
    "Log": _plain(torch.log),
    "Sqrt": _plain(torch.sqrt),
    "Erf": _plain(torch.erf),
    "Sin": _plain(torch.sin),
    "Cos": _plain(torch.cos),
    "Softmax": lambda call, x: x.softmax(call.integer("axis")),
    "LogSoftmax": lambda call, x: x.log_softmax(call.integer("axis")),
    "BatchNormalization": _batch_norm,
    "Conv": convolution,
    "Gemm": _gemm,
    "MatMul": _plain(torch.matmul),
    "MaxPool": _largest,
    "AveragePool": _means,
    "GlobalAveragePool": _map_mean,
    "GlobalMaxPool": _map_largest,
    "ReduceMean": _reduced(torch.mean),
    "ReduceSum": _reduced(torch.sum),
    "ReduceMax": _reduced(torch.amax),
    "ReduceMin": _reduced(torch.amin),
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Concat": _concat,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Slice": _slice,
    "Gather": _gather,
    "Expand": _expand,
}
"""Of operators of ONNX."""


def has_function(graph: Graph, node: Node) -> bool:
    """Return whether a node of floats has a function here."""
    return not node.domain and node.op in FUNCTIONS


def function_of(node: Node) -> Any:
    """Return the function of a node."""
    return FUNCTIONS[node.op]
