"""Operators on maps [n, c, h, w] as those of the file on [n, h, w, c]: the mirror of `maps`."""

from collections.abc import Callable

import numpy as np

from lowbit.errors import UnsupportedError
from lowbit.formats.circle.coded_values import as_int8
from lowbit.formats.circle.exporter import Exporter
from lowbit.formats.circle.file_tensors import LOWEST
from lowbit.formats.circle.layout import TO_NCHW, TO_NHWC, padding_of
from lowbit.formats.circle.options import Geometry
from lowbit.formats.circle.schema import (
    VALID,
    ConcatenationOptions,
    Conv2DOptions,
    DepthwiseConv2DOptions,
    PadOptions,
    PadV2Options,
    Pool2DOptions,
    ReducerOptions,
    TransposeOptions,
)
from lowbit.ir import Node, Trait, has
from lowbit.ir.infer import call_of
from lowbit.ir.operators.windows import windows_of
from lowbit.ir.window import Axis

Lower = Callable[[Exporter, Node], None]


def convolution(exporter: Exporter, node: Node) -> None:
    """``Conv`` as CONV_2D, or DEPTHWISE_CONV_2D with a group per channel, after a PAD where it must be."""
    call = call_of(exporter.graph, node)
    data, group = exporter.graph.value(node.inputs[1]).data, call.integer("group")
    if data is None or data.ndim != 4:
        raise _refused(node, "constant weights [o, c, h, w]", "other weights")
    rows, columns = windows_of(call, data.shape[2:])
    source, padding = _padded(exporter, node, rows, columns)
    depthwise = data.shape[1] == 1 and group > 1
    weights = np.ascontiguousarray(data.transpose((1, 2, 3, 0) if depthwise else TO_NHWC))
    inputs = (source, exporter.constant(f"{node.inputs[1]}_maps", weights), _bias(exporter, node, len(data)))
    steps = {"stride_h": rows.stride, "stride_w": columns.stride}
    steps |= {"dilation_h_factor": rows.dilation, "dilation_w_factor": columns.dilation}
    output = (exporter.map_output(node.outputs[0]),)
    if depthwise:
        options = DepthwiseConv2DOptions(padding, depth_multiplier=len(data) // group, **steps)
        exporter.operator("DEPTHWISE_CONV_2D", inputs, output, options)
    else:
        exporter.operator("CONV_2D", inputs, output, Conv2DOptions(padding, **steps))


def affine_convolution(exporter: Exporter, node: Node) -> None:
    """A ``Convolution`` of 8-bit codes as CONV_2D on int8, or DEPTHWISE_CONV_2D with a group per channel."""
    call = call_of(exporter.graph, node)
    height, width, depth = (int(extent) for extent in call.input(1).shape[1:])
    rows, columns = windows_of(call, (height, width))
    source, padding = _padded(exporter, node, rows, columns)
    steps = {"stride_h": rows.stride, "stride_w": columns.stride}
    steps |= {"dilation_h_factor": rows.dilation, "dilation_w_factor": columns.dilation}
    output, group = (exporter.map_output(node.outputs[0]),), call.integer("group")
    if depth == 1 and group > 1:
        inputs = (source, exporter.depthwise_weights(node.inputs[1]), exporter.affine_bias(node))
        multiplier = int(call.input(1).shape[0]) // group
        options = DepthwiseConv2DOptions(padding, depth_multiplier=multiplier, **steps)
        exporter.operator("DEPTHWISE_CONV_2D", inputs, output, options)
        return
    inputs = (source, exporter.tensor(node.inputs[1]), exporter.affine_bias(node))
    exporter.operator("CONV_2D", inputs, output, Conv2DOptions(padding, **steps))


def geometry(exporter: Exporter, node: Node) -> Geometry:
    """Return the geometry of a low-bit convolution, nothing left to defaults."""
    call = call_of(exporter.graph, node)
    kernel = tuple(int(extent) for extent in call.input(1).shape[1:3])
    axes = windows_of(call, kernel)
    return Geometry(
        kernel,
        tuple(axis.stride for axis in axes),
        (*(axis.before for axis in axes), *(axis.after for axis in axes)),
        tuple(axis.dilation for axis in axes),
        call.integer("group"),
    )


def pool(name: str) -> Lower:
    """Return what lowers a pool. Pads that the format has no word for are a PAD, which a mean counts."""

    def run(exporter: Exporter, node: Node) -> None:
        call, source = call_of(exporter.graph, node), exporter.map(node.inputs[0])
        rows, columns = windows_of(call, call.integers("kernel_shape"))
        if (rows.dilation, columns.dilation) != (1, 1):
            raise _refused(node, "no dilation", dict(node.attributes))
        padding = _padding(rows, columns)
        mean = name == "AVERAGE_POOL_2D"
        counted = bool(mean and call.integer("count_include_pad"))
        if mean and padding is None and not counted:
            raise _refused(node, "pads of SAME, none, or counted ones", dict(node.attributes))
        if padding is None or (counted and padding != VALID):
            source, padding = _around(exporter, node, source, (rows, columns), 0.0 if mean else None), VALID
        options = Pool2DOptions(padding, columns.stride, rows.stride, columns.kernel, rows.kernel)
        exporter.operator(name, (source,), (exporter.map_output(node.outputs[0]),), options)

    return run


def pad(exporter: Exporter, node: Node) -> None:
    """``Pad`` with one number as PAD or PADV2, in the layout of what it reads."""
    call, name = call_of(exporter.graph, node), node.inputs[0]
    if call.text("mode") != "constant" or any(
        exporter.graph.value(n).data is None for n in node.inputs[1:] if n
    ):
        raise _refused(node, "mode constant, constant pads", dict(node.attributes))
    edges = exporter.graph.constant(node.inputs[1]).astype(np.int32).reshape(2, -1).T
    if edges.min() < 0:
        raise _refused(node, "pads from 0 on", edges.tolist())
    fill = exporter.graph.constant(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else np.zeros(1)
    as_map = exporter.is_map(name)
    edges = np.ascontiguousarray(edges[list(TO_NHWC)] if as_map else edges)
    source = exporter.map(name) if as_map else exporter.tensor(name)
    inputs = (source, exporter.constant(f"{node.outputs[0]}_edges", edges))
    output = exporter.map_output(node.outputs[0]) if as_map else exporter.tensor(node.outputs[0])
    if fill.any():
        number = exporter.scalar(f"{node.outputs[0]}_fill", float(fill.reshape(-1)[0]), source)
        exporter.operator("PADV2", (*inputs, number), (output,), PadV2Options())
    else:
        exporter.operator("PAD", inputs, (output,), PadOptions())


def transpose(exporter: Exporter, node: Node) -> None:
    """``Transpose``; from one layout of maps to the other there is nothing to do."""
    source, output = node.inputs[0], node.outputs[0]
    order = call_of(exporter.graph, node).integers("perm")
    order = order or tuple(range(len(exporter.graph.value(source).shape)))[::-1]
    if order == TO_NCHW and not exporter.is_map(source) and _only_layers_read(exporter, output):
        exporter.alias(output, exporter.tensor(source), as_map=True)
    elif order == TO_NHWC and exporter.is_map(source) and output not in exporter.graph.outputs:
        exporter.alias(output, exporter.map(source), as_map=False)
    else:
        axes = exporter.constant(f"{output}_order", np.array(order, np.int32))
        inputs = (exporter.tensor(source), axes)
        exporter.operator("TRANSPOSE", inputs, (exporter.tensor(output),), TransposeOptions())


def whole_map(name: str) -> Lower:
    """Return what lowers a reduction of whole maps."""

    def run(exporter: Exporter, node: Node) -> None:
        axes = exporter.constant("map_axes", np.array([1, 2], np.int32))
        inputs = (exporter.map(node.inputs[0]), axes)
        exporter.operator(name, inputs, (exporter.map_output(node.outputs[0]),), ReducerOptions(True))

    return run


def concatenation(exporter: Exporter, node: Node) -> None:
    """``Concat``, in the layout of its first part."""
    rank, axis = len(exporter.graph.value(node.inputs[0]).shape), node.attributes.get("axis", 0)
    assert isinstance(axis, int)
    if any(exporter.is_map(name) for name in node.inputs):
        inputs = tuple(exporter.map(name) for name in node.inputs)
        output, axis = exporter.map_output(node.outputs[0]), TO_NHWC.index(axis % rank)
    else:
        inputs = tuple(exporter.tensor(name) for name in node.inputs)
        output, axis = exporter.tensor(node.outputs[0]), axis % rank
    exporter.operator("CONCATENATION", inputs, (output,), ConcatenationOptions(axis))


def _only_layers_read(exporter: Exporter, name: str) -> bool:
    """Return whether all that read a value are on maps in the file: the reader makes it for them."""
    readers = exporter.graph.consumers(name)
    coded = [reader.outputs[0] for reader in readers if reader.op == "Encode"]
    learned = all(as_int8(exporter.graph.value(codes).encoding) is None for codes in coded)
    return learned and all(
        has(reader, Trait.WINDOW) or has(reader, Trait.POOL) or reader.op == "Encode" for reader in readers
    )


def _bias(exporter: Exporter, node: Node, outputs: int) -> int:
    """Return the tensor of the bias; few runtimes take a convolution without one."""
    if len(node.inputs) > 2 and node.inputs[2]:
        return exporter.tensor(node.inputs[2])
    return exporter.constant(f"{node.inputs[1]}_bias", np.zeros(outputs, np.float32))


def _padded(exporter: Exporter, node: Node, rows: Axis, columns: Axis) -> tuple[int, int]:
    """Return the tensor that a convolution reads, after a PAD where it must be, and ``Padding``."""
    source, padding = exporter.map(node.inputs[0]), _padding(rows, columns)
    if padding is not None:
        return source, padding
    return _around(exporter, node, source, (rows, columns), 0.0), VALID


def _around(exporter: Exporter, node: Node, source: int, axes: tuple[Axis, Axis], fill: float | None) -> int:
    """Return a map with zeros, or with None the lowest numbers there are, around it."""
    rows, columns = axes
    edges = np.array([[0, 0], [rows.before, rows.after], [columns.before, columns.after], [0, 0]], np.int32)
    stem = f"{node.outputs[0]}_padded"
    height, width = (axis.extent + axis.before + axis.after for axis in axes)
    channels = int(exporter.graph.value(node.inputs[0]).shape[1])
    padded = exporter.made_up(stem, (1, height, width, channels), source)
    inputs = (source, exporter.constant(f"{stem}_edges", edges))
    if fill is None:
        lowest = exporter.scalar(f"{stem}_fill", -128 if exporter.is_int8(source) else LOWEST, source)
        exporter.operator("PADV2", (*inputs, lowest), (padded,), PadV2Options())
    else:
        exporter.operator("PAD", inputs, (padded,), PadOptions())
    return padded


def _padding(rows: Axis, columns: Axis) -> int | None:
    axes = (rows, columns)
    pads = (*(axis.before for axis in axes), *(axis.after for axis in axes))
    geometry = ([getattr(axis, name) for axis in axes] for name in ("extent", "kernel", "stride", "dilation"))
    return padding_of(pads, *geometry)


def _refused(node: Node, expected: str, found: object) -> UnsupportedError:
    return UnsupportedError(
        f"{node.op} in this form cannot be written to a .circle file",
        where=node.name,
        expected=expected,
        found=str(found),
        remedy="Write .onnx or .txt instead.",
    )
