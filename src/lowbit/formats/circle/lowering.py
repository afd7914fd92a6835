"""Nodes of the graph as operators of the file: a table of small functions, the mirror of `builtin`."""

import numpy as np
import numpy.typing as npt

from lowbit.errors import GraphError, UnsupportedError
from lowbit.formats.circle import any_codes, graph_operators
from lowbit.formats.circle.average_pools import counts_all
from lowbit.formats.circle.coded_values import as_int8, makers
from lowbit.formats.circle.exporter import Exporter
from lowbit.formats.circle.forms import has_form
from lowbit.formats.circle.functions import FUNCTIONS, PAIRS
from lowbit.formats.circle.layers import BINARY, OFFSET, OFFSET_ZERO, SCALES, units_of_offsets
from lowbit.formats.circle.layout import TO_NHWC
from lowbit.formats.circle.map_lowering import (
    Lower,
    affine_convolution,
    concatenation,
    convolution,
    geometry,
    pad,
    pool,
    transpose,
    whole_map,
)
from lowbit.formats.circle.options import LayerOptions
from lowbit.formats.circle.schema import (
    AddOptions,
    DequantizeOptions,
    DivOptions,
    FullyConnectedOptions,
    HardSwishOptions,
    LeakyReluOptions,
    LogSoftmaxOptions,
    MaximumMinimumOptions,
    MulOptions,
    QuantizationParameters,
    QuantizeOptions,
    ReshapeOptions,
    SoftmaxOptions,
    SubOptions,
)
from lowbit.formats.circle.tensor_lowering import TENSORS
from lowbit.formats.packed import packed
from lowbit.ir import Graph, Node, Trait, Value, has, operators_with
from lowbit.ir.deployed import row_length
from lowbit.ir.infer import call_of
from lowbit.ir.layers import is_low_bit
from lowbit.ir.operators.layer_names import in_file
from lowbit.ir.passes import has_lines
from lowbit.schemes import Encoding, LearnedBasis

Floats32 = npt.NDArray[np.float32]


def lower(exporter: Exporter, node: Node) -> None:
    """Append the operators of a node.

    Raises:
        UnsupportedError: the format has no operator for it.
        GraphError: codes are used where the format has none.
    """
    function = _LOWERINGS.get((node.domain, in_file(exporter.graph, node).op))
    if node.outputs[0] in exporter.own_words - exporter.stated:
        function = graph_operators.lower
    elif exporter.is_own(node):
        function = any_codes.lower
    elif exporter.reads_codes(node) and not has(node, Trait.CARRIES):
        function = None
    if function is None:
        raise UnsupportedError(
            "the operator cannot be written to a .circle file on codes",
            where=node.name,
            expected="floats, or an operator that moves elements",
            found=node.op,
            remedy="Write .onnx or .txt instead.",
        )
    function(exporter, node)


def is_lowered(graph: Graph) -> bool:
    """Return whether every node has an operator without rewriting the graph first."""
    return all(supports(graph, node) and _stands(graph, node) for node in graph.nodes) and not has_lines(
        graph
    )


def supports(graph: Graph, node: Node) -> bool:
    """Return whether the format has an operator for a node; its ELU has no factor."""
    if (node.domain, in_file(graph, node).op) not in _LOWERINGS:
        return False
    if has(node, Trait.ELEMENTWISE) and not has(node, Trait.CARRIES) and _is_coded(graph, node):
        return (node.domain, node.op) in _ON_CODES
    return node.op != "Elu" or call_of(graph, node).real("alpha") == 1.0


def _is_coded(graph: Graph, node: Node) -> bool:
    target = graph.values.get(node.outputs[0])
    return target is not None and target.encoding is not None


def _stands(graph: Graph, node: Node) -> bool:
    """Return whether no pass would find something to do: a Pad may belong to a layer, a MatMul may be one."""
    moved = node.op == "Pad" or (node.domain, node.op) in TENSORS
    return not moved and _is_plain(node) and counts_all(graph, node) and has_form(graph, node)


def _is_plain(node: Node) -> bool:
    """Return whether a Gemm is ``y = x W^T + b``."""
    attributes = node.attributes
    plain = attributes.get("transB", 0) == 1 and attributes.get("transA", 0) == 0
    return node.op != "Gemm" or (plain and attributes.get("alpha", 1.0) == attributes.get("beta", 1.0) == 1.0)


def _elementwise(name: str, options: object = None, count: int | None = None) -> Lower:
    """Return what lowers an operator on elements of the first ``count`` inputs, or of all.

    What reads a map stays in the layout of maps.
    """

    def run(exporter: Exporter, node: Node) -> None:
        operands = node.inputs[:count]
        if _meet_as_maps(exporter, operands):
            inputs = tuple(_map_operand(exporter, value) for value in operands)
            output = exporter.map_output(node.outputs[0])
        else:
            inputs = tuple(exporter.exact(value) for value in operands)
            output = exporter.tensor(node.outputs[0])
        exporter.operator(name, inputs, (output,), options)

    return run


def _meet_as_maps(exporter: Exporter, names: tuple[str, ...]) -> bool:
    """Return whether values meet as maps: one is a map already, and all that are computed have four axes."""
    computed = [exporter.graph.value(name) for name in names if not exporter.is_constant(name)]
    fit = all(len(value.shape) == len(TO_NHWC) for value in computed)
    return fit and any(exporter.is_map(value.name) for value in computed)


def _map_operand(exporter: Exporter, name: str) -> int:
    """Return an operand of an operator on maps; constants are moved, which broadcasting then allows."""
    data = exporter.graph.value(name).data
    if data is None:
        return exporter.map(name)
    moved = data.reshape((1,) * (4 - data.ndim) + data.shape).transpose(TO_NHWC)
    return (
        exporter.constant(f"{name}_maps", np.ascontiguousarray(moved)) if data.ndim else exporter.tensor(name)
    )


def _clip(exporter: Exporter, node: Node) -> None:
    """RELU, RELU6 or RELU_N1_TO_1 where the bounds are theirs, else MAXIMUM and MINIMUM."""
    names = [*node.inputs[1:], "", ""][:2]
    low, high = (float(exporter.graph.constant(name)) if name else None for name in names)
    operator = _CLIPS.get((low, high))
    if operator is not None:
        _elementwise(operator, count=1)(exporter, node)
        return
    if low is None and high is None:
        raise UnsupportedError("a Clip without bounds", where=node.name, expected="a bound", found="none")
    as_map = exporter.is_map(node.inputs[0])
    source = exporter.map(node.inputs[0]) if as_map else exporter.tensor(node.inputs[0])
    output = exporter.map_output(node.outputs[0]) if as_map else exporter.tensor(node.outputs[0])
    if low is not None:
        raised = output if high is None else exporter.like(f"{node.outputs[0]}_raised", output)
        inputs = (source, exporter.tensor(names[0]))
        exporter.operator("MAXIMUM", inputs, (raised,), MaximumMinimumOptions())
        source = raised
    if high is not None:
        inputs = (source, exporter.tensor(names[1]))
        exporter.operator("MINIMUM", inputs, (output,), MaximumMinimumOptions())


def _leaky(exporter: Exporter, node: Node) -> None:
    slope = float(np.float32(call_of(exporter.graph, node).real("alpha")))  # as it is stored
    _elementwise("LEAKY_RELU", LeakyReluOptions(slope))(exporter, node)


def _last_axis(name: str, options: object) -> Lower:
    def run(exporter: Exporter, node: Node) -> None:
        rank = len(exporter.graph.value(node.inputs[0]).shape)
        axis = node.attributes.get("axis", -1)
        if axis not in (-1, rank - 1):
            raise UnsupportedError(
                f"{node.op} works on the last axis only",
                where=node.name,
                expected=f"axis {rank - 1}",
                found=str(axis),
                remedy="Transpose before and after it.",
            )
        exporter.operator(
            name, (exporter.tensor(node.inputs[0]),), (exporter.tensor(node.outputs[0]),), options
        )

    return run


def _gemm(exporter: Exporter, node: Node) -> None:
    if not _is_plain(node):
        raise UnsupportedError(
            "a product in this form cannot be written",
            where=node.name,
            expected="x W^T + b with constant W and b",
            found=str(dict(node.attributes)),
            remedy="Make the weights constant.",
        )
    inputs = tuple(exporter.tensor(value) if value else -1 for value in node.inputs)
    exporter.operator("FULLY_CONNECTED", inputs, (exporter.tensor(node.outputs[0]),), FullyConnectedOptions())


def _reshape(exporter: Exporter, node: Node) -> None:
    """What keeps the order of elements, as a reshape with all lengths worked out."""
    shape = exporter.graph.value(node.outputs[0]).shape
    lengths = np.array([-1 if isinstance(length, str) else length for length in shape], np.int32)
    name = node.inputs[1] if node.op == "Reshape" and exporter.is_free(node.inputs[1], lengths) else ""
    target = exporter.constant(name or f"{node.outputs[0]}_shape", lengths)
    inputs = (exporter.tensor(node.inputs[0]), target)
    options = ReshapeOptions(tuple(int(length) for length in lengths))
    exporter.operator("RESHAPE", inputs, (exporter.tensor(node.outputs[0]),), options)


def _encode(exporter: Exporter, node: Node) -> None:
    """Affine codes are made by QUANTIZE; others exist only in memory, on the layers that read them."""
    encoding = exporter.graph.value(node.outputs[0]).encoding
    if as_int8(encoding) is not None and encoding is not None:
        if not np.array_equal(_thresholds(exporter, node), encoding.thresholds()[0]):
            raise UnsupportedError(
                "QUANTIZE has no thresholds of its own",
                where=node.name,
                expected="those of the encoding",
                found="others",
                remedy="Leave the thresholds of Encode out.",
            )
        inputs = (exporter.tensor(node.inputs[0]),)
        exporter.operator("QUANTIZE", inputs, (exporter.tensor(node.outputs[0]),), QuantizeOptions())


def _affine_layer(exporter: Exporter, node: Node) -> None:
    inputs = (exporter.tensor(node.inputs[0]), exporter.tensor(node.inputs[1]), exporter.affine_bias(node))
    exporter.operator("FULLY_CONNECTED", inputs, (exporter.tensor(node.outputs[0]),), FullyConnectedOptions())


def _layer(exporter: Exporter, node: Node) -> None:
    """A low-bit layer: the input's float tensor, its encoding if it has one, and the packed weights."""
    codes, weights = exporter.graph.value(node.inputs[0]), exporter.graph.value(node.inputs[1])
    convolution, rows = has(node, Trait.WINDOW), weights.encoding
    assert rows is not None
    halves = rows.storage == "halves"
    basis = None if codes.encoding is None else _learned_basis(codes.encoding, codes.name)
    source, thresholds = (codes.name, None) if basis is None else _source(exporter, node)
    inputs = (
        exporter.map(source) if convolution else exporter.tensor(source),
        -1 if basis is None else exporter.constant(codes.name + SCALES, basis.basis[0]),
        *_weights(exporter, weights, node.inputs[2]),
    )
    options = LayerOptions(
        hidden_size=row_length(weights),
        activation=str(node.attributes.get("activation", "none")),
        input_offset=0.0 if basis is None else float(basis.offset[0]),
        input_top=0 if basis is None else int(basis.top[0]),
        weights_top=np.zeros(1, np.int32) if halves else _learned_basis(rows, weights.name).top,
        input_thresholds=thresholds,
        geometry=geometry(exporter, node) if convolution else None,
        weights_bits=rows.bits if halves else 0,
    )
    output = exporter.map_output(node.outputs[0]) if convolution else exporter.tensor(node.outputs[0])
    name = in_file(exporter.graph, node).op
    exporter.custom(name, inputs, (output,), options.to_bytes())


def _weights(exporter: Exporter, weights: Value, bias: str) -> tuple[int, ...]:
    """Return the tensors of scales, packed weights, bias and, where there are some, offsets."""
    assert weights.encoding is not None
    offsets: tuple[LearnedBasis, ...] = ()
    if weights.encoding.storage == "halves":
        scales = np.asarray(weights.encoding.fields()["scale"])
    else:
        rows = _learned_basis(weights.encoding, weights.name)
        scales, offsets = rows.basis, (rows,) if rows.offset.view(np.uint32).any() else ()
    tensors = (
        exporter.constant(weights.name + SCALES, scales),
        exporter.constant(weights.name + BINARY, packed(weights)),
        exporter.tensor(bias),
    )
    return (*tensors, *(_offset(exporter, weights.name + OFFSET, rows) for rows in offsets))


def _offset(exporter: Exporter, name: str, rows: LearnedBasis) -> int:
    """Return the tensor of the weights' offsets, as whole scales where that is exact."""
    units = units_of_offsets(rows)
    if units is None:
        return exporter.constant(name, rows.offset)
    one = QuantizationParameters(scale=np.ones(1, np.float32), zero_point=np.array([OFFSET_ZERO], np.int64))
    return exporter.constant(name, units, one)


def _source(exporter: Exporter, node: Node) -> tuple[str, Floats32]:
    """Return the value that stands in the file as the layer's input, and what thresholds code it."""
    producer = exporter.graph.producer(node.inputs[0])
    if producer is not None and producer.op == "Encode":
        return producer.inputs[0], _thresholds(exporter, producer)
    found = list(makers(exporter.graph, node.inputs[0]))
    if all(maker is not None and is_low_bit(maker) and len(maker.inputs) == 4 for maker in found):
        steps = [np.asarray(exporter.graph.constant(m.inputs[3]), np.float32) for m in found if m is not None]
        if all(np.array_equal(step, steps[0]) for step in steps):
            return node.inputs[0], steps[0]
    raise GraphError(
        "the codes that a layer reads are made in a way that the file cannot say",
        where=node.name,
        expected="Encode, or low-bit layers with equal thresholds",
        found=", ".join("an input" if maker is None else maker.op for maker in found),
        remedy="Feed floats and encode them in the graph, in front of the layer.",
    )


def _thresholds(exporter: Exporter, encode: Node) -> Floats32:
    """Return an ``Encode``'s thresholds: given, or those of its encoding."""
    if len(encode.inputs) > 1:
        return np.asarray(exporter.graph.constant(encode.inputs[1]), np.float32)
    encoding = exporter.graph.value(encode.outputs[0]).encoding
    assert encoding is not None
    return np.asarray(encoding.thresholds()[0])


def _learned_basis(encoding: Encoding | None, name: str) -> LearnedBasis:
    basis = encoding.as_basis() if encoding is not None and encoding.storage == "planes" else None
    if basis is None:
        raise UnsupportedError(
            "low-bit layers are written with learned bases",
            where=name,
            expected="a learned basis",
            found="none" if encoding is None else encoding.scheme,
            remedy="Convert it with Affine.to_learned_basis.",
        )
    return basis


_CLIPS: dict[tuple[float | None, float | None], str] = {
    (-1.0, 1.0): "RELU_N1_TO_1",
    (0.0, 6.0): "RELU6",
}

_ON_CODES: dict[tuple[str, str], Lower] = {
    ("", "Relu"): _elementwise("RELU"),
    ("", "Sigmoid"): _elementwise("LOGISTIC"),
    ("", "Tanh"): _elementwise("TANH"),
}
"""Functions that the format has on codes of eight bits as well as on floats."""

_LOWERINGS: dict[tuple[str, str], Lower] = {
    **{("", op): _elementwise(name) for name, op in (FUNCTIONS | PAIRS).items()},
    **_ON_CODES,
    **TENSORS,
    ("", "Add"): _elementwise("ADD", AddOptions()),
    ("", "AveragePool"): pool("AVERAGE_POOL_2D"),
    ("", "Clip"): _clip,
    ("", "Concat"): concatenation,
    ("", "Conv"): convolution,
    ("", "Div"): _elementwise("DIV", DivOptions()),
    **dict.fromkeys(operators_with(Trait.KEEPS_ORDER), _reshape),
    ("", "Gemm"): _gemm,
    ("", "GlobalAveragePool"): whole_map("MEAN"),
    ("", "GlobalMaxPool"): whole_map("REDUCE_MAX"),
    ("", "HardSwish"): _elementwise("HARD_SWISH", HardSwishOptions()),
    ("", "LeakyRelu"): _leaky,
    ("", "LogSoftmax"): _last_axis("LOG_SOFTMAX", LogSoftmaxOptions()),
    ("", "Max"): _elementwise("MAXIMUM", MaximumMinimumOptions()),
    ("", "MaxPool"): pool("MAX_POOL_2D"),
    ("", "Min"): _elementwise("MINIMUM", MaximumMinimumOptions()),
    ("", "Mul"): _elementwise("MUL", MulOptions()),
    ("", "Pad"): pad,
    ("", "Softmax"): _last_axis("SOFTMAX", SoftmaxOptions(1.0)),
    ("", "Sub"): _elementwise("SUB", SubOptions()),
    ("", "Transpose"): transpose,
    ("", "Where"): _elementwise("SELECT_V2"),
    ("lowbit", "AffineConv"): affine_convolution,
    ("lowbit", "AffineFullyConnected"): _affine_layer,
    **{("lowbit", name): any_codes.lower for name in any_codes.OPERATORS},
    ("lowbit", "Decode"): _elementwise("DEQUANTIZE", DequantizeOptions()),
    ("lowbit", "Encode"): _encode,
    ("lowbit", "LQConv"): _layer,
    ("lowbit", "LQFullyConnected"): _layer,
    ("lowbit", "Pow2Conv"): _layer,
    ("lowbit", "Pow2FullyConnected"): _layer,
}
