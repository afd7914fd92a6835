"""Constants of codes that a layer does not read become the floats that they stand for."""

from lowbit.ir.coded_constants import is_decoder
from lowbit.ir.graph import Graph, Node
from lowbit.ir.passes.infrastructure import Pass
from lowbit.ir.reference import evaluate_node


def _foldable(graph: Graph) -> list[Node]:
    return [node for node in graph.nodes if is_decoder(node) and graph.value(node.inputs[0]).data is not None]


def _apply(graph: Graph) -> bool:
    found = _foldable(graph)
    for node in found:
        codes = graph.value(node.inputs[0])
        assert codes.data is not None
        (reals,) = evaluate_node(graph, node, {codes.name: codes.data})
        graph.update(node.outputs[0], data=reals)
        graph.nodes.remove(node)
    return bool(found)


fold_decodes = Pass("fold-decodes", _apply, ensures=lambda graph: not _foldable(graph))
