"""What the format has no operator for, made of operators that it has.

HardSigmoid    clip(alpha x + beta, 0, 1)
Elu            alpha elu(min(x, 0)) + max(x, 0), where alpha is not 1
AveragePool    that does not count its pads: one that counts them, times window / taps inside the map
"""

from dataclasses import replace
from functools import reduce
from math import prod

import numpy as np

from lowbit.formats.circle.layout import padding_of
from lowbit.ir import Graph, Node
from lowbit.ir.graph import Attribute
from lowbit.ir.infer import call_of
from lowbit.ir.operators.windows import windows_of
from lowbit.ir.passes import Pass


def is_expanded(graph: Graph, node: Node) -> bool:
    """Return whether a node needs nothing of this."""
    if node.domain or node.op not in _EXPANSIONS:
        return True
    call = call_of(graph, node)
    if node.op == "AveragePool":
        return bool(call.integer("count_include_pad")) or _has_padding(graph, node)
    return node.op == "Elu" and call.real("alpha") == 1.0


def _apply(graph: Graph) -> bool:
    found = [node for node in graph.nodes if not is_expanded(graph, node)]
    for node in found:
        at = graph.nodes.index(node)
        graph.nodes[at : at + 1] = _EXPANSIONS[node.op](graph, node)
    return bool(found)


def _hard_sigmoid(graph: Graph, node: Node) -> list[Node]:
    call, (source,), (output,) = call_of(graph, node), node.inputs[:1], node.outputs
    constants = {"alpha": call.real("alpha"), "beta": call.real("beta"), "low": 0.0, "high": 1.0}
    alpha, beta, low, high = (_number(graph, node, name, number) for name, number in constants.items())
    line, moved = (graph.fresh_name(f"{output}/{stem}") for stem in ("line", "moved"))
    return [
        _step(graph, node, "Mul", (source, alpha), line),
        _step(graph, node, "Add", (line, beta), moved),
        Node("Clip", (moved, low, high), (output,), {}, node.name),
    ]


def _elu(graph: Graph, node: Node) -> list[Node]:
    source, output = node.inputs[0], node.outputs[0]
    alpha = _number(graph, node, "alpha", call_of(graph, node).real("alpha"))
    zero = _number(graph, node, "zero", 0.0)
    low, curve, scaled, high = (
        graph.fresh_name(f"{output}/{stem}") for stem in ("low", "curve", "scaled", "high")
    )
    return [
        _step(graph, node, "Clip", (source, "", zero), low),
        _step(graph, node, "Elu", (low,), curve),
        _step(graph, node, "Mul", (curve, alpha), scaled),
        _step(graph, node, "Relu", (source,), high),
        Node("Add", (scaled, high), (output,), {}, node.name),
    ]


def _average_pool(graph: Graph, node: Node) -> list[Node]:
    call, output = call_of(graph, node), node.outputs[0]
    axes = windows_of(call, call.integers("kernel_shape"))
    inside = []
    for axis in axes:
        classes, taps = axis.classes()
        inside.append(taps.sum(axis=1)[classes])
    factor = prod(axis.kernel for axis in axes) / reduce(np.multiply.outer, inside)
    name = graph.add_constant(graph.fresh_name(f"{output}/factor"), factor)
    summed = graph.fresh_name(f"{output}/counted")
    attributes: dict[str, Attribute] = {**node.attributes, "count_include_pad": 1}
    label = graph.fresh_name(f"{node.name}/counted")
    return [
        replace(node, outputs=(summed,), attributes=attributes, name=label),
        Node("Mul", (summed, name), (output,), {}, node.name),
    ]


def _has_padding(graph: Graph, node: Node) -> bool:
    """Return whether the format has a word for the pads of a pool."""
    call = call_of(graph, node)
    axes = windows_of(call, call.integers("kernel_shape"))
    pads = (*(axis.before for axis in axes), *(axis.after for axis in axes))
    lengths = ([getattr(axis, name) for axis in axes] for name in ("extent", "kernel", "stride", "dilation"))
    return padding_of(pads, *lengths) is not None


def _number(graph: Graph, node: Node, stem: str, number: float) -> str:
    return graph.add_constant(graph.fresh_name(f"{node.outputs[0]}/{stem}"), np.float32(number))


def _step(graph: Graph, node: Node, op: str, inputs: tuple[str, ...], output: str) -> Node:
    return Node(op, inputs, (output,), {}, graph.fresh_name(output))


_EXPANSIONS = {"AveragePool": _average_pool, "Elu": _elu, "HardSigmoid": _hard_sigmoid}

expand = Pass("expand-for-circle", _apply)
