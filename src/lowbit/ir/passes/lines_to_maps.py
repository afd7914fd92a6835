"""Let lines be maps of height 1: a convolution or pool of [n, c, l] becomes one of [n, c, 1, l].

Whatever works on maps then works on sequences too. The maps are made by Unsqueeze and given back by Squeeze,
which `settle_layout` takes away between neighbours.
"""

from dataclasses import replace

import numpy as np

from lowbit.ir.graph import Attribute, Graph, Node
from lowbit.ir.operators import Trait, has
from lowbit.ir.passes.infrastructure import Pass


def has_lines(graph: Graph) -> bool:
    """Return whether there is such an operator on lines."""
    return any(_is_on_lines(graph, node) for node in graph.nodes)


def _apply(graph: Graph) -> bool:
    found = [node for node in graph.nodes if _is_on_lines(graph, node)]
    for node in found:
        at = graph.nodes.index(node)
        graph.nodes[at : at + 1] = _on_maps(graph, node)
    return bool(found)


def _is_on_lines(graph: Graph, node: Node) -> bool:
    on_maps = has(node, Trait.WINDOW) or has(node, Trait.POOL) or node.op == "BatchNormalization"
    if node.domain or not on_maps:
        return False
    constant = not has(node, Trait.LAYER) or graph.values[node.inputs[1]].data is not None
    return constant and len(graph.values[node.inputs[0]].shape) == 3


def _on_maps(graph: Graph, node: Node) -> list[Node]:
    """Return Unsqueeze, the node on maps, and Squeeze."""
    source, target = node.inputs[0], node.outputs[0]
    axes = graph.add_constant(graph.fresh_name(f"{node.name}/axes"), [2], "int64")
    names = [_like(graph, name) for name in (source, target)]
    rest = node.inputs[1:]
    if has(node, Trait.LAYER):
        weights = np.expand_dims(graph.constant(rest[0]), 2)
        rest = (graph.add_constant(graph.fresh_name(f"{rest[0]}/map"), weights), *rest[1:])
    attributes = {key: of_two_axes(key, value) for key, value in node.attributes.items()}
    return [
        Node("Unsqueeze", (source, axes), (names[0],), {}, graph.fresh_name(f"{node.name}/unsqueeze")),
        replace(node, inputs=(names[0], *rest), outputs=(names[1],), attributes=attributes),
        Node("Squeeze", (names[1], axes), (target,), {}, graph.fresh_name(f"{node.name}/squeeze")),
    ]


def _like(graph: Graph, name: str) -> str:
    """Add a value with dtype and encoding of another; its shape is inferred."""
    return graph.add(replace(graph.value(name), name=graph.fresh_name(f"{name}/map"), shape=(), data=None))


def of_two_axes(key: str, value: Attribute) -> Attribute:
    """Return an attribute of a window on lines as that of one on maps of height 1."""
    if not isinstance(value, tuple) or not value:
        return value
    if key == "pads":
        return (0, int(value[0]), 0, int(value[1]))
    return (1, int(value[0])) if key in ("dilations", "kernel_shape", "strides") else value


lines_to_maps = Pass("lines-to-maps", _apply, ensures=lambda graph: not has_lines(graph))
