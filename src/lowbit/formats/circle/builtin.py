"""Builtin operators of Circle and TFLite as nodes of the graph: a table of small functions.

Each takes the importer, the operator and its place for messages. 8-bit tensors with quantization
parameters are codes of an affine encoding; FULLY_CONNECTED on them is ``AffineFullyConnected``.
"""

from collections.abc import Callable
from math import prod

import numpy as np

from lowbit.errors import UnsupportedError
from lowbit.formats.circle import maps
from lowbit.formats.circle.importer import Importer, options_of
from lowbit.formats.circle.schema import (
    AddOptions,
    DivOptions,
    FullyConnectedOptions,
    MulOptions,
    Operator,
    ReshapeOptions,
    SoftmaxOptions,
    SubOptions,
)
from lowbit.formats.circle.structure import require
from lowbit.ir.graph import Dimension, Shape
from lowbit.schemes import Affine, Encoding

Import = Callable[[Importer, Operator, str], None]


def import_builtin(importer: Importer, name: str, operator: Operator, place: str) -> None:
    """Append the nodes of a builtin operator.

    Raises:
        ModelFormatError: it has the wrong number of inputs or outputs, or operands that cannot be.
        UnsupportedError: lowbit does not have it.
    """
    if name not in _IMPORTS:
        raise UnsupportedError(
            "operator not supported",
            where=place,
            expected=", ".join(sorted(_IMPORTS)),
            found=name,
            remedy="Export the network without it, or report which network needs it.",
        )
    least, most, function = _IMPORTS[name]
    present = len(operator.inputs)
    require(least <= present <= most, "wrong number of inputs", place, f"{least} to {most}", present)
    require(-1 not in operator.inputs[:least], "a required input is absent", place, "a tensor", -1)
    require(len(operator.outputs) == 1, "wrong number of outputs", place, 1, len(operator.outputs))
    function(importer, operator, place)


def _unary(op: str) -> Import:
    def run(importer: Importer, operator: Operator, place: str) -> None:
        if importer.is_map(operator.inputs[0]):
            source = importer.map(operator.inputs[0])
            importer.node(op, (source,), importer.map_output(operator.outputs[0]))
            return
        importer.node(op, (importer.value(operator.inputs[0]),), importer.value(operator.outputs[0]))

    return run


def _binary(op: str, default: object) -> Import:
    def run(importer: Importer, operator: Operator, place: str) -> None:
        code = options_of(operator, default).fused_activation_function
        as_map = any(importer.is_map(index) for index in operator.inputs)
        result = importer.activated(code, operator.outputs[0], place, as_map=as_map)
        operands = (
            importer.map_operand(index, place) if as_map else importer.float_constant(index)
            for index in operator.inputs
        )
        importer.node(op, tuple(operands), result)
        importer.activate(code, result, operator.outputs[0])

    return run


def _softmax(importer: Importer, operator: Operator, place: str) -> None:
    """``softmax(beta * x)`` along the last axis."""
    beta = options_of(operator, SoftmaxOptions(1.0)).beta
    require(bool(np.isfinite(beta)), "the softmax factor is not finite", place, "a number", beta)
    source, output = _decoded(importer, operator.inputs[0]), importer.name(operator.outputs[0])
    if beta != 1.0:
        factor = importer.add_constant(f"{output}_beta", np.float32(beta))
        scaled = importer.add_computed(f"{output}_scaled", "float32", importer.shape(operator.inputs[0]))
        importer.node("Mul", (source, factor), scaled)
        source = scaled
    _encoded(importer, operator.outputs[0], "Softmax", source)


def _log_softmax(importer: Importer, operator: Operator, place: str) -> None:
    _encoded(importer, operator.outputs[0], "LogSoftmax", _decoded(importer, operator.inputs[0]))


def _decoded(importer: Importer, index: int) -> str:
    """Return a tensor as floats, by a ``Decode`` where it holds codes."""
    source = importer.value(index)
    if importer.graph.value(source).encoding is None:
        return source
    real = importer.add_computed(f"{source}_real", "float32", importer.shape(index))
    importer.node("Decode", (source,), real, domain="lowbit")
    return real


def _encoded(importer: Importer, index: int, op: str, source: str) -> None:
    """Append a float operator whose result is the tensor, by an ``Encode`` where that holds codes."""
    output = importer.value(index)
    if importer.graph.value(output).encoding is None:
        importer.node(op, (source,), output)
        return
    real = importer.add_computed(f"{output}_real", "float32", importer.shape(index))
    importer.node(op, (source,), real)
    importer.node("Encode", (real,), output, domain="lowbit")


def _reshape(importer: Importer, operator: Operator, place: str) -> None:
    """The second input says the shape, or, in old files, the options do."""
    output = operator.outputs[0]
    index = operator.inputs[1] if len(operator.inputs) > 1 else -1
    target = importer.constant(index) if index >= 0 else None
    if target is None:
        wanted = options_of(operator, ReshapeOptions()).new_shape or _lengths(importer.shape(output))
        require(len(wanted) > 0, "a reshape has no target", place, "1 dimension or more", wanted)
        name = importer.add_constant(f"{importer.name(output)}_shape", np.array(wanted, np.int64), "int64")
    else:
        require(
            target.ndim == 1 and len(target) > 0 and target.dtype.kind == "i",
            "a reshape target is no shape",
            place,
            "1 integer or more",
            f"{target.dtype} {target.shape}",
        )
        name = importer.int64(index)
    importer.node("Reshape", (importer.value(operator.inputs[0]), name), importer.value(output))


def _quantize(importer: Importer, operator: Operator, place: str) -> None:
    encoding = importer.encoding(operator.outputs[0])
    source = importer.value(operator.inputs[0])
    if encoding is not None and _same_codes(importer.graph.value(source).encoding, encoding):
        importer.alias(operator.outputs[0], source, as_map=False)  # int8 of uint8, or the reverse
        return
    if encoding is None or importer.graph.value(source).dtype != "float32":
        raise UnsupportedError(
            "only float32 can be quantized, to int8 or uint8",
            where=place,
            expected="float32 to an 8-bit tensor",
            found=importer.graph.value(source).dtype,
            remedy="Export the network without requantization.",
        )
    require(encoding.channels == 1, "activations have one scale", place, 1, encoding.channels)
    output = importer.value(operator.outputs[0])
    importer.node("Encode", (source,), output, domain="lowbit")


def _same_codes(first: Encoding | None, second: Affine) -> bool:
    """Whether codes of both mean the same, which int8 and uint8 do once they are moved by 128."""
    return (
        isinstance(first, Affine)
        and np.array_equal(first.scale, second.scale)
        and np.array_equal(first.zero_point, second.zero_point)
    )


def _dequantize(importer: Importer, operator: Operator, place: str) -> None:
    source = importer.value(operator.inputs[0])
    found = importer.graph.value(source)
    require(
        found.encoding is not None,
        "a dequantized tensor has no scale",
        place,
        "int8 or uint8 with one",
        found.dtype,
    )
    importer.node("Decode", (source,), importer.value(operator.outputs[0]), domain="lowbit")


def _fully_connected(importer: Importer, operator: Operator, place: str) -> None:
    options = options_of(operator, FullyConnectedOptions())
    require(
        options.weights_format == 0, "shuffled weights are not supported", place, 0, options.weights_format
    )
    weights = importer.tensor(operator.inputs[1])
    require(len(weights.shape) == 2, "weights have the wrong rank", place, "2 dimensions", weights.shape)
    if importer.constant(operator.inputs[0]) is None and importer.encoding(operator.inputs[0]) is not None:
        _affine(importer, operator, options, place)
    else:
        _gemm(importer, operator, options, place)


def _gemm(importer: Importer, operator: Operator, options: FullyConnectedOptions, place: str) -> None:
    """``y = x W^T + b`` on rows; what is no matrix is reshaped before, and after where asked."""
    weights = importer.float_constant(operator.inputs[1])
    outputs, length = importer.tensor(operator.inputs[1]).shape
    output = operator.outputs[0]
    code = options.fused_activation_function
    result = importer.activated(code, output, place)
    source = _rows(importer, importer.value(operator.inputs[0]), length, place)
    bias = operator.inputs[2:3] if operator.inputs[2:3] != (-1,) else ()
    operands = (source, weights, *(importer.float_constant(index) for index in bias))
    shape = importer.shape(output)
    require(len(shape) > 0, "a layer's output has no dimensions", place, "1 or more", shape)
    if len(shape) == 2:
        importer.node("Gemm", operands, result, transB=1)
    else:
        flat = importer.add_computed(
            result + "_rows", "float32", (importer.graph.value(source).shape[0], outputs)
        )
        importer.node("Gemm", operands, flat, transB=1)
        target = importer.add_constant(f"{result}_shape", np.array(_lengths(shape), np.int64), "int64")
        importer.node("Reshape", (flat, target), result)
    importer.activate(code, result, output)


def _rows(importer: Importer, source: str, length: int, place: str) -> str:
    """Return the value as a matrix with rows of that length."""
    shape = importer.graph.value(source).shape
    if len(shape) == 2 and shape[1] == length:
        return source
    known = prod(extent for extent in shape if isinstance(extent, int))
    require(
        length > 0 and known % length == 0,
        "rows do not fit the weights",
        place,
        f"a multiple of {length}",
        shape,
    )
    names = [extent for extent in shape if isinstance(extent, str)]
    count: Dimension = names[0] if names and known == length else known // length
    require(not names or known == length, "rows do not fit the weights", place, f"{length} per sample", shape)
    target = importer.add_constant(f"{source}_rows_shape", np.array([-1, length], np.int64), "int64")
    rows = importer.add_computed(f"{source}_rows", "float32", (count, length))
    importer.node("Reshape", (source, target), rows)
    return rows


def _affine(importer: Importer, operator: Operator, options: FullyConnectedOptions, place: str) -> None:
    """Codes in, codes out. A fused activation works on codes, as a node of its own."""
    output = operator.outputs[0]
    code = options.fused_activation_function
    source, weights = (importer.value(index) for index in operator.inputs[:2])
    outputs = importer.tensor(operator.inputs[1]).shape[0]
    require(
        importer.graph.value(weights).encoding is not None,
        "weights have no scale",
        place,
        "int8 with scales",
        weights,
    )
    result = importer.activated(code, output, place)
    if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
        bias = importer.value(operator.inputs[2])
    else:
        bias = importer.add_constant(f"{importer.name(output)}_bias", np.zeros(outputs, np.int32), "int32")
    importer.node("AffineFullyConnected", (source, weights, bias), result, domain="lowbit")
    importer.activate(code, result, output)


def _lengths(shape: Shape) -> tuple[int, ...]:
    return tuple(-1 if isinstance(extent, str) else extent for extent in shape)


_IMPORTS: dict[str, tuple[int, int, Import]] = {
    "ADD": (2, 2, _binary("Add", AddOptions())),
    "AVERAGE_POOL_2D": (1, 1, maps.pool("AveragePool")),
    "CONCATENATION": (1, 4096, maps.concatenation),
    "CONV_2D": (2, 3, maps.convolution),
    "DEPTHWISE_CONV_2D": (2, 3, maps.depthwise),
    "DEQUANTIZE": (1, 1, _dequantize),
    "DIV": (2, 2, _binary("Div", DivOptions())),
    "FULLY_CONNECTED": (2, 3, _fully_connected),
    "LOGISTIC": (1, 1, _unary("Sigmoid")),
    "LOG_SOFTMAX": (1, 1, _log_softmax),
    "MAX_POOL_2D": (1, 1, maps.pool("MaxPool")),
    "MEAN": (2, 2, maps.whole_map("GlobalAveragePool")),
    "MUL": (2, 2, _binary("Mul", MulOptions())),
    "PAD": (2, 2, maps.pad),
    "QUANTIZE": (1, 1, _quantize),
    "REDUCE_MAX": (2, 2, maps.whole_map("GlobalMaxPool")),
    "RELU": (1, 1, _unary("Relu")),
    "RESHAPE": (1, 2, _reshape),
    "SOFTMAX": (1, 1, _softmax),
    "SUB": (2, 2, _binary("Sub", SubOptions())),
    "TANH": (1, 1, _unary("Tanh")),
    "TRANSPOSE": (2, 2, maps.transpose),
}
"""Least and most inputs, and what reads the operator."""
