"""Builtin operators on maps [n, h, w, c] as nodes on [n, c, h, w]: the mirror of `map_lowering`.

A PAD of zeros in front of a convolution becomes its pads, and a TRANSPOSE between the layouts disappears.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from lowbit.errors import UnsupportedError
from lowbit.formats.circle.importer import Importer, options_of
from lowbit.formats.circle.layout import TO_NCHW, TO_NHWC, same_pads
from lowbit.formats.circle.schema import (
    SAME,
    VALID,
    ConcatenationOptions,
    Conv2DOptions,
    DepthwiseConv2DOptions,
    Operator,
    Pool2DOptions,
    ReducerOptions,
)
from lowbit.formats.circle.structure import require
from lowbit.ir.graph import Dimension

Import = Callable[[Importer, Operator, str], None]
Pads = tuple[int, ...]

MAX_STEP = 2**16


def convolution(importer: Importer, operator: Operator, place: str) -> None:
    """CONV_2D: weights [o, h, w, c / group]."""
    options = options_of(operator, Conv2DOptions())
    shape = importer.tensor(operator.inputs[1]).shape
    require(len(shape) == 4 and 0 not in shape, "weights have the wrong rank", place, "[o, h, w, c]", shape)
    _convolution(importer, operator, options, shape[1:3], TO_NCHW, place)


def depthwise(importer: Importer, operator: Operator, place: str) -> None:
    """DEPTHWISE_CONV_2D: weights [1, h, w, o]."""
    options = options_of(operator, DepthwiseConv2DOptions())
    shape = importer.tensor(operator.inputs[1]).shape
    fits = len(shape) == 4 and shape[0] == 1 and 0 not in shape
    require(fits, "weights have the wrong shape", place, "[1, h, w, o]", shape)
    _convolution(importer, operator, options, shape[1:3], (3, 0, 1, 2), place)


def pool(op: str) -> Import:
    """Return what imports a pool."""

    def run(importer: Importer, operator: Operator, place: str) -> None:
        options = options_of(operator, Pool2DOptions())
        kernel = (options.filter_height, options.filter_width)
        strides = _steps(options, place)
        require(
            min(kernel) >= 1 and max(kernel) <= MAX_STEP, "a pool is impossible", place, "1 or more", kernel
        )
        source, pads = _padded(importer, operator.inputs[0], options, kernel, strides, (1, 1), place)
        _require_no_edges(importer, operator.inputs[0], place)
        code = options.fused_activation_function
        result = importer.activated(code, operator.outputs[0], place, as_map=True)
        importer.node(op, (source,), result, kernel_shape=kernel, strides=strides, pads=pads)
        importer.activate(code, result, operator.outputs[0])

    return run


def whole_map(op: str) -> Import:
    """Return what imports a reduction; it must be of height and width, which stay as 1."""

    def run(importer: Importer, operator: Operator, place: str) -> None:
        found = importer.constant(operator.inputs[1])
        axes = [] if found is None else sorted(int(axis) % 4 for axis in np.atleast_1d(found))
        if axes != [1, 2] or not options_of(operator, ReducerOptions()).keep_dims:
            raise UnsupportedError(
                "only whole maps can be reduced",
                where=place,
                expected="axes 1 and 2, kept",
                found=f"axes {axes}",
                remedy="Export it as a global pool.",
            )
        importer.node(op, (importer.map(operator.inputs[0]),), importer.map_output(operator.outputs[0]))

    return run


def pad(importer: Importer, operator: Operator, place: str) -> None:
    """PAD: zeros around maps, which the convolution that reads them takes over."""
    edges = importer.constant(operator.inputs[1])
    fits = edges is not None and edges.shape == (4, 2) and not edges[[0, 3]].any() and int(edges.min()) >= 0
    if not fits or edges is None or int(edges.max()) > MAX_STEP:
        raise UnsupportedError(
            "only height and width can be padded, in front of a convolution",
            where=place,
            expected="edges of [n, h, w, c]",
            found="computed edges" if edges is None else str(edges.tolist())[:80],
            remedy="Export the network with pads on its convolutions.",
        )
    pads = (int(edges[1, 0]), int(edges[2, 0]), int(edges[1, 1]), int(edges[2, 1]))
    importer.padding[operator.outputs[0]] = operator.inputs[0], pads


def transpose(importer: Importer, operator: Operator, place: str) -> None:
    """TRANSPOSE: from one layout of maps to the other it disappears."""
    source, output = operator.inputs[0], operator.outputs[0]
    order = importer.constant(operator.inputs[1])
    perm = () if order is None else tuple(int(axis) for axis in order.reshape(-1))
    rank = len(importer.tensor(source).shape)
    require(sorted(perm) == list(range(rank)), "an order of axes is none", place, f"0 to {rank - 1}", perm)
    if perm == TO_NCHW and importer.is_map(source):
        importer.alias(output, importer.map(source), as_map=False)
    elif perm == TO_NHWC and not importer.is_map(source):
        importer.alias(output, importer.value(source), as_map=True)
    else:
        importer.node("Transpose", (importer.value(source),), importer.value(output), perm=perm)


def concatenation(importer: Importer, operator: Operator, place: str) -> None:
    """CONCATENATION, of maps along another axis than the file says."""
    options = options_of(operator, ConcatenationOptions())
    rank = len(importer.tensor(operator.outputs[0]).shape)
    require(-rank <= options.axis < rank, "an axis is out of range", place, f"below {rank}", options.axis)
    as_map = any(importer.is_map(index) for index in operator.inputs)
    axis = TO_NHWC[options.axis % rank] if as_map else options.axis % rank
    result = importer.activated(options.fused_activation_function, operator.outputs[0], place, as_map=as_map)
    parts = tuple(importer.map(index) if as_map else importer.value(index) for index in operator.inputs)
    importer.node("Concat", parts, result, axis=axis)
    importer.activate(options.fused_activation_function, result, operator.outputs[0])


def _convolution(
    importer: Importer,
    operator: Operator,
    options: Any,
    kernel: tuple[int, ...],
    order: tuple[int, ...],
    place: str,
) -> None:
    strides, dilations = _steps(options, place), (options.dilation_h_factor, options.dilation_w_factor)
    require(
        min(dilations) >= 1 and max(dilations) <= MAX_STEP, "a dilation is impossible", place, 1, dilations
    )
    source, pads = _padded(importer, operator.inputs[0], options, kernel, strides, dilations, place)
    coded = importer.graph.value(source).encoding is not None
    if coded:
        weights, bias_operand = _coded_constants(importer, operator, order, place)
        per_group: Dimension = importer.graph.value(weights).shape[3]
    else:
        weights = importer.moved_constant(operator.inputs[1], order, place)
        per_group = importer.graph.value(weights).shape[1]
        bias_operand = [importer.float_constant(i) for i in operator.inputs[2:3] if i >= 0]
    channels = importer.graph.value(source).shape[1]
    fits = isinstance(channels, int) and isinstance(per_group, int) and channels % per_group == 0
    require(fits, "channels do not fit the weights", place, f"a multiple of {per_group}", channels)
    assert isinstance(channels, int) and isinstance(per_group, int)
    operands = (source, weights, *bias_operand)
    code = options.fused_activation_function
    result = importer.activated(code, operator.outputs[0], place, as_map=True)
    importer.node(
        "AffineConv" if coded else "Conv",
        operands,
        result,
        domain="lowbit" if coded else "",
        kernel_shape=kernel,
        strides=strides,
        pads=pads,
        dilations=dilations,
        group=channels // per_group,
    )
    importer.activate(code, result, operator.outputs[0])


def _coded_constants(
    importer: Importer, operator: Operator, order: Pads, place: str
) -> tuple[str, list[str]]:
    """Return weights and bias of a convolution of 8-bit codes."""
    if order != TO_NCHW:
        raise UnsupportedError(
            "depthwise convolutions of 8-bit tensors are not supported",
            where=place,
            expected="CONV_2D, or float32",
            found="int8",
            remedy="Convert the float network with lowbit quantize.",
        )
    weights = importer.value(operator.inputs[1])
    value = importer.graph.value(weights)
    coded = value.encoding is not None and value.data is not None
    require(coded, "weights have no scale", place, "constant int8 with scales", value.dtype)
    if operator.inputs[2:3] and operator.inputs[2] >= 0:
        return weights, [importer.value(operator.inputs[2])]
    zeros = np.zeros(int(value.shape[0]), np.int32)
    return weights, [importer.add_constant(f"{weights}_bias", zeros, "int32")]


def _padded(
    importer: Importer,
    index: int,
    options: Any,
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
    place: str,
) -> tuple[str, Pads]:
    """Return the map that an operator reads and its pads, those of a PAD in front of it included."""
    require(options.padding in (SAME, VALID), "unknown padding", place, "SAME or VALID", options.padding)
    before: Pads = (0, 0, 0, 0)
    if index in importer.padding:
        index, before = importer.padding[index]
    source = importer.map(index)
    lengths: list[Dimension] = list(importer.graph.value(source).shape[2:])
    fixed = [length for length in lengths if isinstance(length, int)]
    require(len(fixed) == 2, "a map has open lengths", place, "fixed height and width", lengths)
    padded = [fixed[0] + before[0] + before[2], fixed[1] + before[1] + before[3]]
    own = same_pads(padded, kernel, strides, dilations) if options.padding == SAME else (0, 0, 0, 0)
    return source, tuple(a + b for a, b in zip(before, own, strict=True))


def _require_no_edges(importer: Importer, index: int, place: str) -> None:
    if index in importer.padding:
        raise UnsupportedError(
            "a PAD can only stand in front of a convolution",
            where=place,
            expected="a convolution",
            found="a pool",
            remedy="Export the network with pads on its layers.",
        )


def _steps(options: Any, place: str) -> tuple[int, int]:
    strides = (options.stride_h, options.stride_w)
    require(
        min(strides) >= 1 and max(strides) <= MAX_STEP, "a stride is impossible", place, "1 or more", strides
    )
    return strides
