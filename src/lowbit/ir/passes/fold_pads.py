"""Fold padding into the window that reads it: Pad, then Conv or a pool, become one node with pads.

    Conv           zeros around the map are its own padding
    AveragePool    zeros are counted, so a pool without pads of its own gets ``count_include_pad``
    MaxPool        zeros never win where no element is negative: behind Relu, Sigmoid or a Clip from 0 on

Only pads of the spatial axes, with zeros and none negative, are folded; others stay.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from lowbit.ir.graph import Attribute, Graph, Node
from lowbit.ir.operators import Trait, has
from lowbit.ir.passes.infrastructure import Pass
from lowbit.ir.passes.order_pools import is_monotone
from lowbit.ir.reference import evaluate_node

Pads = tuple[int, ...]
Merge = Callable[[Graph, Node, Node, Pads], dict[str, Attribute] | None]


def has_no_pads_to_fold(graph: Graph) -> bool:
    """Return whether no window is left that could take over the padding before it."""
    return not any(_folded(graph, node) for node in graph.nodes)


def _apply(graph: Graph) -> bool:
    changed = False
    while (folded := [_folded(graph, node) or node for node in graph.nodes]) != graph.nodes:
        graph.nodes, changed = folded, True  # again: behind a Pad there may be another
    return changed


def _folded(graph: Graph, node: Node) -> Node | None:
    """Return the node with the padding of its input, or None where that would be something else."""
    merge = _merge(graph, node)
    pad = graph.producer(node.inputs[0]) if merge is not None else None
    pads = _spatial_zeros(graph, pad) if pad is not None and pad.op == "Pad" else None
    if merge is None or pad is None or pads is None:
        return None
    merged = merge(graph, node, pad, pads)
    if merged is None:
        return None
    return replace(node, inputs=(pad.inputs[0], *node.inputs[1:]), attributes={**node.attributes, **merged})


def _merge(graph: Graph, node: Node) -> Merge | None:
    """Return how a window on floats takes over padding, or None where a node is none."""
    if not has(node, Trait.WINDOW) or graph.value(node.inputs[0]).encoding is not None:
        return None
    if has(node, Trait.LAYER):
        return _into_convolution
    return _into_max if has(node, Trait.COMPARES) else _into_average


def _spatial_zeros(graph: Graph, pad: Node) -> Pads | None:
    """Return a Pad's pads of the spatial axes, if it adds zeros there and nothing else."""
    fill = graph.values[pad.inputs[2]].data if len(pad.inputs) > 2 and pad.inputs[2] else np.zeros(1)
    edges = graph.constant(pad.inputs[1]).astype(np.int64).reshape(2, -1)
    zeros = fill is not None and not fill.any() and pad.attributes.get("mode", "constant") == "constant"
    if not zeros or edges.min() < 0 or edges[:, :2].any():
        return None
    return tuple(int(edge) for edge in edges[:, 2:].reshape(-1))


def _into_convolution(_: Graph, node: Node, __: Node, pads: Pads) -> dict[str, Attribute]:
    return {"pads": _sum(node, pads)}


def _into_average(_: Graph, node: Node, __: Node, pads: Pads) -> dict[str, Attribute] | None:
    counts_its_own = bool(node.attributes.get("count_include_pad")) or not any(_own(node))
    return {"pads": _sum(node, pads), "count_include_pad": 1} if counts_its_own else None


def _into_max(graph: Graph, node: Node, pad: Node, pads: Pads) -> dict[str, Attribute] | None:
    before = graph.producer(pad.inputs[0])
    if before is None or not _starts_at_zero(graph, before):
        return None
    total, kernel = _sum(node, pads), node.attributes["kernel_shape"]
    assert isinstance(kernel, tuple)
    sees_the_map = all(pad < int(k) for pad, k in zip(total, kernel * 2, strict=True))
    undilated = not any(step != 1 for step in _row(node, "dilations"))
    return {"pads": total} if sees_the_map and undilated else None


def _starts_at_zero(graph: Graph, node: Node) -> bool:
    """Return whether a function gives no negative number: a non-decreasing one, where its first is none."""
    if not is_monotone(graph, node):
        return False
    lowest = np.full([1] * len(graph.value(node.inputs[0]).shape), np.finfo(np.float32).min, np.float32)
    parameters = {name: graph.constant(name) for name in node.inputs[1:] if name}
    (first,) = evaluate_node(graph, node, {**parameters, node.inputs[0]: lowest})
    return float(first.item()) >= 0


def _sum(node: Node, pads: Pads) -> Pads:
    own = _own(node) or (0,) * len(pads)
    return tuple(a + b for a, b in zip(own, pads, strict=True))


def _own(node: Node) -> Pads:
    return _row(node, "pads")


def _row(node: Node, name: str) -> Pads:
    row = node.attributes.get(name, ())
    assert isinstance(row, tuple)
    return tuple(int(number) for number in row)


fold_pads = Pass("fold-pads", _apply, ensures=has_no_pads_to_fold)
