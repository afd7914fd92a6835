"""Let fully connected layers of tokens be convolutions of one tap, which quantization knows.

    x W + b    of rows [n, t, c] or [n, h, w, c], W [c, o]

is a convolution with kernels ``[o, c, 1]`` between two transpositions, which `settle_layout` takes away
between neighbours. So tokens of a transformer get low bits in every place where maps do. Where steps come
first, as in attention that torch exports (``[t, n, c]``), the axis of samples becomes the first one.
"""

import numpy as np

from lowbit.ir.graph import Graph, Node, Shape, Value
from lowbit.ir.passes.fuse_linear import absorbed_bias
from lowbit.ir.passes.infrastructure import Pass

_RANKS = (3, 4)


def has_tokens(graph: Graph) -> bool:
    """Return whether there is a layer of tokens."""
    return any(_is_of_tokens(graph, node) for node in graph.nodes)


def _apply(graph: Graph) -> bool:
    found = [node for node in graph.nodes if _is_of_tokens(graph, node)]
    for node in found:
        _rewrite(graph, node)
    return bool(found)


def _is_of_tokens(graph: Graph, node: Node) -> bool:
    if (node.domain, node.op) != ("", "MatMul"):
        return False
    source, weights = (graph.values[name] for name in node.inputs)
    constant = weights.data is not None and weights.data.ndim == 2 and weights.dtype == "float32"
    return constant and source.data is None and len(source.shape) in _RANKS


def _rewrite(graph: Graph, node: Node) -> None:
    weights = graph.constant(node.inputs[1])
    rank, stem = len(graph.value(node.inputs[0]).shape), node.name or node.op
    bias, output, absorbed = absorbed_bias(graph, node, weights.shape[1])
    kernel = np.ascontiguousarray(weights.T).reshape(*weights.T.shape, *[1] * (rank - 2))
    constants = (
        graph.add_constant(graph.fresh_name(f"{stem}/kernel"), kernel),
        graph.add_constant(graph.fresh_name(f"{stem}/bias"), bias),
    )
    shape = graph.value(node.inputs[0]).shape
    batch = _batch_of(shape)
    forth = (batch, rank - 1, *(axis for axis in range(rank - 1) if axis != batch))
    back = tuple(forth.index(axis) for axis in range(rank))
    turned_shape = tuple(shape[axis] for axis in forth)
    turned = _computed(graph, f"{stem}/turned", turned_shape)
    made = _computed(graph, f"{stem}/made", (turned_shape[0], weights.shape[1], *turned_shape[2:]))
    at = graph.nodes.index(absorbed or node)
    graph.nodes[at : at + 1] = [
        Node("Transpose", (node.inputs[0],), (turned,), {"perm": forth}, graph.fresh_name(f"{stem}/turn")),
        Node("Conv", (turned, *constants), (made,), {}, stem),
        Node("Transpose", (made,), (output,), {"perm": back}, graph.fresh_name(f"{stem}/back")),
    ]
    if absorbed:
        graph.nodes.remove(node)


def _batch_of(shape: Shape) -> int:
    """Return the axis of the samples: the open one, else the first that is one long, else the first."""
    leading = shape[:-1]
    opened = [axis for axis, length in enumerate(leading) if isinstance(length, str)]
    return (opened + [axis for axis, length in enumerate(leading) if length == 1] + [0])[0]


def _computed(graph: Graph, stem: str, shape: Shape) -> str:
    return graph.add(Value(graph.fresh_name(stem), "float32", shape))


tokens_to_maps = Pass("tokens-to-maps", _apply, ensures=lambda graph: not has_tokens(graph))
