"""Give every low-bit layer the activation that alone reads it; see `lowbit.ir.activations`.

Layers that round to 8-bit codes have none: between them an activation maps codes to codes (`affine_chain`).
"""

from dataclasses import replace

from lowbit.ir.graph import Graph, Node
from lowbit.ir.layers import activation_of, compares, takes_over
from lowbit.ir.passes.infrastructure import Pass
from lowbit.ir.passes.readers import absorb, only_encoder, only_reader


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
    reader = only_reader(graph, layer)
    if reader is None or activation_of(graph, reader) is None:
        return None
    real = graph.value(layer.outputs[0]).encoding is None
    if not real or layer.attributes.get("activation", "none") != "none":
        return None
    encoder = only_encoder(graph, reader)
    ends = encoder is not None and takes_over(graph, layer, encoder)
    return reader if compares(graph, layer) or ends else None


fold_activations = Pass("fold-activations", _apply, ensures=has_no_activation_to_fold)
