"""Fold batch normalization into the layer before it; give every convolution a bias.

    y = f x + s,   f = scale / sqrt(variance + epsilon),   s = bias - mean f
    W' = f W,      b' = f b + s                              per output channel, in float64

Sums and products with one constant per channel are folded likewise (`channel_affine`). Afterwards every
convolution with constant weights has a constant bias, and nothing of the kind stands alone behind a
convolution or a matrix product with constant weights. What reads anything else stays.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lowbit.ir.graph import Graph, Node
from lowbit.ir.passes.channel_affine import channel_affine
from lowbit.ir.passes.infrastructure import Pass

Floats = npt.NDArray[np.float64]


def is_convolution(graph: Graph, node: Node) -> bool:
    """Return whether a node is a convolution with constant weights and a constant bias."""
    return _has_constants(graph, node, "Conv") and len(node.inputs) == 3


def is_folded(graph: Graph) -> bool:
    """Return whether nothing is left to fold."""
    return not any(_layer_before(graph, node) or _lacks_bias(graph, node) for node in graph.nodes)


def _apply(graph: Graph) -> bool:
    changed = False
    for node in list(graph.nodes):
        if _lacks_bias(graph, node):
            _add_bias(graph, node)
            changed = True
    for node in list(graph.nodes):
        layer = _layer_before(graph, node)
        if layer is not None:
            _fold(graph, layer, node)
            changed = True
    return changed


def _has_constants(graph: Graph, node: Node, op: str) -> bool:
    return (node.domain, node.op) == ("", op) and all(
        graph.values[name].data is not None for name in node.inputs[1:] if name
    )


def _lacks_bias(graph: Graph, node: Node) -> bool:
    return _has_constants(graph, node, "Conv") and (len(node.inputs) < 3 or not node.inputs[2])


def _add_bias(graph: Graph, node: Node) -> None:
    zeros = np.zeros(len(graph.constant(node.inputs[1])))
    name = graph.add_constant(graph.fresh_name(f"{node.name}/bias"), zeros)
    graph.nodes[graph.nodes.index(node)] = replace(node, inputs=(*node.inputs[:2], name))


def _layer_before(graph: Graph, node: Node) -> Node | None:
    """Return the layer that a normalization can be folded into."""
    affine = channel_affine(graph, node)
    layer = graph.producer(affine.source) if affine else None
    if affine is None or layer is None:
        return None
    if len(graph.consumers(affine.source)) > 1 or affine.source in graph.outputs:
        return None
    plain = dict(layer.attributes) == {"transB": 1} and len(layer.inputs) == 3
    folds = is_convolution(graph, layer) or (_has_constants(graph, layer, "Gemm") and plain)
    return layer if folds else None


def _fold(graph: Graph, layer: Node, node: Node) -> None:
    affine = channel_affine(graph, node)
    assert affine is not None
    weights, bias = _constant(graph, layer.inputs[1]), _constant(graph, layer.inputs[2])
    column = affine.factor.reshape(-1, *[1] * (weights.ndim - 1))
    names = (
        graph.add_constant(graph.fresh_name(f"{layer.name}/weights"), weights * column),
        graph.add_constant(graph.fresh_name(f"{layer.name}/bias"), bias * affine.factor + affine.shift),
    )
    position = graph.nodes.index(layer)
    graph.nodes[position] = replace(layer, inputs=(layer.inputs[0], *names), outputs=node.outputs)
    graph.nodes.remove(node)


def _constant(graph: Graph, name: str) -> Floats:
    return graph.constant(name).astype(np.float64)


fold_batchnorm = Pass("fold-batchnorm", _apply, ensures=is_folded)
