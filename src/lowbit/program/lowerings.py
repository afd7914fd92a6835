"""What each operator becomes in the engine: one table, from operators to what adds a planner's steps.

Weights of low-bit layers stay packed: nothing here unpacks them unless the int8 path was chosen.
"""

from collections.abc import Callable
from math import inf, prod
from typing import TYPE_CHECKING

import numpy as np

from lowbit.budget import check_budget
from lowbit.ir import Graph, Node, Trait, Value, has, operators_with
from lowbit.ir.infer import call_of
from lowbit.ir.passes import is_linear
from lowbit.ir.window import Window
from lowbit.program.elementwise import ARITHMETIC, lower_arithmetic, lower_clip
from lowbit.program.layers import (
    group_of,
    is_weight_only,
    lq_convolution,
    lq_layer,
    weight_only_convolution,
    weight_only_layer,
)
from lowbit.program.representation import Bytes, byte_of_code
from lowbit.program.steps import (
    Activate,
    AveragePool,
    Clip,
    Decode,
    EncodeAffine,
    EncodeBytes,
    EncodePlanes,
    FloatConvolution,
    FloatFullyConnected,
    LookUp,
    MaxPool,
    ScaleChannels,
    Softmax,
    Step,
)
from lowbit.program.windows import table_bytes, window_of
from lowbit.schemes import Affine

if TYPE_CHECKING:
    from lowbit.program.planner import Planner

Lower = Callable[["Planner", Node], None]


def _encode(planner: "Planner", node: Node) -> None:
    name = node.outputs[0]
    encoding = planner.encoding(name)
    given = [planner.graph.constant(name) for name in node.inputs[1:] if name]
    if isinstance(encoding, Affine) and not given:
        scale, zero = float(encoding.scale[0]), float(encoding.zero_point[0])
        planner.add_elementwise(node, EncodeAffine(scale, zero, float((1 << encoding.bits) - 1)))
        return
    thresholds = np.asarray(given[0], np.float32) if given else encoding.thresholds()[0]
    codes = encoding.code_of_rank()[0]
    if name in planner.planes:
        if len(planner.graph.value(name).shape) == 4:
            planner.map(node.inputs[0])  # planes are never rearranged
        planner.add_elementwise(node, EncodePlanes(thresholds, codes))
    else:
        planner.add_elementwise(node, EncodeBytes(thresholds, byte_of_code(encoding, name)[codes]))


def _decode(planner: "Planner", node: Node) -> None:
    encoding = planner.encoding(node.inputs[0])
    if node.inputs[0] in planner.planes:
        planner.add_elementwise(node, Decode(encoding.decode(np.arange(1 << encoding.bits))))
        return
    byte = byte_of_code(encoding, node.inputs[0])
    table = np.zeros(256, np.float32)
    table[byte] = encoding.decode(np.arange(len(byte)))
    planner.add_elementwise(node, Decode(table))


def _check_size(planner: "Planner", node: Node, window: Window | None = None) -> None:
    """Refuse a low-bit layer whose constants would take more than the budget on the way to the engine."""
    weights = [int(extent) for extent in planner.shape(node.inputs[1])]
    encoding = planner.graph.value(node.outputs[0]).encoding
    tables = (
        0
        if window is None
        else table_bytes(window, weights[0], 0 if encoding is None else 1 << encoding.bits)
    )
    check_budget(
        _EXPANDED * prod(weights) + tables, f"{planner.graph.name}/{node.name}", "the layer's constants"
    )


def _linear(planner: "Planner", node: Node) -> None:
    _check_size(planner, node)
    if is_weight_only(planner.graph, node):
        planner.add_layer(node, weight_only_layer(planner.graph, node), "float input")
        activate_output(planner, node)
        return
    planner.add_layer(node, *lq_layer(planner.graph, node, planner.planes))
    activate_output(planner, node)


def activate_output(planner: "Planner", node: Node) -> None:
    """Add the activation of a layer whose output stays float."""
    activation = str(node.attributes.get("activation", "none"))
    if activation == "none" or planner.graph.value(node.outputs[0]).encoding is not None:
        return
    planner.append(node, _FUNCTIONS[activation])


def _gemm(planner: "Planner", node: Node) -> None:
    if not is_linear(planner.graph, node):
        planner.refuse(node, "a product of two computed values")
    weights, bias = (np.asarray(planner.graph.constant(name), np.float32) for name in node.inputs[1:])
    planner.add_layer(node, FloatFullyConnected(weights, bias))


def _function(planner: "Planner", node: Node) -> None:
    source, target = (planner.graph.value(name) for name in (node.inputs[0], node.outputs[0]))
    if source.encoding is None:
        planner.add_elementwise(node, _OPERATORS[node.op])
        return
    planner.add_elementwise(node, LookUp(_code_table(planner, node, source, target)))


def _code_table(planner: "Planner", node: Node, source: Value, target: Value) -> Bytes:
    """Return the output byte of every input byte, by the reference evaluator itself."""
    from lowbit.ir.reference import evaluate_node

    before, after = planner.encoding(source.name), planner.encoding(target.name)
    codes = np.arange(1 << before.bits, dtype=np.uint8)
    (result,) = evaluate_node(planner.graph, node, {source.name: codes})
    table = np.zeros(256, np.uint8)
    table[byte_of_code(before, source.name)] = byte_of_code(after, target.name)[result.astype(np.intp)]
    return table


def _softmax(planner: "Planner", node: Node) -> None:
    shape, axis = planner.graph.value(node.inputs[0]).shape, node.attributes.get("axis", -1)
    if len(shape) != 2 or axis not in (-1, 1):
        planner.refuse(node, "a softmax over anything but the last of two axes")
    planner.add(node, Softmax(node.op == "LogSoftmax"))


def _move(planner: "Planner", node: Node) -> None:
    before, after = (planner.graph.value(name).shape for name in (node.inputs[0], node.outputs[0]))
    if before[0] != after[0]:
        planner.refuse(node, "a change of the batch")
    planner.alias(node)


def _transpose(planner: "Planner", node: Node) -> None:
    shape, order = planner.shape(node.inputs[0]), call_of(planner.graph, node).integers("perm")
    order = order or tuple(range(len(shape)))[::-1]
    if order[0] != 0:
        planner.refuse(node, "a transposition of the batch")
    if [axis for axis in order if shape[axis] != 1] == [n for n, length in enumerate(shape) if length != 1]:
        planner.alias(node)
        return
    planner.add_transposed(node, order)


def _low_bit_convolution(planner: "Planner", node: Node) -> None:
    window = _convolution_window(planner, node, planner.graph.value(node.inputs[1]).shape[1:3])
    _check_size(planner, node, window)
    if is_weight_only(planner.graph, node):
        step = weight_only_convolution(planner.graph, node, window)
        planner.add_map(node, step, "float input: weights are decoded at load")
        activate_output(planner, node)
        return
    planner.add_map(node, *lq_convolution(planner.graph, node, window, planner.planes))
    activate_output(planner, node)


def _convolution(planner: "Planner", node: Node) -> None:
    graph = planner.graph
    if any(planner.computed(name) for name in node.inputs[1:]):
        planner.refuse(node, "a convolution by a computed value")
    weights = graph.constant(node.inputs[1])
    if weights.ndim != 4:
        planner.refuse(node, "a convolution over anything but two axes")
    window = _convolution_window(planner, node, weights.shape[2:])
    biased = len(node.inputs) > 2 and node.inputs[2]
    bias = graph.constant(node.inputs[2]) if biased else np.zeros(len(weights), np.float32)
    rows = np.asarray(weights.transpose(0, 2, 3, 1).reshape(len(weights), -1), np.float32)
    planner.add_map(node, FloatConvolution(*window, group_of(node), rows, np.asarray(bias, np.float32)))


def _convolution_window(planner: "Planner", node: Node, kernel: tuple[int | str, ...]) -> Window:
    shape = planner.graph.value(node.inputs[0]).shape
    return window_of(node, shape, tuple(int(extent) for extent in kernel))


def _pool_window(planner: "Planner", node: Node) -> Window:
    shape = planner.graph.value(node.inputs[0]).shape
    if len(shape) != 4:
        planner.refuse(node, "pooling over anything but two axes")
    kernel = node.attributes["kernel_shape"] if has(node, Trait.WINDOW) else shape[2:]
    return window_of(node, shape, tuple(int(extent) for extent in kernel))  # type: ignore[union-attr]


def _pool(planner: "Planner", node: Node) -> None:
    lower = _max_pool if has(node, Trait.COMPARES) else _average_pool
    lower(planner, node)


def _max_pool(planner: "Planner", node: Node) -> None:
    encoding = planner.graph.value(node.inputs[0]).encoding
    ranks = np.zeros(0, np.uint8)
    if encoding is not None and node.inputs[0] in planner.planes:
        codes = encoding.code_of_rank()[0]
        ranks = np.empty(len(codes), np.uint8)
        ranks[codes] = np.arange(len(codes), dtype=np.uint8)
    planner.add_map(node, MaxPool(*_pool_window(planner, node), ranks))


def _average_pool(planner: "Planner", node: Node) -> None:
    count_all = bool(node.attributes.get("count_include_pad", 0))
    planner.add_map(node, AveragePool(*_pool_window(planner, node), count_all))


def _batch_normalization(planner: "Planner", node: Node) -> None:
    scale, bias, mean, variance = (
        planner.graph.constant(name).astype(np.float64) for name in node.inputs[1:]
    )
    factor = scale / np.sqrt(variance + float(node.attributes.get("epsilon", 1e-5)))  # type: ignore[arg-type]
    shift = (bias - mean * factor).astype(np.float32)
    add = planner.add if len(planner.graph.value(node.inputs[0]).shape) == 2 else planner.add_map
    add(node, ScaleChannels(factor.astype(np.float32), shift))


def _concat(planner: "Planner", node: Node) -> None:
    axis = call_of(planner.graph, node).integer("axis") % len(planner.shape(node.outputs[0]))
    if axis == 0 or not all(planner.computed(name) for name in node.inputs):
        planner.refuse(node, "a concatenation of samples or of constants")
    planner.join(node, axis)


_EXPANDED = 16  # bytes of a weight while its integers are worked with

# Functions of floats.
_OPERATORS: dict[str, Step] = {
    "Abs": Activate("absolute"),
    "Elu": Activate("elu"),
    "Exp": Activate("exponential"),
    "Log": Activate("logarithm"),
    "Relu": Clip(0.0, inf),
    "Sigmoid": Activate("sigmoid"),
    "Tanh": Activate("tanh"),
}

# Activations on floats, by the name that a layer gives them.
_FUNCTIONS: dict[str, Step] = {
    "relu": Clip(0.0, inf),
    "relu6": Clip(0.0, 6.0),
    "hardtanh": Clip(-1.0, 1.0),
    "tanh": Activate("tanh"),
    "sigmoid": Activate("sigmoid"),
}

LOWERINGS: dict[tuple[str, str], Lower] = {
    ("lowbit", "Convolution"): _low_bit_convolution,
    ("", "Conv"): _convolution,
    ("", "BatchNormalization"): _batch_normalization,
    ("", "Concat"): _concat,
    ("", "Transpose"): _transpose,
    **dict.fromkeys(operators_with(Trait.POOL), _pool),
    ("lowbit", "Encode"): _encode,
    ("lowbit", "Decode"): _decode,
    ("lowbit", "Linear"): _linear,
    ("", "Gemm"): _gemm,
    ("", "Clip"): lower_clip,
    **dict.fromkeys([("", name) for name in _OPERATORS], _function),
    **dict.fromkeys([("", name) for name in ARITHMETIC], lower_arithmetic),
    **dict.fromkeys(operators_with(Trait.ENDS_CLASSIFIER), _softmax),
    **dict.fromkeys(operators_with(Trait.KEEPS_ORDER), _move),
}


def is_lowered(graph: Graph, node: Node) -> bool:
    """Return whether a node becomes steps as it is; an ELU has no factor here."""
    special = node.op == "Elu" and call_of(graph, node).real("alpha") != 1.0
    return (node.domain, node.op) in LOWERINGS and not special
