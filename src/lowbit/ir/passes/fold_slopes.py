"""Take PReLU out of a graph: a positive slope does not change a sign; the rest is arithmetic.

sign(prelu(x)) = sign(x)                         for slopes above 0
prelu(x) = relu(x) + slope (x - relu(x))         exactly, one of the terms is zero
"""

from dataclasses import replace

import numpy as np

from lowbit.ir.graph import Graph, Node
from lowbit.ir.operators import Trait, has
from lowbit.ir.passes.infrastructure import Pass
from lowbit.ir.passes.readers import is_encoder


def has_no_slopes(graph: Graph) -> bool:
    """Return whether no PReLU is left."""
    return all(node.op != "PRelu" for node in graph.nodes)


def _apply(graph: Graph) -> bool:
    found = [node for node in graph.nodes if node.op == "PRelu"]
    for node in found:
        slopes = np.asarray(graph.constant(node.inputs[1]), np.float32)
        if (slopes > 0).all():
            _bypass(graph, node)
        _split(graph, node)
    return bool(found)


def _bypass(graph: Graph, node: Node) -> None:
    """Let those who take the sign read what the node reads."""
    output = node.outputs[0]
    for index, reader in enumerate(graph.nodes):
        if output in reader.inputs and _takes_sign(graph, reader):
            inputs = tuple(node.inputs[0] if name == output else name for name in reader.inputs)
            graph.nodes[index] = replace(reader, inputs=inputs)


def _takes_sign(graph: Graph, node: Node) -> bool:
    """Return whether nothing but signs come of what a node reads."""
    if has(node, Trait.CARRIES):
        readers, output = graph.consumers(node.outputs[0]), node.outputs[0]
        return bool(readers) and output not in graph.outputs and all(_takes_sign(graph, r) for r in readers)
    if not is_encoder(node) or len(node.inputs) < 2:
        return False
    just_below_zero = np.nextafter(np.zeros(1, np.float32), np.float32(-1))
    return np.array_equal(np.asarray(graph.values[node.inputs[1]].data), just_below_zero)


def _split(graph: Graph, node: Node) -> None:
    """Write the node as arithmetic; what nobody reads is dropped after the pass."""
    source, slopes = node.inputs
    upper, lower, scaled = (graph.fresh_name(f"{node.name}/{part}") for part in ("upper", "lower", "scaled"))
    position = graph.nodes.index(node)
    graph.nodes[position : position + 1] = [
        Node("Relu", (source,), (upper,), {}, upper),
        Node("Sub", (source, upper), (lower,), {}, lower),
        Node("Mul", (lower, slopes), (scaled,), {}, scaled),
        Node("Add", (upper, scaled), node.outputs, {}, node.name),
    ]


fold_slopes = Pass("fold-slopes", _apply, ensures=has_no_slopes)
