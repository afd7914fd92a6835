"""What each operator becomes in the engine: one table, from operators to what adds a planner's steps.

Weights of low-bit layers stay packed: nothing here unpacks them unless the int8 path was chosen.
"""

from collections.abc import Callable
from math import inf, prod
from typing import TYPE_CHECKING

import numpy as np

from lowbit.budget import check_budget
from lowbit.ir import Graph, Node, Trait, has, operators_with
from lowbit.ir.activations import ACTIVATIONS
from lowbit.ir.infer import call_of
from lowbit.ir.passes import is_linear
from lowbit.ir.window import Window
from lowbit.program import coded
from lowbit.program.axes import (
    REDUCTIONS,
    lower_place,
    lower_reduction,
    lower_resize,
    lower_running_sum,
    lower_softmax,
    lower_top,
)
from lowbit.program.choices import lower_take, lower_where
from lowbit.program.coded import map_codes
from lowbit.program.elementwise import (
    ARITHMETIC,
    lower_arithmetic,
    lower_cast,
    lower_clip,
    lower_infinite,
    lower_sum,
)
from lowbit.program.indices import (
    lower_put_elements,
    lower_put_parts,
    lower_take_elements,
    lower_take_parts,
)
from lowbit.program.layers import (
    convolution,
    group_of,
    is_weight_only,
    linear,
    weight_only_convolution,
    weight_only_layer,
)
from lowbit.program.movement import move
from lowbit.program.products import is_by_phases, lower_product, lower_transposed_convolution
from lowbit.program.recurrent import CELLS, lower_recurrent
from lowbit.program.steps import (
    Activate,
    AveragePool,
    Clip,
    CombineConstant,
    FloatConvolution,
    FloatFullyConnected,
    MaxPool,
    Reduce,
    ScaleChannels,
    Step,
)
from lowbit.program.windows import table_bytes, window_of

if TYPE_CHECKING:
    from lowbit.program.planner import Planner

Lower = Callable[["Planner", Node], None]


def _check_size(planner: "Planner", node: Node, window: Window | None = None) -> None:
    """Refuse a low-bit layer whose constants would take more than the budget on the way to the engine."""
    weights = [int(extent) for extent in planner.shape(node.inputs[1])]
    steps = planner.graph.constant(node.inputs[3]).size if len(node.inputs) > 3 and node.inputs[3] else 0
    tables = 0 if window is None else table_bytes(window, weights[0], steps)
    check_budget(
        _EXPANDED * prod(weights) + tables, f"{planner.graph.name}/{node.name}", "the layer's constants"
    )


def _linear(planner: "Planner", node: Node) -> None:
    _check_size(planner, node)
    layout = planner.layout
    step, why = (
        weight_only_layer(planner.graph, node, batched=planner.batched)
        if is_weight_only(planner.graph, node)
        else linear(planner.graph, node, layout)
    )
    planner.add_layer(node, step, why)
    activate_output(planner, node)


def activate_output(planner: "Planner", node: Node) -> None:
    """Add the activation of a layer whose output stays float."""
    activation = str(node.attributes.get("activation", "none"))
    if activation == "none" or planner.graph.value(node.outputs[0]).encoding is not None:
        return
    row = ACTIVATIONS[activation]
    planner.append(node, Clip(*row.bounds) if row.bounds else _OPERATORS[row.operator])


def _gemm(planner: "Planner", node: Node) -> None:
    if not is_linear(planner.graph, node):
        planner.refuse(node, "a product of two computed values")
    weights, bias = (np.asarray(planner.graph.constant(name), np.float32) for name in node.inputs[1:])
    rows = prod(planner.sample_shape(node.inputs[0])[:-1])
    planner.add_layer(node, FloatFullyConnected(weights, bias, rows))


def _function(planner: "Planner", node: Node) -> None:
    planner.add_elementwise(node, _OPERATORS[node.op])


def _function_of_codes(planner: "Planner", node: Node) -> None:
    """Add the table of any function of codes, by the reference evaluator itself."""
    from lowbit.ir.reference import evaluate_node

    graph, source = planner.graph, planner.graph.value(node.inputs[0])
    assert source.encoding is not None
    codes = np.arange(1 << source.encoding.bits, dtype=source.encoding.code_of_rank().dtype)
    constants = {name: graph.constant(name) for name in node.inputs[1:] if name}
    (result,) = evaluate_node(graph, node, {source.name: codes, **constants})
    map_codes(planner, node, result)


def _keep_order(planner: "Planner", node: Node) -> None:
    before, after = (planner.shape(name) for name in (node.inputs[0], node.outputs[0]))
    if planner.batched and before[:1] != after[:1]:
        planner.refuse(node, "a change of the batch")
    planner.alias(node)


def _transpose(planner: "Planner", node: Node) -> None:
    shape, order = planner.shape(node.inputs[0]), call_of(planner.graph, node).integers("perm")
    order = order or tuple(range(len(shape)))[::-1]
    if planner.batched and order[0] != 0:
        planner.refuse(node, "a transposition of the batch")
    if [axis for axis in order if shape[axis] != 1] == [n for n, length in enumerate(shape) if length != 1]:
        planner.alias(node)
        return
    planner.add_transposed(node, order)


def _low_bit_convolution(planner: "Planner", node: Node) -> None:
    window = _convolution_window(planner, node, planner.graph.value(node.inputs[1]).shape[1:3])
    _check_size(planner, node, window)
    step, why = (
        weight_only_convolution(planner.graph, node, window)
        if is_weight_only(planner.graph, node)
        else convolution(planner.graph, node, window, planner.layout)
    )
    planner.add_map(node, step, why)
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
    (lower if has(node, Trait.WINDOW) or planner.is_map(node.inputs[0]) else _reduced_pool)(planner, node)


def _reduced_pool(planner: "Planner", node: Node) -> None:
    """Add the reduction that a pool over all that is behind the channels is, of what is no map."""
    lengths = planner.sample_shape(node.inputs[0])
    first = 1 if planner.batched else 2
    view = (prod(lengths[:first]), prod(lengths[first:]), 1)
    planner.put(
        node,
        Reduce(*view, "maximum" if has(node, Trait.COMPARES) else "mean"),
        (planner.flat(node.inputs[0]),),
    )


def _max_pool(planner: "Planner", node: Node) -> None:
    encoding = planner.graph.value(node.inputs[0]).encoding
    ranks = np.zeros(0, np.uint8)
    if encoding is not None and planner.layout.form(node.inputs[0]) == "planes":
        codes = encoding.code_of_rank()[0]
        ranks = np.empty(len(codes), np.uint8)
        ranks[codes] = np.arange(len(codes), dtype=np.uint8)
    planner.add_map(node, MaxPool(*_pool_window(planner, node), ranks))


def _average_pool(planner: "Planner", node: Node) -> None:
    window, count_all = _pool_window(planner, node), bool(node.attributes.get("count_include_pad", 0))
    if planner.graph.value(node.inputs[0]).encoding is not None:
        coded.average(planner, node, window, count_all=count_all)
    else:
        planner.add_map(node, AveragePool(*window, count_all))


def _batch_normalization(planner: "Planner", node: Node) -> None:
    scale, bias, mean, variance = (
        planner.graph.constant(name).astype(np.float64) for name in node.inputs[1:]
    )
    factor = scale / np.sqrt(variance + float(node.attributes.get("epsilon", 1e-5)))  # type: ignore[arg-type]
    shift = (bias - mean * factor).astype(np.float32)
    shape = planner.shape(node.inputs[0])
    if len(shape) == 2 and prod(planner.sample_shape(node.inputs[0])) == len(shift):
        planner.add(node, ScaleChannels(factor.astype(np.float32), shift))
    elif len(shape) == 4 and (planner.batched or shape[0] == 1):
        planner.add_map(node, ScaleChannels(factor.astype(np.float32), shift))
    else:
        planner.add_spread(node, node.inputs[0])
        by_channel = (-1, *[1] * (len(shape) - 2))
        rows = [planner.row(node, node.outputs[0], each.reshape(by_channel)) for each in (factor, shift)]
        planner.append(node, CombineConstant(rows[0], "multiply"))
        planner.append(node, CombineConstant(rows[1], "add"))


def _concat(planner: "Planner", node: Node) -> None:
    axis = call_of(planner.graph, node).integer("axis") % len(planner.shape(node.outputs[0]))
    if planner.batched and axis == 0:
        planner.refuse(node, "a concatenation of samples")
    planner.join(node, axis)


_MAP_AXES = 4
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
    "Sqrt": Activate("square_root"),
    "Reciprocal": Activate("reciprocal"),
    "Erf": Activate("error"),
    "Sin": Activate("sine"),
    "Cos": Activate("cosine"),
    "Tan": Activate("tangent"),
    "Asin": Activate("arc_sine"),
    "Acos": Activate("arc_cosine"),
    "Atan": Activate("arc_tangent"),
    "Sinh": Activate("hyperbolic_sine"),
    "Cosh": Activate("hyperbolic_cosine"),
    "Asinh": Activate("inverse_hyperbolic_sine"),
    "Acosh": Activate("inverse_hyperbolic_cosine"),
    "Atanh": Activate("inverse_hyperbolic_tangent"),
    "Floor": Activate("floor"),
    "Ceil": Activate("ceiling"),
    "Round": Activate("round"),
    "Sign": Activate("sign"),
    "Not": Activate("is_false"),
    "IsNaN": Activate("is_nan"),
}

LOWERINGS: dict[tuple[str, str], Lower] = {
    **dict.fromkeys(operators_with(Trait.CARRIES), move),
    ("", "Pad"): move,
    ("lowbit", "Convolution"): _low_bit_convolution,
    ("", "Conv"): _convolution,
    ("", "BatchNormalization"): _batch_normalization,
    ("", "Concat"): _concat,
    ("", "Transpose"): _transpose,
    **dict.fromkeys(operators_with(Trait.POOL), _pool),
    ("lowbit", "Encode"): coded.encode,
    ("lowbit", "Decode"): coded.decode,
    ("lowbit", "FixedAdd"): coded.add,
    ("lowbit", "FixedLookup"): coded.look_up,
    ("lowbit", "Linear"): _linear,
    ("", "Gemm"): _gemm,
    ("", "Clip"): lower_clip,
    ("", "Cast"): lower_cast,
    ("", "Sum"): lower_sum,
    ("", "IsInf"): lower_infinite,
    ("", "MatMul"): lower_product,
    ("", "ConvTranspose"): lower_transposed_convolution,
    ("", "Resize"): lower_resize,
    ("", "TopK"): lower_top,
    ("", "CumSum"): lower_running_sum,
    ("", "Where"): lower_where,
    ("", "Gather"): lower_take,
    ("", "GatherElements"): lower_take_elements,
    ("", "GatherND"): lower_take_parts,
    ("", "ScatterElements"): lower_put_elements,
    ("", "ScatterND"): lower_put_parts,
    **dict.fromkeys([("", name) for name in ("ArgMax", "ArgMin")], lower_place),
    **dict.fromkeys([("", name) for name in CELLS], lower_recurrent),
    **dict.fromkeys([("", name) for name in REDUCTIONS], lower_reduction),
    **dict.fromkeys([("", name) for name in _OPERATORS], _function),
    **dict.fromkeys([("", name) for name in ARITHMETIC], lower_arithmetic),
    **dict.fromkeys(operators_with(Trait.ENDS_CLASSIFIER), lower_softmax),
    **dict.fromkeys(operators_with(Trait.KEEPS_ORDER), _keep_order),
}


def lowering_of(graph: Graph, node: Node) -> Lower | None:
    """Return what adds the steps of a node, or None where there is nothing."""
    if _is_function_of_codes(graph, node):
        return _function_of_codes
    return LOWERINGS.get((node.domain, node.op))


def is_lowered(graph: Graph, node: Node) -> bool:
    """Return whether a node becomes steps as it is: an ELU has no factor, a layer not every activation."""
    lowering = lowering_of(graph, node)
    if lowering is None or lowering is _function_of_codes:
        return lowering is not None
    if lowering is _pool and has(node, Trait.WINDOW):
        return len(graph.value(node.inputs[0]).shape) <= _MAP_AXES
    if lowering is _gemm:
        return is_linear(graph, node)
    if lowering is lower_transposed_convolution:
        return is_by_phases(graph, node)
    if node.op == "Elu":
        return call_of(graph, node).real("alpha") == 1.0
    activation, target = str(node.attributes.get("activation", "none")), graph.values.get(node.outputs[0])
    if activation == "none" or (target is not None and target.encoding is not None):
        return True
    return ACTIVATIONS[activation].operator in _OPERATORS or ACTIVATIONS[activation].bounds is not None


def _is_function_of_codes(graph: Graph, node: Node) -> bool:
    known = [graph.values.get(name) for name in (*node.inputs[:1], *node.outputs)]
    coded = all(value is not None and value.encoding is not None for value in known)
    return coded and has(node, Trait.ELEMENTWISE) and not has(node, Trait.CARRIES)
