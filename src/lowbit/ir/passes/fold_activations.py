"""Give every low-bit layer the activation that alone reads it; see `lowbit.ir.activations`.

Layers that round have none: between them an activation maps codes to codes (`affine_chain`).
"""

from dataclasses import replace

from lowbit.ir.graph import Graph, Node
from lowbit.ir.layers import activation_of, compares
from lowbit.ir.passes.infrastructure import Pass
from lowbit.ir.passes.readers import absorb, only_reader


def has_no_activation_to_fold(graph: Graph) -> bool:
    """Return whether no layer without an activation is read by one alone."""
    return not any(_folded(graph, node) for node in graph.nodes)


def _apply(graph: Graph) -> bool:
    changed = False
    for layer in list(graph.nodes):
        reader = _folded(graph, layer)
        if reader is not None:
            attributes = {**layer.attributes, "activation": str(activation_of(graph, reader))}
            absorb(graph, layer, replace(layer, outputs=reader.outputs, attributes=attributes), reader)
            changed = True
    return changed


def _folded(graph: Graph, layer: Node) -> Node | None:
    """Return the activation that a layer can take over."""
    if not compares(graph, layer) or layer.attributes.get("activation", "none") != "none":
        return None
    reader = only_reader(graph, layer)
    real = graph.value(layer.outputs[0]).encoding is None
    return reader if real and reader is not None and activation_of(graph, reader) is not None else None


fold_activations = Pass("fold-activations", _apply, ensures=has_no_activation_to_fold)
