"""Split normalization that stands alone: BatchNormalization becomes Mul and Add of one number per channel.

What a layer before it could take over is folded first (`fold_batchnorm`); the rest, as behind a
concatenation, is arithmetic that every backend has.
"""

import numpy as np

from lowbit.ir.graph import Graph, Node
from lowbit.ir.passes.channel_affine import channel_affine
from lowbit.ir.passes.infrastructure import Pass


def has_no_batchnorm(graph: Graph) -> bool:
    """Return whether no BatchNormalization with constants is left."""
    return not any(_is_open(graph, node) for node in graph.nodes)


def _apply(graph: Graph) -> bool:
    found = [node for node in graph.nodes if _is_open(graph, node)]
    for node in found:
        at = graph.nodes.index(node)
        graph.nodes[at : at + 1] = _split(graph, node)
    return bool(found)


def _is_open(graph: Graph, node: Node) -> bool:
    return node.op == "BatchNormalization" and channel_affine(graph, node) is not None


def _split(graph: Graph, node: Node) -> list[Node]:
    affine = channel_affine(graph, node)
    assert affine is not None
    rank = len(graph.value(node.inputs[0]).shape)
    column = (-1, *[1] * (rank - 2)) if rank > 2 else (1, -1)
    factor, shift = (
        graph.add_constant(graph.fresh_name(f"{node.name}/{name}"), np.reshape(vector, column))
        for name, vector in (("factor", affine.factor), ("shift", affine.shift))
    )
    scaled = graph.fresh_name(f"{node.name}/scaled")
    return [
        Node("Mul", (affine.source, factor), (scaled,), {}, node.name),
        Node("Add", (scaled, shift), node.outputs, {}, graph.fresh_name(f"{node.name}/shift")),
    ]


split_batchnorm = Pass("split-batchnorm", _apply, ensures=has_no_batchnorm)
