"""Normalization at inference: constants per channel, and across neighbouring channels.

    BatchNormalization   y = (x - mean_c) / sqrt(var_c + epsilon) * scale_c + bias_c
    LRN                  y = x / (bias + alpha / size * sum of x^2 over size neighbouring channels)^beta
    LayerNormalization, InstanceNormalization
                         y = (x - mean) / sqrt(mean (x - mean)^2 + epsilon) * scale + bias, means over the
                         axes from ``axis`` on, or over a map (Ba et al. 2016; Ulyanov et al. 2016)

In float64, rounded once to float32.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from lowbit.ir.graph import Array
from lowbit.ir.operators.contents import axis_of
from lowbit.ir.operators.registry import Call, Parts, TensorType, broadcast, register, require_float
from lowbit.ir.operators.windows import LARGEST, open_channels

Floats = npt.NDArray[np.float64]


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


def _lrn_parts(call: Call, add: Parts) -> str:
    """The squares of neighbouring channels, added up one channel after another."""
    x, size, rank = call.node.inputs[0], call.integer("size"), len(call.input(0).shape)
    before, channels = (size - 1) // 2, call.input(0).shape[1]
    edges = [0, before, *[0] * (rank - 2), 0, size - 1 - before, *[0] * (rank - 2)]
    padded = add.node("Pad", add.node("Mul", x, x), add.constant(edges, "int64"))
    axis, total = add.constant([1], "int64"), ""
    for first in range(size):
        ends = (add.constant([bound], "int64") for bound in (first, first + int(channels)))
        part = add.node("Slice", padded, *ends, axis)
        total = add.node("Add", total, part) if total else part
    scaled = add.node("Mul", total, add.constant(call.real("alpha") / size))
    divisor = add.node(
        "Pow", add.node("Add", scaled, add.constant(call.real("bias"))), add.constant(call.real("beta"))
    )
    return add.node("Div", x, divisor)


def _infer_layer(call: Call) -> list[TensorType]:
    require_float(call, 0, 1, 2)
    shape, first = call.input(0).shape, axis_of(call, len(call.input(0).shape))
    for index in range(1, len(call.node.inputs)):
        parameter = call.input(index).shape
        call.require(
            len(parameter) <= len(shape) and broadcast(call, shape, parameter) == shape,
            call.operator.inputs[index].rstrip("?"),
            f"one that broadcasts to {shape}",
            parameter,
        )
    means = TensorType("float32", (*shape[:first], *[1] * (len(shape) - first)))
    return [TensorType("float32", shape), means, means]


def _layer(call: Call, array: Array, scale: Array, bias: Array | None = None) -> list[Array]:
    axes = tuple(range(axis_of(call, array.ndim), array.ndim))
    exact, mean, deviation = _moments(call, array, axes)
    made = (exact - mean) / deviation * scale.astype(np.float64)
    made = made if bias is None else made + bias.astype(np.float64)
    return [made.astype(np.float32), mean.astype(np.float32), (1 / deviation).astype(np.float32)]


def _infer_instance(call: Call) -> list[TensorType]:
    require_float(call, 0, 1, 2)
    shape = _map_shape(call)
    call.require(len(shape) > 2, "axes", "[n, channels, ...] with a map behind", shape)
    for index in (1, 2):
        if call.input(index).shape != shape[1:2]:
            call.fail(call.operator.inputs[index], f"{shape[1:2]}", call.described(index))
    return [TensorType("float32", shape)]


def _instance(call: Call, array: Array, scale: Array, bias: Array) -> list[Array]:
    exact, mean, deviation = _moments(call, array, tuple(range(2, array.ndim)))
    column = (-1, *[1] * (array.ndim - 2))
    factor, shift = (vector.astype(np.float64).reshape(column) for vector in (scale, bias))
    return [((exact - mean) / deviation * factor + shift).astype(np.float32)]


def _moments(call: Call, array: Array, axes: tuple[int, ...]) -> tuple[Floats, Floats, Floats]:
    """Return the elements, their mean and their deviation over these axes, in float64."""
    exact = array.astype(np.float64)
    mean = exact.mean(axis=axes, keepdims=True)
    variance = ((exact - mean) ** 2).mean(axis=axes, keepdims=True)
    return exact, mean, np.sqrt(variance + call.real("epsilon"))


def _layer_parts(call: Call, add: Parts) -> str:
    rank = len(call.input(0).shape)
    normal, mean, deviation = _normalized(call, add, range(axis_of(call, rank), rank))
    made = add.node("Mul", normal, call.node.inputs[1])
    made = add.node("Add", made, call.node.inputs[2]) if call.optional(2) is not None else made
    others = (mean, add.node("Reciprocal", deviation)) if len(call.node.outputs) > 1 else ()
    return " ".join((made, *others)[: len(call.node.outputs)])


def _instance_parts(call: Call, add: Parts) -> str:
    rank = len(call.input(0).shape)
    column = add.constant((-1, *[1] * (rank - 2)), "int64")
    factor, shift = (add.node("Reshape", name, column) for name in call.node.inputs[1:])
    normal, *_ = _normalized(call, add, range(2, rank))
    return add.node("Add", add.node("Mul", normal, factor), shift)


def _normalized(call: Call, add: Parts, axes: Iterable[int]) -> tuple[str, str, str]:
    """Return elements without their mean over these axes, over their deviation; and both of these."""
    over, x = add.constant(tuple(axes), "int64"), call.node.inputs[0]
    mean = add.node("ReduceMean", x, over)
    centred = add.node("Sub", x, mean)
    variance = add.node("ReduceMean", add.node("Mul", centred, centred), over)
    deviation = add.node("Sqrt", add.node("Add", variance, add.constant(call.real("epsilon"))))
    return add.node("Div", centred, deviation), mean, deviation


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
register(
    "LRN",
    "X",
    infer=_infer_lrn,
    evaluate=_lrn,
    parts=_lrn_parts,
    whole=open_channels,
    size=0,
    alpha=1e-4,
    beta=0.75,
    bias=1.0,
)
register(
    "LayerNormalization",
    "X Scale B?",
    infer=_infer_layer,
    evaluate=_layer,
    parts=_layer_parts,
    axis=-1,
    epsilon=1e-5,
    stash_type=1,
)
register(
    "InstanceNormalization",
    "input scale B",
    infer=_infer_instance,
    evaluate=_instance,
    parts=_instance_parts,
    epsilon=1e-5,
)
