"""Fold constants: a node whose inputs are all constants becomes one; identities disappear."""

from dataclasses import replace
from math import prod

from lowbit.ir.graph import Graph, Node, Value
from lowbit.ir.passes.infrastructure import Pass
from lowbit.ir.reference import evaluate_node

_LARGEST = 1 << 28  # elements; a stranger's file must not expand beyond this


def _apply(graph: Graph) -> bool:
    before = len(graph.nodes)
    graph.nodes = [node for node in graph.nodes if not _fold(graph, node)]
    for node in list(graph.nodes):
        _skip_identity(graph, node.name)
    return len(graph.nodes) != before


def _fold(graph: Graph, node: Node) -> bool:
    inputs = [graph.values[name] for name in node.inputs if name]
    constant = all(value.data is not None for value in inputs)
    values = [*inputs, *(graph.values[name] for name in node.outputs)] if constant else []
    small = constant and all(_size(value) <= _LARGEST for value in values)
    if not inputs or not small or node.domain or node.op == "Identity":
        return False
    arrays = {value.name: value.data for value in inputs if value.data is not None}
    for name, array in zip(node.outputs, evaluate_node(graph, node, arrays), strict=True):
        graph.update(name, data=array)
    return True


def _size(value: Value) -> int:
    return prod(length for length in value.shape if isinstance(length, int))


def _skip_identity(graph: Graph, name: str) -> None:
    """Give both ends of an identity one name: the output's where that is the graph's, else the input's."""
    node = next(node for node in graph.nodes if node.name == name)
    source, target = node.inputs[0], node.outputs[0]
    is_output = target in graph.outputs
    if node.op != "Identity" or (is_output and (graph.producer(source) is None or source in graph.outputs)):
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


fold_constants = Pass("fold-constants", _apply)
