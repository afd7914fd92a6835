"""Builtin operators on maps [n, h, w, c] as nodes on [n, c, h, w]: the mirror of `map_lowering`.

A PAD in front of a convolution or a pool becomes its pads where that means the same, and a TRANSPOSE between
the layouts disappears.
"""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.formats.circle import functions, moving
from lowbit.formats.circle.coded_values import as_int8
from lowbit.formats.circle.file_tensors import LOWEST, unsupported
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
)
from lowbit.formats.circle.structure import require
from lowbit.ir.graph import Attribute, Dimension

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


def pool(op: str, *, squares: bool = False) -> Import:
    """Return what imports a pool, or the root of a mean of squares.

    Pads before it count in a mean; those of lowest numbers win no maximum.
    """

    def run(importer: Importer, operator: Operator, place: str) -> None:
        options, source, output = (
            options_of(operator, Pool2DOptions()),
            operator.inputs[0],
            operator.outputs[0],
        )
        kernel = (options.filter_height, options.filter_width)
        strides = _steps(options, place)
        possible = min(kernel) >= 1 and max(kernel) <= MAX_STEP
        require(possible, "a pool is impossible", place, "1 or more", kernel)
        fill = LOWEST if op == "MaxPool" else 0.0
        folds = options.padding == VALID and _hides(importer, source, kernel, fill)
        index, pads = _padded(importer, source, options, kernel, strides, (1, 1), place, folds)
        attributes: dict[str, Attribute] = {"kernel_shape": kernel, "strides": strides, "pads": pads}
        if op == "AveragePool" and folds:
            attributes["count_include_pad"] = 1
        code = options.fused_activation_function
        if op == "MaxPool" and not code and importer.encoding_of(index) == importer.encoding_of(output):
            importer.node(op, (importer.map(index),), importer.map_output(output), attributes=attributes)
            return
        real = importer.real(index, as_map=True)
        if squares:
            stem = importer.name(output)
            squared = importer.insert("Mul", (real, real), stem)
            mean = importer.insert(op, (squared,), stem, attributes=attributes)
            importer.compute("Sqrt", (mean,), output, code=code, as_map=True, place=place)
            return
        thresholds = None
        if importer.foreign and op == "AveragePool":
            thresholds = _away_from_zero(importer, output, prod(kernel))
        importer.compute(
            op,
            (real,),
            output,
            code=code,
            as_map=True,
            attributes=attributes,
            place=place,
            thresholds=thresholds,
        )

    return run


def _away_from_zero(importer: Importer, index: int, count: int) -> npt.NDArray[np.float32] | None:
    """Return the thresholds of codes of means as TFLite rounds them: half a step away from the integer zero.

    A mean of n codes is a multiple of 1/n steps, n at most ``count``: a quarter of that beside the middle
    of two codes separates what goes up there from what goes down, whatever float32 makes of it.
    """
    encoding = as_int8(importer.encoding_of(index))
    if encoding is None or encoding.channels > 1:
        return None
    zero = 128 if importer.type(index) == "int8" else 0
    codes = np.arange(1, 256)
    middle = codes - 0.5 + np.where(codes > zero, -0.25, 0.25) / count
    return np.asarray(encoding.scale[0] * (middle - encoding.zero_point[0]), np.float32)


def pad(importer: Importer, operator: Operator, place: str) -> None:
    """PAD and PADV2: what is around a map is left to the layer that reads it, where that can take it over."""
    edges, source, output = importer.constant(operator.inputs[1]), operator.inputs[0], operator.outputs[0]
    rank = len(importer.tensor(source).shape)
    fits = edges is not None and edges.shape == (rank, 2) and edges.dtype.kind == "i"
    if not fits or edges is None or int(edges.min()) < 0 or int(edges.max()) > MAX_STEP:
        found = "computed edges" if edges is None else str(edges.tolist())[:80]
        raise unsupported(
            "pads must be constant", place, f"two numbers from 0 for each of {rank} axes", found
        )
    same = importer.encoding_of(source) == importer.encoding_of(output)
    if importer.foreign and same and not edges.any():
        importer.stand_for(output, source)
        return
    fill = 0.0 if len(operator.inputs) < 3 else importer.number(operator.inputs[2], place)
    around = rank == 4 and not edges[[0, 3]].any()
    if around and same:
        pads = (int(edges[1, 0]), int(edges[2, 0]), int(edges[1, 1]), int(edges[2, 1]))
        importer.padding[output] = source, pads, fill
    else:
        operands = (
            functions.operand(importer, source, False, place),
            *importer.pad_operands(output, tuple(edges.T.reshape(-1)), fill),
        )
        importer.compute("Pad", operands, output)


def transpose(importer: Importer, operator: Operator, place: str) -> None:
    """TRANSPOSE: from one layout of maps to the other it disappears."""
    source, output = operator.inputs[0], operator.outputs[0]
    order = importer.constant(operator.inputs[1])
    if order is None:
        raise unsupported("a computed order of axes is not supported", place, "a constant", "a tensor")
    perm = tuple(int(axis) for axis in order.reshape(-1))
    rank = len(importer.tensor(source).shape)
    require(sorted(perm) == list(range(rank)), "an order of axes is none", place, f"0 to {rank - 1}", perm)
    if perm == TO_NCHW and importer.is_map(source):
        importer.alias(output, importer.map(source), as_map=False)
    elif perm == TO_NHWC and not importer.is_map(source):
        importer.alias(output, importer.value(source), as_map=True)
    else:
        moving.moved(importer, "Transpose", source, (), output, perm=perm)


def concatenation(importer: Importer, operator: Operator, place: str) -> None:
    """CONCATENATION, of maps along another axis than the file says; parts of other codes are coded again."""
    options, output = options_of(operator, ConcatenationOptions()), operator.outputs[0]
    rank = len(importer.tensor(output).shape)
    require(-rank <= options.axis < rank, "an axis is out of range", place, f"below {rank}", options.axis)
    as_map = functions.together_as_maps(importer, operator.inputs)
    axis = TO_NHWC[options.axis % rank] if as_map else options.axis % rank
    inputs = [index for index in operator.inputs if importer.shape(index)[options.axis] != 0]
    inputs = inputs if importer.foreign and inputs else list(operator.inputs)
    meanings = [importer.encoding_of(index) for index in (*inputs, output)]
    computed = all(importer.constant(index) is None for index in inputs)
    if computed and not options.fused_activation_function and all(m == meanings[0] for m in meanings):
        parts = tuple(importer.map(index) if as_map else importer.value(index) for index in inputs)
        importer.node("Concat", parts, importer.output(output, as_map), axis=axis)
        return
    reals = tuple(functions.operand(importer, index, as_map, place) for index in inputs)
    code = options.fused_activation_function
    importer.compute(
        "Concat", reals, output, code=code, as_map=as_map, attributes={"axis": axis}, place=place
    )


def _convolution(
    importer: Importer,
    operator: Operator,
    options: Any,
    kernel: tuple[int, ...],
    order: tuple[int, ...],
    place: str,
) -> None:
    strides, dilations = _steps(options, place), (options.dilation_h_factor, options.dilation_w_factor)
    possible = min(dilations) >= 1 and max(dilations) <= MAX_STEP
    require(possible, "a dilation is impossible", place, 1, dilations)
    pad = importer.padding.get(operator.inputs[0])
    folds = pad is not None and pad[2] == 0
    index, pads = _padded(importer, operator.inputs[0], options, kernel, strides, dilations, place, folds)
    source, output, code = importer.map(index), operator.outputs[0], options.fused_activation_function
    coded = importer.is_coded(source) and _has_codes(importer, operator.inputs[1])
    if coded:
        weights, bias_operand = _coded_constants(importer, operator, order, place)
        per_group: Dimension = importer.graph.value(weights).shape[3]
    else:
        importer.note_weights(index, operator.inputs[1])
        source = importer.real(index, as_map=True)
        weights = importer.moved_constant(operator.inputs[1], order, place)
        per_group = importer.graph.value(weights).shape[1]
        bias_operand = [importer.float_constant(i) for i in operator.inputs[2:3] if i >= 0]
    channels = importer.graph.value(source).shape[1]
    fits = isinstance(channels, int) and isinstance(per_group, int) and channels % per_group == 0
    require(fits, "channels do not fit the weights", place, f"a multiple of {per_group}", channels)
    assert isinstance(channels, int) and isinstance(per_group, int)
    window = {"kernel_shape": kernel, "strides": strides, "pads": pads, "dilations": dilations}
    attributes: dict[str, Attribute] = {**window, "group": channels // per_group}
    operands = (source, weights, *bias_operand)
    if coded:
        importer.compute_codes(
            "Convolution", operands, output, code, place, as_map=True, attributes=attributes
        )
    else:
        importer.compute("Conv", operands, output, code=code, as_map=True, attributes=attributes, place=place)


def _has_codes(importer: Importer, index: int) -> bool:
    """Return whether weights are constant 8-bit codes."""
    parameters, data = importer.tensor(index).quantization, importer.constant(index)
    scaled = parameters is not None and parameters.scale is not None and len(parameters.scale)
    return data is not None and data.dtype.itemsize == 1 and bool(scaled)


def _coded_constants(
    importer: Importer, operator: Operator, order: Pads, place: str
) -> tuple[str, list[str]]:
    """Return weights [o, h, w, c / group] and bias of a convolution of 8-bit codes."""
    weights = importer.coded_weights(operator.inputs[1], depthwise=order != TO_NCHW)
    if operator.inputs[2:3] and operator.inputs[2] >= 0:
        return weights, [importer.value(operator.inputs[2])]
    zeros = np.zeros(int(importer.graph.value(weights).shape[0]), np.int32)
    return weights, [importer.add_constant(f"{weights}_bias", zeros, "int32")]


def _padded(
    importer: Importer,
    index: int,
    options: Any,
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
    place: str,
    folds: bool,
) -> tuple[int, Pads]:
    """Return the tensor that an operator reads and its pads, with those of a PAD before it that folds."""
    require(options.padding in (SAME, VALID), "unknown padding", place, "SAME or VALID", options.padding)
    before: Pads = (0, 0, 0, 0)
    if folds:
        index, before, _ = importer.padding[index]
    lengths = list(importer.shape(index)[1:3])
    fixed = [length for length in lengths if isinstance(length, int)]
    if len(fixed) != 2:
        raise unsupported("a map has open lengths", place, "fixed height and width", lengths)
    padded = [fixed[0] + before[0] + before[2], fixed[1] + before[1] + before[3]]
    own = same_pads(padded, kernel, strides, dilations) if options.padding == SAME else (0, 0, 0, 0)
    return index, tuple(a + b for a, b in zip(before, own, strict=True))


def _hides(importer: Importer, index: int, kernel: tuple[int, ...], fill: float) -> bool:
    """Return whether a pad of that number stands before a pool whose every window sees the map."""
    found = importer.padding.get(index)
    return (
        found is not None
        and found[2] == fill
        and all(p < k for p, k in zip(found[1], kernel * 2, strict=True))
    )


def _steps(options: Any, place: str) -> tuple[int, int]:
    strides = (options.stride_h, options.stride_w)
    require(
        min(strides) >= 1 and max(strides) <= MAX_STEP, "a stride is impossible", place, "1 or more", strides
    )
    return strides
