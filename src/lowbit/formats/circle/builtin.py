"""Builtin operators of Circle and TFLite as nodes of the graph: a table of small functions.

Each takes the importer, the operator and its place for messages. 8-bit tensors with quantization
parameters are codes of an affine encoding; FULLY_CONNECTED on them is a ``Linear`` of codes.
"""

from collections.abc import Callable
from math import prod

import numpy as np

from lowbit.errors import UnsupportedError
from lowbit.formats.circle import functions, maps, reductions
from lowbit.formats.circle.any_codes import OPERATORS
from lowbit.formats.circle.file_tensors import lengths_of, unsupported
from lowbit.formats.circle.graph_operators import is_graph_operator
from lowbit.formats.circle.importer import Importer, options_of
from lowbit.formats.circle.layers import THESIS_OPERATOR_NAME
from lowbit.formats.circle.schema import (
    LAYER_OPERATORS,
    AddOptions,
    DivOptions,
    FullyConnectedOptions,
    MulOptions,
    Operator,
    ReshapeOptions,
    SoftmaxOptions,
    SubOptions,
)
from lowbit.formats.circle.shapes import FOLDED
from lowbit.formats.circle.structure import Structure, require
from lowbit.formats.paths import first_path
from lowbit.formats.refused import Refused
from lowbit.ir.graph import Attribute, Dimension
from lowbit.ir.input_type import INTEGERS, InputType

Import = Callable[[Importer, Operator, str], None]


def refuse_unread(structure: Structure, refused: Refused) -> set[int]:
    """Note operators that nothing reads, and those that read variables, and return their numbers.

    Args:
        structure: the file.
        refused: is told each of them.
    """
    known = {*_IMPORTS, *FOLDED, *LAYER_OPERATORS, THESIS_OPERATOR_NAME, *OPERATORS}
    unread: dict[int, UnsupportedError] = {}
    for number, name in enumerate(structure.operators):
        place, inputs = structure.place(number), structure.subgraph.operators[number].inputs
        kept = [index for index in inputs if index >= 0 and structure.tensor(index).is_variable]
        if name not in known and not is_graph_operator(name):
            unread[number] = unsupported("operators that lowbit does not have", place, "", f"{name} (1)")
        elif kept:
            what = "variables that live from one call to the next are not supported"
            unread[number] = unsupported(what, place, "tensors of one call", structure.tensor(kept[0]).name)
    for number, error in unread.items():
        refused.add(error, output_name(structure, number), structure.operators[number])
    return set(unread)


def output_name(structure: Structure, number: int) -> str:
    """Return what people call an operator: the first of the paths that its output has for a name."""
    outputs = structure.subgraph.operators[number].outputs
    return first_path(structure.tensor(outputs[0]).name) if outputs else f"operator {number}"


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
            found=name,
            remedy="Export the network without it, or report which network needs it.",
        )
    least, most, function = _IMPORTS[name]
    present = len(operator.inputs)
    require(least <= present <= most, "wrong number of inputs", place, f"{least} to {most}", present)
    require(-1 not in operator.inputs[:least], "a required input is absent", place, "a tensor", -1)
    require(len(operator.outputs) == 1, "wrong number of outputs", place, 1, len(operator.outputs))
    function(importer, operator, place)


def _softmax(importer: Importer, operator: Operator, place: str) -> None:
    """``softmax(beta * x)`` along the last axis."""
    beta = options_of(operator, SoftmaxOptions(1.0)).beta
    require(bool(np.isfinite(beta)), "the softmax factor is not finite", place, "a number", beta)
    source, output = importer.real(operator.inputs[0]), importer.name(operator.outputs[0])
    if beta != 1.0:
        factor = importer.add_constant(f"{output}_beta", np.float32(beta))
        scaled = importer.add_computed(f"{output}_scaled", "float32", importer.shape(operator.inputs[0]))
        importer.node("Mul", (source, factor), scaled)
        source = scaled
    importer.compute("Softmax", (source,), operator.outputs[0])


def _log_softmax(importer: Importer, operator: Operator, place: str) -> None:
    importer.compute("LogSoftmax", (importer.real(operator.inputs[0]),), operator.outputs[0])


def _reshape(importer: Importer, operator: Operator, place: str) -> None:
    """The second input says the shape, or, in old files, the options do."""
    output = operator.outputs[0]
    index = operator.inputs[1] if len(operator.inputs) > 1 else -1
    target = importer.constant(index) if index >= 0 else None
    if target is None:
        wanted = options_of(operator, ReshapeOptions()).new_shape or lengths_of(importer.shape(output))
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
    moved(importer, "Reshape", operator.inputs[0], (name,), output)


def _reshaped(importer: Importer, operator: Operator, place: str) -> None:
    """SQUEEZE and EXPAND_DIMS: a reshape to what the file says of the result."""
    output = operator.outputs[0]
    shape = np.array(lengths_of(importer.shape(output)), np.int64)
    name = importer.add_constant(f"{importer.name(output)}_shape", shape, "int64")
    moved(importer, "Reshape", operator.inputs[0], (name,), output)


def moved(
    importer: Importer, op: str, source: int, rest: tuple[str, ...], output: int, **attributes: Attribute
) -> None:
    """Append an operator that only moves elements; codes keep what they mean, or are coded again."""
    before, after = importer.value(source), importer.value(output)
    if importer.graph.value(before).encoding == importer.graph.value(after).encoding:
        importer.node(op, (before, *rest), after, attributes=attributes)
    else:
        importer.compute(op, (importer.real(source), *rest), output, attributes=attributes)


def _cast(importer: Importer, operator: Operator, place: str) -> None:
    """A cast of an input of integers says that the numbers are taken as they are; others are not known."""
    index, inputs = operator.inputs[0], importer.structure.subgraph.inputs
    source, target = importer.graph.value(importer.value(index)), importer.type(operator.outputs[0])
    alone = sum(index in other.inputs for other in importer.structure.subgraph.operators) == 1
    if source.dtype in INTEGERS and target == "float32" and index in inputs and alone:
        if index == inputs[0]:
            InputType(source.dtype).remember(importer.graph)
        importer.graph.update(source.name, dtype="float32")
    elif (source.dtype, target) != ("float32", "float32"):
        raise UnsupportedError(
            "only an input of integers is cast, to float32",
            where=place,
            expected="integers to float32",
            found=f"{source.dtype} to {target}",
            remedy="Export the network without this cast.",
        )
    importer.node("Identity", (source.name,), importer.value(operator.outputs[0]))


def _quantize(importer: Importer, operator: Operator, place: str) -> None:
    """Floats, or other codes, to codes."""
    encoding = importer.encoding(operator.outputs[0])
    source, as_map = operator.inputs[0], importer.is_map(operator.inputs[0])
    found = importer.graph.value(importer.map(source) if as_map else importer.value(source))
    if encoding is None or (found.dtype != "float32" and found.encoding is None):
        raise UnsupportedError(
            "only float32 and 8-bit tensors can be quantized, to int8 or uint8",
            where=place,
            expected="float32 to an 8-bit tensor",
            found=found.dtype,
            remedy="Export the network in float32 or int8.",
        )
    require(encoding.channels == 1, "activations have one scale", place, 1, encoding.channels)
    if found.encoding == encoding:  # int8 of uint8, or the reverse
        importer.alias(operator.outputs[0], found.name, as_map=as_map)
        return
    real, output = importer.real(source, as_map), importer.output(operator.outputs[0], as_map)
    importer.node("Encode", (real,), output, domain="lowbit")


def _dequantize(importer: Importer, operator: Operator, place: str) -> None:
    """Codes to floats; float16 weights are constants that are stored like that."""
    source, output = operator.inputs[0], operator.outputs[0]
    data = importer.constant(source)
    if data is not None:
        importer.folded[output] = importer.decoded(source)
        return
    as_map = importer.is_map(source)
    found = importer.graph.value(importer.map(source) if as_map else importer.value(source))
    if found.encoding is None:
        raise unsupported("a dequantized tensor has no scale", place, "int8 or uint8 with one", found.dtype)
    importer.node("Decode", (found.name,), importer.output(output, as_map), domain="lowbit")


def _fully_connected(importer: Importer, operator: Operator, place: str) -> None:
    options = options_of(operator, FullyConnectedOptions())
    if options.weights_format:
        raise unsupported("shuffled weights are not supported", place, "weights in order", "shuffled ones")
    weights = importer.tensor(operator.inputs[1])
    require(len(weights.shape) == 2, "weights have the wrong rank", place, "2 dimensions", weights.shape)
    coded = (
        importer.constant(operator.inputs[0]) is None and importer.encoding(operator.inputs[0]) is not None
    )
    rank = len(importer.shape(operator.outputs[0]))
    if coded and rank == 2 and importer.encoding(operator.inputs[1]) is not None:
        _affine(importer, operator, options, place)
    else:
        _gemm(importer, operator, options, place)


def _gemm(importer: Importer, operator: Operator, options: FullyConnectedOptions, place: str) -> None:
    """``y = x W^T + b`` on rows; what is no matrix is reshaped before, and after where asked."""
    weights = importer.float_constant(operator.inputs[1])
    outputs, length = importer.tensor(operator.inputs[1]).shape
    source = _rows(importer, importer.real(operator.inputs[0]), length, place)
    bias = operator.inputs[2:3] if operator.inputs[2:3] != (-1,) else ()
    operands = (source, weights, *(importer.float_constant(index) for index in bias))
    output, code = operator.outputs[0], options.fused_activation_function
    shape = importer.shape(output)
    require(len(shape) > 0, "a layer's output has no dimensions", place, "1 or more", shape)
    if len(shape) == 2:
        importer.compute("Gemm", operands, output, code=code, attributes={"transB": 1}, place=place)
        return
    stem = importer.name(output)
    flat = importer.add_computed(f"{stem}_rows", "float32", (importer.graph.value(source).shape[0], outputs))
    importer.node("Gemm", operands, flat, transB=1)
    target = importer.add_constant(f"{stem}_shape", np.array(lengths_of(shape), np.int64), "int64")
    importer.compute("Reshape", (flat, target), output, code=code, place=place)


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
    value = importer.graph.value(source)
    rows = importer.add_computed(f"{source}_rows", value.dtype, (count, length), value.encoding)
    importer.node("Reshape", (source, target), rows)
    return rows


def _affine(importer: Importer, operator: Operator, options: FullyConnectedOptions, place: str) -> None:
    """Codes in, codes out."""
    source, weights = (importer.value(index) for index in operator.inputs[:2])
    outputs, length = importer.tensor(operator.inputs[1]).shape
    source = _rows(importer, source, length, place)
    if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
        bias = importer.value(operator.inputs[2])
    else:
        zeros = np.zeros(outputs, np.int32)
        bias = importer.add_constant(f"{importer.name(operator.outputs[0])}_bias", zeros, "int32")
    code = options.fused_activation_function
    importer.compute_codes("Linear", (source, weights, bias), operator.outputs[0], code, place)


_IMPORTS: dict[str, tuple[int, int, Import]] = {
    "ABS": (1, 1, functions.function("Abs")),
    "ADD": (2, 2, functions.binary("Add", AddOptions())),
    "AVERAGE_POOL_2D": (1, 1, maps.pool("AveragePool")),
    "CAST": (1, 1, _cast),
    "CONCATENATION": (1, 4096, maps.concatenation),
    "CONV_2D": (2, 3, maps.convolution),
    "DEPTHWISE_CONV_2D": (2, 3, maps.depthwise),
    "DEQUANTIZE": (1, 1, _dequantize),
    "DIV": (2, 2, functions.binary("Div", DivOptions())),
    "ELU": (1, 1, functions.function("Elu")),
    "EXP": (1, 1, functions.function("Exp")),
    "EXPAND_DIMS": (2, 2, _reshaped),
    "FULLY_CONNECTED": (2, 3, _fully_connected),
    "HARD_SWISH": (1, 1, functions.function("HardSwish")),
    "LEAKY_RELU": (1, 1, functions.function("LeakyRelu", functions.slope)),
    "LOG": (1, 1, functions.function("Log")),
    "LOGISTIC": (1, 1, functions.on_codes("Sigmoid")),
    "LOG_SOFTMAX": (1, 1, _log_softmax),
    "MAXIMUM": (2, 2, functions.bound("MAXIMUM")),
    "MAX_POOL_2D": (1, 1, maps.pool("MaxPool")),
    "MEAN": (2, 2, reductions.reduction("GlobalAveragePool")),
    "MINIMUM": (2, 2, functions.bound("MINIMUM")),
    "MUL": (2, 2, functions.binary("Mul", MulOptions())),
    "NEG": (1, 1, functions.negative),
    "PAD": (2, 2, maps.pad),
    "PADV2": (3, 3, maps.pad),
    "PRELU": (2, 2, functions.binary("PRelu")),
    "QUANTIZE": (1, 1, _quantize),
    "REDUCE_MAX": (2, 2, reductions.reduction("GlobalMaxPool")),
    "RELU": (1, 1, functions.on_codes("Relu")),
    **{name: (1, 1, functions.clip(*bounds)) for name, bounds in functions.CLIPS.items()},
    "RESHAPE": (1, 2, _reshape),
    "SOFTMAX": (1, 1, _softmax),
    "SQUEEZE": (1, 1, _reshaped),
    "SUB": (2, 2, functions.binary("Sub", SubOptions())),
    "TANH": (1, 1, functions.on_codes("Tanh")),
    "TRANSPOSE": (2, 2, maps.transpose),
}
"""Least and most inputs, and what reads the operator."""
