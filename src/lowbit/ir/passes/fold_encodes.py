"""Give every low-bit layer the thresholds of the encoder that alone reads it, seen through its activation.

``layer -> f -> Encode`` becomes one layer that compares its sums with thresholds (`lowbit.ir.activations`).
"""

from dataclasses import replace

import numpy as np

from lowbit.ir.activations import preimage_thresholds
from lowbit.ir.graph import Graph, Node
from lowbit.ir.layers import compares, is_affine
from lowbit.ir.passes.infrastructure import Pass
from lowbit.ir.passes.readers import absorb, only_encoder


def has_no_encoder_to_fold(graph: Graph) -> bool:
    """Return whether no layer is read by an encoder alone whose thresholds it could have."""
    return not any(_folded(graph, node) for node in graph.nodes)


def _apply(graph: Graph) -> bool:
    changed = False
    for layer in list(graph.nodes):
        encoder = _folded(graph, layer)
        if encoder is not None:
            _fold(graph, layer, encoder)
            changed = True
    return changed


def _folded(graph: Graph, layer: Node) -> Node | None:
    """Return the encoder that a layer of codes can take over: one whose codes are found by thresholds."""
    if not compares(graph, layer) or graph.value(layer.outputs[0]).encoding is not None:
        return None
    encoder = only_encoder(graph, layer)
    reads_floats = graph.value(layer.inputs[0]).encoding is None
    if encoder is None or reads_floats or is_affine(graph.value(encoder.outputs[0]).encoding):
        return None
    return encoder


def _fold(graph: Graph, layer: Node, encoder: Node) -> None:
    activation = str(layer.attributes.get("activation", "none"))
    encoding = graph.value(encoder.outputs[0]).encoding
    assert encoding is not None
    given = graph.constant(encoder.inputs[1]) if any(encoder.inputs[1:]) else encoding.thresholds()[0]
    thresholds = np.asarray(preimage_thresholds(given, activation))
    name = graph.add_constant(graph.fresh_name(f"{layer.name}/thresholds"), thresholds)
    absorb(graph, layer, replace(layer, inputs=(*layer.inputs[:3], name), outputs=encoder.outputs), encoder)


fold_encodes = Pass("fold-encodes", _apply, ensures=has_no_encoder_to_fold)
