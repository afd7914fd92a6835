"""Put maximum pooling last: pool, then a non-decreasing function, become function, then pool.

    f(max(x)) = max(f(x))    for non-decreasing f

Normalization and activation then stand right behind the layer that they are folded into, and what is
pooled are codes. Functions: the monotone activations, and arithmetic per channel (`channel_affine`) whose
factors are all positive. One negative factor would turn that channel's maximum into a minimum, so such a
normalization stays where it is.
"""

from dataclasses import replace

from lowbit.ir.graph import Graph, Node
from lowbit.ir.operators import Trait, has
from lowbit.ir.passes.channel_affine import channel_affine
from lowbit.ir.passes.infrastructure import Pass


def has_pools_last(graph: Graph) -> bool:
    """Return whether no function could still be moved before a pool."""
    return not any(_pool_before(graph, node) for node in graph.nodes)


def _apply(graph: Graph) -> bool:
    changed = False
    for node in list(graph.nodes):
        while (pool := _pool_before(graph, node)) is not None:
            node = _swap(graph, pool, node)
            changed = True
    return changed


def _pool_before(graph: Graph, node: Node) -> Node | None:
    """Return the pool that a function reads and nothing else does, if they can change places."""
    source = _moved_input(graph, node)
    pool = graph.producer(source) if source else None
    if pool is None or not has(pool, Trait.COMPARES):
        return None
    shared = source in graph.outputs or len(graph.consumers(source)) > 1
    coded = any(graph.values[name].encoding is not None for name in (*pool.inputs, *node.outputs))
    return None if shared or coded else pool


def _moved_input(graph: Graph, node: Node) -> str:
    """Return what a non-decreasing function of one value reads, or "" where it is something else."""
    if is_monotone(graph, node) and not has(node, Trait.MOVES):
        return node.inputs[0]
    affine = channel_affine(graph, node)
    return affine.source if affine is not None and (affine.factor > 0).all() else ""


def is_monotone(graph: Graph, node: Node) -> bool:
    """Return whether a node is a non-decreasing function of its first input, its parameters constants."""
    alpha = node.attributes.get("alpha", 0.0)
    rises = isinstance(alpha, int | float) and alpha >= 0
    constants = all(graph.values[name].data is not None for name in node.inputs[1:] if name)
    return has(node, Trait.MONOTONE) and rises and constants


def _swap(graph: Graph, pool: Node, function: Node) -> Node:
    """Exchange the two in place and return the function, which now reads what the pool read."""
    before, between, after = pool.inputs[0], pool.outputs[0], function.outputs[0]
    inputs = tuple(before if name == between else name for name in function.inputs)
    moved = replace(function, inputs=inputs, outputs=(between,))
    graph.nodes[graph.nodes.index(pool)] = moved
    graph.nodes[graph.nodes.index(function)] = replace(pool, inputs=(between,), outputs=(after,))
    return moved


order_pools = Pass("order-pools", _apply, ensures=has_pools_last)
