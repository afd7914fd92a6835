"""Builtin operators of Circle and TFLite as nodes of the graph: a table of small functions.

Each takes the importer, the operator and its place for messages. 8-bit tensors with quantization
parameters are codes of an affine encoding; FULLY_CONNECTED on them is a ``Linear`` of codes.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from lowbit.errors import UnsupportedError
from lowbit.formats.batch import BATCH
from lowbit.formats.circle import (
    choices,
    exchanges,
    functions,
    maps,
    moving,
    recurrent,
    reductions,
    resizing,
    shapes,
    slices,
)
from lowbit.formats.circle.any_codes import OPERATORS
from lowbit.formats.circle.calls import CALLING
from lowbit.formats.circle.file_tensors import lengths_of, unsupported
from lowbit.formats.circle.graph_operators import is_graph_operator
from lowbit.formats.circle.importer import Importer, options_of
from lowbit.formats.circle.layers import THESIS_OPERATOR_NAME
from lowbit.formats.circle.schema import (
    LAYER_OPERATORS,
    TENSOR_TYPES,
    AddOptions,
    DivOptions,
    FullyConnectedOptions,
    MulOptions,
    Operator,
    ReshapeOptions,
    SoftmaxOptions,
    SubOptions,
)
from lowbit.formats.circle.structure import Structure, graphs_of, require
from lowbit.formats.paths import first_path
from lowbit.formats.refused import Refused
from lowbit.ir.graph import Array, Attribute
from lowbit.ir.input_type import INTEGERS, InputType
from lowbit.ir.lengths import dimension_of, length_of, product
from lowbit.ir.operators.logic import CASTS

Import = Callable[[Importer, Operator, str], None]


def refuse_unread(structure: Structure, refused: Refused) -> set[int]:
    """Note operators that nothing reads, and those that keep variables, and return their numbers.

    A call of a graph with such operators is one of them.

    Args:
        structure: the file.
        refused: is told each of them.
    """
    _refuse_words(structure, refused)
    unread: dict[int, UnsupportedError] = {}
    for number, operator in enumerate(structure.subgraph.operators):
        error = _unread(structure, number)
        if error is not None:
            unread[number] = error
        called = [structure.called[each] for each in graphs_of(operator)]
        if structure.operators[number] != "CALL_ONCE":
            inside = [_unread_inside(graph, refused, ()) for graph in called]
            if any(inside):
                place = structure.place(number)
                unread[number] = unsupported("a graph that is called", place, "", "what it lacks")
    for number, error in unread.items():
        refused.add(error, output_name(structure, number), structure.operators[number])
    return set(unread)


def _unread(structure: Structure, number: int) -> UnsupportedError | None:
    """Return why an operator is not read, if that can be said without reading it."""
    known = {*_IMPORTS, *_OF_SEVERAL, *CALLING, *LAYER_OPERATORS, THESIS_OPERATOR_NAME, *OPERATORS}
    name, place = structure.operators[number], structure.place(number)
    if name not in known and not is_graph_operator(name):
        return unsupported("operators that lowbit does not have", place, "", f"{name} (1)")
    inputs = structure.subgraph.operators[number].inputs
    kept = [index for index in inputs if index >= 0 and structure.tensor(index).is_variable]
    if kept and name not in _RECURRENT:
        what = "variables that live from one call to the next are not supported"
        return unsupported(what, place, "tensors of one call", structure.tensor(kept[0]).name)
    return None


def _unread_inside(structure: Structure, refused: Refused, above: tuple[str, ...]) -> bool:
    """Note operators of a graph that is called and of those that it calls; return whether there are some."""
    if structure.where in above:
        return False
    found = False
    for number, operator in enumerate(structure.subgraph.operators):
        error = _unread(structure, number)
        if error is not None:
            refused.add(error, output_name(structure, number), structure.operators[number])
        graphs = [structure.called[each] for each in graphs_of(operator)]
        inside = [_unread_inside(graph, refused, (*above, structure.where)) for graph in graphs]
        found = found or error is not None or any(inside)
    return found


def _refuse_words(structure: Structure, refused: Refused) -> None:
    """Note numbers that are computed in 16 bits, as int16x8 files have them."""
    subgraph = structure.subgraph
    ends = {*subgraph.inputs, *(index for each in subgraph.operators for index in each.outputs)}
    computed = [structure.tensor(index) for index in ends]
    count = sum(each.type == TENSOR_TYPES["int16"] and not each.is_variable for each in computed)
    if count:
        error = UnsupportedError(
            "activations of 16 bits (int16x8) are not supported",
            where=structure.where,
            expected="float32, int8 or uint8",
            found=f"int16 in {count} tensors",
            remedy="Convert the network with int8 activations, or as float.",
        )
        refused.add(error, structure.where, "int16")
        refused.raise_all()


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
    if name not in _IMPORTS and name not in _OF_SEVERAL:
        raise UnsupportedError(
            "operator not supported",
            where=place,
            found=name,
            remedy="Export the network without it, or report which network needs it.",
        )
    least, most, function = _IMPORTS.get(name) or _OF_SEVERAL[name]
    present, outputs = len(operator.inputs), len(operator.outputs)
    require(least <= present <= most, "wrong number of inputs", place, f"{least} to {most}", present)
    require(-1 not in operator.inputs[:least], "a required input is absent", place, "a tensor", -1)
    counts = outputs >= 1 if name in _OF_SEVERAL else outputs == 1
    require(counts, "wrong number of outputs", place, 1, outputs)
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
        fits = target.ndim == 1 and target.dtype.kind in "iO" and (len(target) > 0 or importer.foreign)
        found = f"{target.dtype} {target.shape}"
        require(fits, "a reshape target is no shape", place, "1 integer or more", found)
        name = importer.value(index) if target.dtype == object else importer.int64(index)
        if importer.foreign and _is_undone(importer, operator, target):
            return
    moving.moved(importer, "Reshape", operator.inputs[0], (name,), output)


def _is_undone(importer: Importer, operator: Operator, target: Array) -> bool:
    """Let the result of a reshape be what another one read, where it has that shape again."""
    source, output = operator.inputs[0], operator.outputs[0]
    if importer.constant(source) is not None or importer.is_map(source):
        return False
    maker = importer.makers.get(importer.value(source))
    if maker is None or maker.op != "Reshape":
        return False
    before = importer.graph.value(maker.inputs[0])
    wanted = [BATCH if str(length) == BATCH else length for length in target]
    lengths = [BATCH if length == -1 else length for length in wanted]
    same = list(map(str, before.shape)) == list(map(str, lengths))
    if not same or before.encoding != importer.encoding_of(output):
        return False
    importer.alias(output, before.name, as_map=False)
    return True


def _cast(importer: Importer, operator: Operator, place: str) -> None:
    """A cast of an input of integers, to floats, says that the numbers are taken as they are."""
    index, inputs = operator.inputs[0], importer.structure.subgraph.inputs
    target = importer.type(operator.outputs[0])
    alone = sum(index in other.inputs for other in importer.structure.subgraph.operators) == 1
    if importer.constant(index) is None and target == "float32" and index in inputs and alone:
        source = importer.graph.value(importer.value(index))
        if source.dtype in INTEGERS:
            if index == inputs[0]:
                InputType(source.dtype).remember(importer.graph)
            importer.graph.update(source.name, dtype="float32")
            importer.node("Identity", (source.name,), importer.value(operator.outputs[0]))
            return
    source_name, as_map = functions.only_operand(importer, operator)
    if target not in CASTS:
        raise unsupported("a cast to this type", place, ", ".join(CASTS), target)
    if importer.dtype(source_name) == target:
        importer.compute("Identity", (source_name,), operator.outputs[0], as_map=as_map)
    else:
        attributes: dict[str, Attribute] = {"to": CASTS[target]}
        importer.compute("Cast", (source_name,), operator.outputs[0], as_map=as_map, attributes=attributes)


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
    computed = importer.constant(operator.inputs[0]) is None
    coded = computed and importer.encoding(operator.inputs[0]) is not None
    importer.note_weights(operator.inputs[0], operator.inputs[1])
    rank, shape = len(importer.shape(operator.outputs[0])), importer.shape(operator.inputs[0])
    inner = _tokens(importer, operator, weights.shape[1]) if importer.foreign else ""
    if inner:
        _on_tokens(importer, operator, options, inner, place)
        return
    keeps = importer.foreign and options.keep_num_dims and len(shape) > 2
    fits = not keeps or shape[-1] == weights.shape[1]
    require(fits, "rows do not fit the weights", place, weights.shape, shape)
    if coded and (rank == 2 or keeps) and importer.encoding(operator.inputs[1]) is not None:
        _affine(importer, operator, options, keeps, place)
    elif keeps or importer.constant(operator.inputs[1]) is None:
        _product(importer, operator, options, place)
    else:
        _gemm(importer, operator, options, place)


def _tokens(importer: Importer, operator: Operator, length: int) -> str:
    """Return the value [..., length] whose rows a layer reads, where a reshape makes a matrix of them."""
    if importer.constant(operator.inputs[0]) is not None:
        return ""
    maker = importer.makers.get(importer.value(operator.inputs[0]))
    if maker is None or maker.op != "Reshape" or len(importer.shape(operator.outputs[0])) != 2:
        return ""
    shape = importer.graph.value(maker.inputs[0]).shape
    return maker.inputs[0] if len(shape) > 2 and shape[-1] == length else ""


def _on_tokens(
    importer: Importer, operator: Operator, options: FullyConnectedOptions, inner: str, place: str
) -> None:
    """Append a layer of rows as one of tokens, and the reshape behind it."""
    output, shape = operator.outputs[0], importer.graph.value(inner).shape
    wide = (*shape[:-1], importer.tensor(operator.inputs[1]).shape[0])
    source, result = (
        importer.another(operator.inputs[0], shape, inner),
        importer.another(output, wide, ""),
    )
    again = replace(
        operator,
        inputs=(source, *operator.inputs[1:]),
        outputs=(result,),
        builtin_options=replace(options, keep_num_dims=True),
    )
    _fully_connected(importer, again, place)
    row = importer.integers([-1, wide[-1]], f"{importer.name(output)}_shape")
    moving.moved(importer, "Reshape", result, (row,), output)


def _product(importer: Importer, operator: Operator, options: FullyConnectedOptions, place: str) -> None:
    """``y = x W^T + b`` along the last axis, whatever is before it; weights may be computed."""
    output, code = operator.outputs[0], options.fused_activation_function
    source, stem = functions.operand(importer, operator.inputs[0], False, place), importer.name(output)
    if importer.constant(operator.inputs[1]) is not None:
        weights = importer.moved_constant(operator.inputs[1], (1, 0), place)
    else:
        weights = importer.insert("Transpose", (importer.real(operator.inputs[1]),), stem, perm=(1, 0))
    if len(operator.inputs) < 3 or operator.inputs[2] < 0:
        importer.compute("MatMul", (source, weights), output, code=code, place=place)
        return
    bias = functions.operand(importer, operator.inputs[2], False, place)
    product = importer.insert("MatMul", (source, weights), stem)
    importer.compute("Add", (product, bias), output, code=code, place=place)


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
    try:
        count = dimension_of(product(shape) // length) if length > 0 else -1
    except ArithmeticError:
        count = -1
    fits = count != -1 and product(shape) == length_of(count) * length
    require(fits, "rows do not fit the weights", place, f"a multiple of {length}", shape)
    target = importer.add_constant(f"{source}_rows_shape", np.array([-1, length], np.int64), "int64")
    value = importer.graph.value(source)
    rows = importer.add_computed(f"{source}_rows", value.dtype, (count, length), value.encoding)
    importer.node("Reshape", (source, target), rows)
    return rows


def _affine(
    importer: Importer, operator: Operator, options: FullyConnectedOptions, keeps: bool, place: str
) -> None:
    """Codes in, codes out."""
    source, weights = (importer.value(index) for index in operator.inputs[:2])
    outputs, length = importer.tensor(operator.inputs[1]).shape
    source = source if keeps else _rows(importer, source, length, place)
    if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
        bias = importer.value(operator.inputs[2])
    else:
        zeros = np.zeros(outputs, np.int32)
        bias = importer.add_constant(f"{importer.name(operator.outputs[0])}_bias", zeros, "int32")
    code = options.fused_activation_function
    importer.compute_codes("Linear", (source, weights, bias), operator.outputs[0], code, place)


def _densify(importer: Importer, operator: Operator, place: str) -> None:
    """DENSIFY: a sparse constant is read dense."""
    if importer.constant(operator.inputs[0]) is None:
        raise unsupported("what is made dense must be constant", place, "a constant", "a tensor")
    importer.stand_for(operator.outputs[0], operator.inputs[0])


_RECURRENT: dict[str, tuple[int, int, Import]] = {
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (1, 24, recurrent.lstm),
    "UNIDIRECTIONAL_SEQUENCE_RNN": (5, 5, recurrent.rnn),
}

_IMPORTS: dict[str, tuple[int, int, Import]] = {
    **{name: (1, 1, functions.function(op)) for name, op in functions.FUNCTIONS.items()},
    **{name: (1, 1, functions.clip(*bounds)) for name, bounds in functions.CLIPS.items()},
    **{name: (2, 2, functions.binary(op)) for name, op in functions.PAIRS.items()},
    **{name: (2, 2, reductions.reduction(op)) for name, op in reductions.REDUCTIONS.items()},
    **_RECURRENT,
    "ADD": (2, 2, functions.binary("Add", AddOptions())),
    "ADD_N": (1, 4096, functions.total),
    "ARG_MAX": (2, 2, reductions.place_of("ArgMax")),
    "ARG_MIN": (2, 2, reductions.place_of("ArgMin")),
    "AVERAGE_POOL_2D": (1, 1, maps.pool("AveragePool")),
    "BATCH_MATMUL": (2, 2, resizing.product),
    "BATCH_TO_SPACE_ND": (3, 3, exchanges.from_samples),
    "BROADCAST_ARGS": (2, 2, shapes.broadcast_shape),
    "BROADCAST_TO": (2, 2, choices.broadcast),
    "CAST": (1, 1, _cast),
    "CONCATENATION": (1, 4096, maps.concatenation),
    "CONV_2D": (2, 3, maps.convolution),
    "CUMSUM": (2, 2, reductions.cumulative),
    "Convolution2DTransposeBias": (3, 3, resizing.transposed_with_bias),
    "DENSIFY": (1, 1, _densify),
    "DEPTHWISE_CONV_2D": (2, 3, maps.depthwise),
    "DEPTH_TO_SPACE": (1, 1, exchanges.channels_to_places),
    "DEQUANTIZE": (1, 1, _dequantize),
    "DIV": (2, 2, functions.binary("Div", DivOptions())),
    "EMBEDDING_LOOKUP": (2, 2, choices.lookup),
    "EXPAND_DIMS": (2, 2, shapes.widened),
    "FILL": (2, 2, choices.filled),
    "FLOOR_DIV": (2, 2, functions.paired(functions.floor_quotient)),
    "FLOOR_MOD": (2, 2, functions.paired(functions.floor_rest)),
    "FULLY_CONNECTED": (2, 3, _fully_connected),
    "GATHER": (2, 2, choices.gather),
    "GATHER_ND": (2, 2, choices.gather_places),
    "GELU": (1, 1, functions.gelu),
    "L2_NORMALIZATION": (1, 1, functions.normalized),
    "L2_POOL_2D": (1, 1, maps.pool("AveragePool", squares=True)),
    "LEAKY_RELU": (1, 1, functions.function("LeakyRelu", functions.slope)),
    "LOCAL_RESPONSE_NORMALIZATION": (1, 1, resizing.local_normalization),
    "LOGISTIC": (1, 1, functions.on_codes("Sigmoid")),
    "LOG_SOFTMAX": (1, 1, _log_softmax),
    "MAXIMUM": (2, 2, functions.bound("MAXIMUM")),
    "MAX_POOL_2D": (1, 1, maps.pool("MaxPool")),
    "MEAN": (2, 2, reductions.pooled("GlobalAveragePool", "ReduceMean")),
    "MINIMUM": (2, 2, functions.bound("MINIMUM")),
    "MIRROR_PAD": (2, 2, choices.mirrored),
    "MUL": (2, 2, functions.binary("Mul", MulOptions())),
    "NEG": (1, 1, functions.negative),
    "NOT_EQUAL": (2, 2, functions.paired(functions.unequal)),
    "ONE_HOT": (4, 4, choices.one_hot),
    "PACK": (1, 4096, slices.pack),
    "PAD": (2, 2, maps.pad),
    "PADV2": (3, 3, maps.pad),
    "QUANTIZE": (1, 1, _quantize),
    "RANGE": (3, 3, choices.ranged),
    "RANK": (1, 1, shapes.rank),
    "REDUCE_MAX": (2, 2, reductions.pooled("GlobalMaxPool", "ReduceMax")),
    "RELU": (1, 1, functions.on_codes("Relu")),
    "RESHAPE": (1, 2, _reshape),
    "RESIZE_BILINEAR": (2, 2, resizing.resize("linear")),
    "RESIZE_NEAREST_NEIGHBOR": (2, 2, resizing.resize("nearest")),
    "REVERSE_V2": (2, 2, slices.reversed_along),
    "RSQRT": (1, 1, functions.composed(functions.reciprocal_root)),
    "SELECT": (3, 3, functions.select(rows=True)),
    "SELECT_V2": (3, 3, functions.select(rows=False)),
    "SHAPE": (1, 1, shapes.shape),
    "SLICE": (3, 3, slices.part),
    "SOFTMAX": (1, 1, _softmax),
    "SPACE_TO_BATCH_ND": (3, 3, exchanges.to_samples),
    "SPACE_TO_DEPTH": (1, 1, exchanges.places_to_channels),
    "SQUARE": (1, 1, functions.composed(functions.square)),
    "SQUARED_DIFFERENCE": (2, 2, functions.paired(functions.squared_difference)),
    "SQUEEZE": (1, 1, shapes.squeezed),
    "STRIDED_SLICE": (4, 4, slices.strided),
    "SUB": (2, 2, functions.binary("Sub", SubOptions())),
    "TANH": (1, 1, functions.on_codes("Tanh")),
    "TILE": (2, 2, choices.repeated),
    "TRANSPOSE": (2, 2, maps.transpose),
    "TRANSPOSE_CONV": (3, 4, resizing.transposed_convolution),
    "ZEROS_LIKE": (1, 1, functions.composed(functions.zeros)),
}
"""Least and most inputs, and what reads the operator."""

_OF_SEVERAL: dict[str, tuple[int, int, Import]] = {
    "SPLIT": (2, 2, slices.split),
    "SPLIT_V": (3, 3, slices.split_by),
    "TOPK_V2": (2, 2, reductions.largest),
    "UNPACK": (1, 1, slices.unpack),
}
"""The same of operators that give several results."""
