"""Operators that are read as something simpler: casts, Dropout, and older forms of what we have."""

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from lowbit.errors import UnsupportedError
from lowbit.formats.onnx.attributes import integer, integers, number
from lowbit.formats.onnx.einsum import read_einsum
from lowbit.formats.onnx.importer import Importer
from lowbit.formats.onnx.movers import MOVERS
from lowbit.formats.onnx.normalizations import NORMALIZATIONS
from lowbit.formats.onnx.quantized import linear as quantized
from lowbit.formats.onnx.recurrent import read_recurrent
from lowbit.formats.onnx.reductions import REDUCTIONS, reduction
from lowbit.formats.onnx.resizing import RESIZING
from lowbit.formats.onnx.tensors import computed_dtype
from lowbit.formats.onnx.windows import read_average_pool, read_convolution, read_max_pool
from lowbit.ir import Trait, has
from lowbit.ir.graph import Array, Attribute
from lowbit.ir.input_type import INTEGERS, InputType
from lowbit.ir.lengths import as_array, product
from lowbit.ir.operators.logic import CASTS
from lowbit.ir.worked_out import resolve_shape

if TYPE_CHECKING:
    from onnx import NodeProto


def _cast(reader: Importer, proto: "NodeProto", attributes: dict[str, Attribute]) -> None:
    """A cast between floats is an identity; one of an input says that the input may be float32."""
    target = computed_dtype(integer(attributes, "to", 0), proto.name)
    source = reader.result.value(reader.use(proto.input[0]))
    path = _from_input(reader, source.name) if source.encoding is None else []
    if path and source.dtype != "float32" and target == "float32":
        if source.dtype in INTEGERS and path[-1] == reader.result.inputs[0]:
            InputType(source.dtype).remember(reader.result)
        for name in path:
            reader.result.update(name, dtype="float32")
        source = reader.result.value(source.name)
    if source.encoding is None and source.dtype == target:
        reader.add(proto, "Identity", [source.name], {})
    else:
        reader.add(proto, "Cast", [source.name], {"to": CASTS.get(target, -1)})


def _cast_like(reader: Importer, proto: "NodeProto", attributes: dict[str, Attribute]) -> None:
    """The type is that of the second input."""
    kind = reader.kind(proto.input[1])
    if reader.kind(proto.input[0]) == kind:
        reader.add(proto, "Identity", [proto.input[0]], {})
    else:
        reader.add(proto, "Cast", [proto.input[0]], {"to": CASTS.get(kind, -1)})


def _from_input(reader: Importer, name: str) -> list[str]:
    """Return a value and those before it up to an input, where elements only move and all else are casts."""
    path, graph = [name], reader.result
    while path[-1] not in graph.inputs:
        maker = graph.producer(path[-1])
        if maker is None or not has(maker, Trait.MOVES):
            return []
        path.append(maker.inputs[0])
    casts = all(kind == "Cast" for kind in reader.readers[name])
    return path if casts and all(len(reader.readers[each]) == 1 for each in path[1:]) else []


def _dropout(reader: Importer, proto: "NodeProto", _: dict[str, Attribute]) -> None:
    """At inference Dropout is an identity, and its mask lets everything pass."""
    training = reader.constants.get(proto.input[2]) if len(proto.input) > 2 and proto.input[2] else None
    dynamic = training is None and len(proto.input) > 2 and bool(proto.input[2])
    if dynamic or (training is not None and bool(np.any(training))):
        raise UnsupportedError(
            "Dropout in training mode", expected="training_mode = 0", remedy="Export for inference."
        )
    shape = reader.shape(proto.input[0])
    if len(proto.output) > 1 and reader.readers.get(proto.output[1]):
        if not all(isinstance(length, int) for length in shape):
            raise UnsupportedError("the mask of a Dropout of open lengths", expected="fixed lengths")
        reader.constants[proto.output[1]] = np.ones([int(length) for length in shape], np.bool_)
    del proto.output[1:]
    reader.add(proto, "Identity", [proto.input[0]], {})


def _reshape(reader: Importer, proto: "NodeProto", attributes: dict[str, Attribute]) -> None:
    """Open lengths in the shape become 0 or -1; then a 0 says that, whatever ``allowzero`` is."""
    data, shape = proto.input[0], proto.input[1] if len(proto.input) > 1 else ""
    if shape in reader.constants and reader.constants[shape].dtype == object:
        numbers = resolve_shape(reader.constants[shape], reader.shape(data))
        if numbers.dtype != object:
            name = reader.result.fresh_name(f"{proto.output[0]}/shape")
            stated = [length for length in reader.constants[shape] if isinstance(length, int)]
            if 0 not in stated:
                attributes = {key: value for key, value in attributes.items() if key != "allowzero"}
            shape = reader.result.add_constant(name, numbers, "int64")
    reader.add(proto, "Reshape", [data, shape], attributes)


def _softmax(reader: Importer, proto: "NodeProto", attributes: dict[str, Attribute]) -> None:
    """Before opset 13 all axes from ``axis`` (default 1) were one; that is the last axis, or refused."""
    if reader.opset < 13:
        shape = reader.result.value(reader.use(proto.input[0])).shape
        axis = integer(attributes, "axis", 1)
        together = shape[axis:]
        if len([length for length in together if length != 1]) > 1 or not together:
            raise UnsupportedError(
                f"{proto.op_type} over several axes",
                expected="one axis",
                found=f"axis {axis} of {shape} in opset {reader.opset}",
                remedy="Export with opset 13 or later.",
            )
        longest = max(range(len(together)), key=lambda index: together[index] != 1)
        attributes = {"axis": longest - len(together)}
    reader.add(proto, proto.op_type, list(proto.input), attributes)


def _clip(reader: Importer, proto: "NodeProto", attributes: dict[str, Attribute]) -> None:
    """Before opset 11 the bounds were attributes. Whole numbers are cut to fewer bits."""
    if quantized.clip(reader, proto):
        return
    inputs = list(proto.input)
    for name in ("min", "max"):
        if name in attributes:
            stem = reader.result.fresh_name(f"{proto.output[0]}/{name}")
            inputs.append(reader.result.add_constant(stem, np.float32(number(attributes, name, 0.0))))
        elif reader.opset < 11:
            inputs.append("")
    reader.add(proto, "Clip", inputs, {})


def _batch_normalization(reader: Importer, proto: "NodeProto", attributes: dict[str, Attribute]) -> None:
    """At inference the momentum has no meaning; statistics per element went with opset 9."""
    if attributes.get("training_mode", 0) or attributes.get("spatial", 1) != 1:
        raise UnsupportedError(
            "BatchNormalization in training mode, or with statistics per element",
            expected="training_mode = 0, spatial = 1",
            remedy="Export for inference.",
        )
    kept = {name: value for name, value in attributes.items() if name == "epsilon"}
    reader.add(proto, "BatchNormalization", list(proto.input), kept)


def _axes_as_input(reader: Importer, proto: "NodeProto", attributes: dict[str, Attribute]) -> None:
    """Before opset 13 the axes of Squeeze and Unsqueeze were an attribute."""
    inputs = list(proto.input)
    if "axes" in attributes:
        axes = np.array(integers(attributes, "axes"), np.int64)
        inputs.append(reader.constant(f"{proto.output[0]}/axes", axes))
        del attributes["axes"]
    reader.add(proto, proto.op_type, inputs, attributes)


def _pad(reader: Importer, proto: "NodeProto", attributes: dict[str, Attribute]) -> None:
    """Before opset 11 pads and value were attributes; from 18 on pads may be those of some axes only."""
    inputs = list(proto.input)
    if "pads" in attributes:
        value = np.asarray(number(attributes, "value", 0.0), np.float32)
        pads = np.array(integers(attributes, "pads"), np.int64)
        inputs += [
            reader.constant(f"{proto.output[0]}/pads", pads),
            reader.constant(f"{proto.output[0]}/value", value),
        ]
        attributes = {name: mode for name, mode in attributes.items() if name == "mode"}
    elif len(inputs) > 3 and inputs[3]:
        every = _all_pads(len(reader.shape(inputs[0])), reader.known(inputs[3]), reader.known(inputs[1]))
        inputs[1] = reader.constant(f"{proto.output[0]}/pads", every)
    reader.add(proto, "Pad", inputs[:3], attributes)


def _all_pads(rank: int, axes: Array, pads: Array) -> Array:
    """Return the pads of all axes, first those before, from the pads of some axes."""
    numbers = [int(axis) for axis in axes] if axes.ndim == 1 and axes.dtype.kind == "i" else [rank]
    if not all(-rank <= axis < rank for axis in numbers) or pads.shape != (2 * len(numbers),):
        raise UnsupportedError(
            "pads and axes that do not fit", expected=f"axes below {rank}, two pads for each", found=str(axes)
        )
    every = np.zeros((2, rank), np.int64)
    every[:, numbers] = pads.reshape(2, -1)
    return every.reshape(-1)


def _reduction(pool: str) -> "Rewrite":
    """Return what reads a mean or maximum: a pool over the whole map that the axes make."""

    def read(reader: Importer, proto: "NodeProto", attributes: dict[str, Attribute]) -> None:
        shape, given = reader.shape(proto.input[0]), integers(attributes, "axes")
        if len(proto.input) > 1 and proto.input[1]:
            given = tuple(int(axis) for axis in reader.known(proto.input[1]).reshape(-1))
        rank, keeps = len(shape), bool(integer(attributes, "keepdims", 1))
        axes = sorted(axis + rank if axis < 0 else axis for axis in given)
        fixed = all(isinstance(length, int) for length in shape[1:])
        pooled = bool(axes) and axes[0] >= 1 and axes[-1] < rank and len(set(axes)) == len(axes) and fixed
        computed = proto.input[0] not in reader.constants and reader.kind(proto.input[0]) == "float32"
        if not pooled or not computed:
            reduction(reader, proto, attributes)
        elif axes == list(range(2, rank)) and keeps:
            reader.add(proto, pool, [proto.input[0]], {})
        elif axes == list(range(2, rank)):
            reader.add(proto, "Flatten", [reader.insert(pool, [proto.input[0]])], {})
        else:
            _reduced(reader, proto, pool, axes, keeps)

    return read


def _reduced(reader: Importer, proto: "NodeProto", pool: str, axes: list[int], keeps: bool) -> None:
    """Add a pool over any axes: they are moved behind the others, which become one."""
    source, shape = proto.input[0], reader.shape(proto.input[0])
    kept = [axis for axis in range(1, len(shape)) if axis not in axes]
    if (order := (0, *kept, *axes)) != tuple(range(len(shape))):
        source = reader.insert("Transpose", [source], perm=order)
    if len(kept) != 1:
        source = reader.insert(
            "Reshape", [source, _target(reader, proto, [0, prod(int(shape[k]) for k in kept), -1])]
        )
    lengths = [
        1 if axis in axes else int(shape[axis]) for axis in range(1, len(shape)) if keeps or axis in kept
    ]
    pooled = reader.insert(pool, [source])
    reader.add(proto, "Reshape", [pooled, _target(reader, proto, [0, *lengths])], {})


def _power_pool(reader: Importer, proto: "NodeProto", attributes: dict[str, Attribute]) -> None:
    """The norm of every window: the mean of powers, times how many there are, and the root of that."""
    power, kernel = integer(attributes, "p", 2), integers(attributes, "kernel_shape")
    name, source = proto.output[0], proto.input[0]
    settings = {key: value for key, value in attributes.items() if key not in ("p", "count_include_pad")}
    each, count, root = (
        reader.constant(f"{name}/{what}", np.asarray(number, np.float32))
        for what, number in (("power", power), ("count", prod(kernel)), ("root", 1 / power))
    )
    powers = reader.insert("Pow", [reader.insert("Abs", [source]), each])
    mean = reader.free_name(f"{name}/mean")
    pool = type(proto)()
    pool.CopyFrom(proto)
    pool.input[:], pool.output[:] = [powers], [mean]
    if kernel:
        read_average_pool(reader, pool, settings | {"count_include_pad": 1})
    else:
        count = reader.constant(f"{name}/area", np.asarray(_area(reader, source), np.float32))
        reader.add(pool, "GlobalAveragePool", [powers], {})
    reader.add(proto, "Pow", [reader.insert("Mul", [mean, count]), root], {})


def _area(reader: Importer, name: str) -> int:
    lengths = reader.shape(name)[2:]
    if not all(isinstance(length, int) for length in lengths):
        raise UnsupportedError("a norm of an open map", expected="fixed lengths", found=str(lengths))
    return prod(int(length) for length in lengths)


def _scatter(reader: Importer, proto: "NodeProto", attributes: dict[str, Attribute]) -> None:
    """The older name."""
    reader.add(proto, "ScatterElements", list(proto.input), attributes)


def _target(reader: Importer, proto: "NodeProto", lengths: list[int]) -> str:
    return reader.constant(f"{proto.output[0]}/shape", np.array(lengths, np.int64))


def _negative(reader: Importer, proto: "NodeProto", _: dict[str, Attribute]) -> None:
    """A negative is a product with -1."""
    minus = reader.constant(f"{proto.output[0]}/minus", np.asarray(-1, reader.kind(proto.input[0])))
    reader.add(proto, "Mul", [proto.input[0], minus], {})


def _in_pairs(op: str) -> "Rewrite":
    """Return what reads one operator of several values: that of two, again and again, from the first on."""

    def read(reader: Importer, proto: "NodeProto", _: dict[str, Attribute]) -> None:
        *others, last = proto.input
        inputs = [_paired(reader, op, others), last] if others else [last]
        reader.add(proto, op if others else "Identity", inputs, {})

    return read


def _paired(reader: Importer, op: str, names: list[str]) -> str:
    made, *others = names
    for other in others:
        made = reader.insert(op, [made, other])
    return made


def _mean(reader: Importer, proto: "NodeProto", _: dict[str, Attribute]) -> None:
    """A mean is a sum, divided."""
    total = _paired(reader, "Add", list(proto.input))
    count = reader.constant(f"{proto.output[0]}/count", np.asarray(len(proto.input), np.float32))
    reader.add(proto, "Div", [total, count], {})


def _size(reader: Importer, proto: "NodeProto", _: dict[str, Attribute]) -> None:
    """How many elements there are is the product of the lengths."""
    number = as_array([product(reader.shape(proto.input[0]))])
    reader.constants[proto.output[0]] = number.reshape(())


def _gelu(reader: Importer, proto: "NodeProto", attributes: dict[str, Attribute]) -> None:
    """The approximation by tanh is an operator of its own."""
    tanh = attributes.pop("approximate", "none") == "tanh"
    reader.add(proto, "GeluTanh" if tanh else "Gelu", list(proto.input), attributes, "lowbit" if tanh else "")


def _legacy_broadcast(reader: Importer, proto: "NodeProto", attributes: dict[str, Attribute]) -> None:
    """Before opset 7 the second operand of a sum or product was aligned with an axis of the first."""
    inputs = list(proto.input)
    axis, _ = attributes.pop("axis", None), attributes.pop("broadcast", 0)
    if reader.opset < 7 and isinstance(axis, int) and len(inputs) == 2:
        rank = len(reader.shape(inputs[0]))
        behind = rank - (axis + rank if axis < 0 else axis) - len(reader.shape(inputs[1]))
        axes = np.arange(-min(max(behind, 0), rank), 0, dtype=np.int64)
        inputs[1] = reader.insert("Unsqueeze", [inputs[1], reader.constant(f"{proto.output[0]}/axes", axes)])
    reader.add(proto, proto.op_type, inputs, attributes)


def _prelu(reader: Importer, proto: "NodeProto", attributes: dict[str, Attribute]) -> None:
    """Before opset 7 a row of slopes was one slope per channel."""
    inputs, rank = list(proto.input), len(reader.shape(proto.input[0]))
    if reader.opset < 7 and len(inputs) == 2 and len(reader.shape(inputs[1])) == 1 and rank > 2:
        axes = reader.constant(f"{proto.output[0]}/axes", np.arange(2 - rank, 0, dtype=np.int64))
        inputs[1] = reader.insert("Unsqueeze", [inputs[1], axes])
    reader.add(proto, "PRelu", inputs, attributes)


def _gemm(reader: Importer, proto: "NodeProto", attributes: dict[str, Attribute]) -> None:
    """Before opset 7 broadcasting the bias had to be said."""
    attributes.pop("broadcast", 0)
    reader.add(proto, "Gemm", list(proto.input), attributes)


Rewrite = Callable[[Importer, "NodeProto", dict[str, Attribute]], None]

REWRITES: dict[str, Rewrite] = {
    **dict.fromkeys(("Add", "Div", "Mul", "Sub"), _legacy_broadcast),
    **dict.fromkeys(("LogSoftmax", "Softmax"), _softmax),
    **dict.fromkeys(("Squeeze", "Unsqueeze"), _axes_as_input),
    "AveragePool": read_average_pool,
    **MOVERS,
    **NORMALIZATIONS,
    **REDUCTIONS,
    **RESIZING,
    **dict.fromkeys(("GRU", "LSTM", "RNN"), read_recurrent),
    "BatchNormalization": _batch_normalization,
    "Cast": _cast,
    "CastLike": _cast_like,
    "Clip": _clip,
    "Conv": read_convolution,
    "Dropout": _dropout,
    "Einsum": read_einsum,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GlobalLpPool": _power_pool,
    "LpPool": _power_pool,
    "Max": _in_pairs("Max"),
    "MaxPool": read_max_pool,
    "Mean": _mean,
    "Min": _in_pairs("Min"),
    "Neg": _negative,
    "PRelu": _prelu,
    "Pad": _pad,
    "ReduceMax": _reduction("GlobalMaxPool"),
    "ReduceMean": _reduction("GlobalAveragePool"),
    "Reshape": _reshape,
    "Scatter": _scatter,
    "Size": _size,
    "Sum": _in_pairs("Add"),
}
