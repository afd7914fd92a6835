"""Fold constants: a node of constant inputs alone becomes one, so do known lengths; identities disappear.

A small file may ask for constants of any size, one after another. So what is made counts against the memory
budget as long as something still reads it. What would hold NaN or infinity is no constant and stays a node.
"""

from collections import Counter
from dataclasses import replace
from math import prod

import numpy as np

from lowbit.budget import check_budget
from lowbit.ir.graph import DTYPES, Array, Graph, Node, Value
from lowbit.ir.operators import Trait, has, operator_of
from lowbit.ir.operators.contents import contents, is_shape
from lowbit.ir.passes.infrastructure import Pass
from lowbit.ir.reference import evaluate_node


class _Folding:
    """One run over a graph: how often each value is still read, and the bytes of what was made."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._readers = Counter(name for node in graph.nodes for name in node.inputs)
        self._readers.update(graph.outputs)
        self._made: dict[str, int] = {}

    def fold(self, node: Node) -> bool:
        """Make a constant of a node's results, if it can be one."""
        graph = self._graph
        found = _lengths(graph, node)
        found = _empty(graph, node) if found is None else found
        if found is not None:
            graph.update(node.outputs[0], data=found)
            self._release(node)
            return True
        inputs = [graph.values[name] for name in node.inputs if name]
        constant = all(value.data is not None for value in inputs)
        if not inputs or not constant or node.domain or node.op == "Identity":
            return False
        size = sum(_bytes(graph.values[name]) for name in node.outputs)
        check_budget(sum(self._made.values()) + size, f"{graph.name}/{node.name}", "folded constants")
        arrays = {value.name: value.data for value in inputs if value.data is not None}
        with np.errstate(all="ignore"):
            results = evaluate_node(graph, node, arrays)
        if not all(np.isfinite(result).all() for result in results if result.dtype.kind == "f"):
            return False
        for name, array in zip(node.outputs, results, strict=True):
            graph.update(name, data=array)
            self._made[name] = array.nbytes
        self._release(node)
        return True

    def _release(self, node: Node) -> None:
        """Give up constants that were made and that nothing reads any more."""
        for name in filter(None, node.inputs):
            self._readers[name] -= 1
            if self._readers[name] == 0 and self._made.pop(name, None) is not None:
                del self._graph.values[name]


def _apply(graph: Graph) -> bool:
    before, folding = len(graph.nodes), _Folding(graph)
    graph.nodes = [node for node in graph.nodes if not folding.fold(node)]
    graph.nodes, whole = [_without_empty_parts(graph, node) for node in graph.nodes], graph.nodes
    joined = graph.nodes != whole
    for name in [node.name for node in graph.nodes if _is_identity(node)]:
        _skip_identity(graph, name)
    return joined or len(graph.nodes) != before


def _lengths(graph: Graph, node: Node) -> Array | None:
    """Return what a Shape gives where it asks for known lengths alone."""
    if not is_shape(node):
        return None
    found = contents(graph, node.outputs[0])
    return None if found is None or found.dtype == object else found


def _empty(graph: Graph, node: Node) -> Array | None:
    """Return the one result of a node if it has no elements, whatever goes in."""
    value = graph.value(node.outputs[0])
    if len(node.outputs) > 1 or 0 not in value.shape or value.encoding is not None:
        return None
    lengths = [length for length in value.shape if isinstance(length, int)]
    return np.zeros(lengths, DTYPES[value.dtype]) if len(lengths) == len(value.shape) else None


def _without_empty_parts(graph: Graph, node: Node) -> Node:
    """Return a concatenation without parts that have no elements; any other node as it is."""
    if not has(node, Trait.CARRIES) or not operator_of(node).inputs[0].endswith("*"):
        return node
    kept = tuple(name for name in node.inputs if 0 not in graph.value(name).shape)
    return replace(node, inputs=kept) if kept and len(kept) < len(node.inputs) else node


def _bytes(value: Value) -> int:
    lengths = (length for length in value.shape if isinstance(length, int))
    return prod(lengths) * DTYPES[value.dtype].itemsize


def _skip_identity(graph: Graph, name: str) -> None:
    """Give both ends of an identity one name: the output's where that is the graph's, else the input's."""
    node = next(node for node in graph.nodes if node.name == name)
    source, target = node.inputs[0], node.outputs[0]
    is_output = target in graph.outputs
    if is_output and (graph.producer(source) is None or source in graph.outputs):
        return
    old, new = (source, target) if is_output else (target, source)
    graph.nodes = [
        replace(
            other,
            inputs=tuple(new if name == old else name for name in other.inputs),
            outputs=tuple(new if name == old else name for name in other.outputs),
        )
        for other in graph.nodes
        if other is not node
    ]


def _is_identity(node: Node) -> bool:
    """Return whether a node gives what it reads: an Identity, or a Clip between no bounds."""
    if has(node, Trait.ELEMENTWISE | Trait.MOVES):
        return True
    return (node.domain, node.op) == ("", "Clip") and not any(node.inputs[1:])


fold_constants = Pass("fold-constants", _apply)
