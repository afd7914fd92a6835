"""Operators on maps [n, c, h, w] as those of the file on [n, h, w, c]: the mirror of `maps`."""

from collections.abc import Callable

import numpy as np

from lowbit.errors import UnsupportedError
from lowbit.formats.circle.exporter import Exporter
from lowbit.formats.circle.layout import TO_NHWC, padding_of
from lowbit.formats.circle.schema import (
    VALID,
    ConcatenationOptions,
    Conv2DOptions,
    DepthwiseConv2DOptions,
    PadOptions,
    Pool2DOptions,
    ReducerOptions,
)
from lowbit.ir import Node
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
    """``AffineConv`` as CONV_2D on int8; weights stand in the graph as they stand in the file."""
    call = call_of(exporter.graph, node)
    height, width = (int(extent) for extent in call.input(1).shape[1:3])
    rows, columns = windows_of(call, (height, width))
    source, padding = _padded(exporter, node, rows, columns)
    inputs = (source, exporter.tensor(node.inputs[1]), exporter.affine_bias(node))
    options = Conv2DOptions(
        padding,
        columns.stride,
        rows.stride,
        dilation_w_factor=columns.dilation,
        dilation_h_factor=rows.dilation,
    )
    exporter.operator("CONV_2D", inputs, (exporter.map_output(node.outputs[0]),), options)


def pool(name: str, count_include_pad: bool = False) -> Lower:
    """Return what lowers a pool; its padding must be one that the format has."""

    def run(exporter: Exporter, node: Node) -> None:
        call, source = call_of(exporter.graph, node), exporter.map(node.inputs[0])
        rows, columns = windows_of(call, call.integers("kernel_shape"))
        padding = _padding(rows, columns)
        counted = count_include_pad and call.integer("count_include_pad") and padding != VALID
        if padding is None or counted or (rows.dilation, columns.dilation) != (1, 1):
            raise _refused(node, "pads of SAME or none, not counted, and no dilation", dict(node.attributes))
        options = Pool2DOptions(padding, columns.stride, rows.stride, columns.kernel, rows.kernel)
        exporter.operator(name, (source,), (exporter.map_output(node.outputs[0]),), options)

    return run


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
    edges = np.array([[0, 0], [rows.before, rows.after], [columns.before, columns.after], [0, 0]], np.int32)
    stem = f"{node.outputs[0]}_padded"
    value = exporter.graph.value(node.inputs[0])
    height, width = rows.extent + rows.before + rows.after, columns.extent + columns.before + columns.after
    padded = exporter.made_up(stem, (1, height, width, int(value.shape[1])), source)
    exporter.operator("PAD", (source, exporter.constant(f"{stem}_edges", edges)), (padded,), PadOptions())
    return padded, VALID


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
