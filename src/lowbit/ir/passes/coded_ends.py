"""What stands between a layer and the codes that it ends in, as files of others have it.

    f -> Encode                   Encode, where the codes cannot hold what f would change: Relu before codes
                                  that begin at zero
    layer -> Encode               the layer rounds to affine codes of 5 to 8 bits itself
    layer -> Relu -> Encode       the layer rounds, and Relu is a table on its codes: the encoder is monotone

Codes of fewer bits are found by thresholds (`fold_encodes`), which are as many as steps.
"""

from dataclasses import replace

import numpy as np

from lowbit.ir.graph import Graph, Node
from lowbit.ir.layers import activation_of, is_affine, is_low_bit, rounds_to
from lowbit.ir.operators import Trait, has
from lowbit.ir.passes.infrastructure import Pass
from lowbit.ir.passes.readers import absorb, is_encoder, only_encoder, only_reader
from lowbit.ir.reference import evaluate_node


def _implied(graph: Graph, node: Node) -> Node | None:
    """Return the encoder behind a function that its codes imply."""
    encoder = None if node.domain else only_encoder(graph, node)
    return encoder if encoder is not None and _is_implied(graph, node, encoder) else None


def _is_implied(graph: Graph, node: Node, encoder: Node) -> bool:
    """Return whether codes are the same without a function before them that does not decrease.

    They are when it moves no threshold, nor its upper neighbour, to the other side.
    """
    if not has(node, Trait.ELEMENTWISE | Trait.MONOTONE) or has(node, Trait.MOVES):
        return False
    alpha = node.attributes.get("alpha", 0.0)
    if not isinstance(alpha, float | int) or alpha < 0:
        return False
    if any(name and graph.value(name).data is None for name in node.inputs[1:]):
        return False
    if graph.value(node.inputs[0]).encoding is not None or graph.value(node.outputs[0]).encoding is not None:
        return False
    thresholds = _thresholds(graph, encoder).astype(np.float32)
    ends = np.array([-np.finfo(np.float32).max, np.finfo(np.float32).max], np.float32)
    with np.errstate(over="ignore"):
        above = np.minimum(np.nextafter(thresholds, np.float32(np.inf)), ends[1])
    points = np.concatenate([thresholds, above, ends])
    constants = {name: graph.constant(name) for name in node.inputs[1:] if name}
    (after,) = evaluate_node(graph, node, {node.inputs[0]: points, **constants})
    return np.array_equal(np.searchsorted(thresholds, after), np.searchsorted(thresholds, points))


def _thresholds(graph: Graph, encoder: Node) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    encoding = graph.value(encoder.outputs[0]).encoding
    assert encoding is not None
    if any(encoder.inputs[1:]):
        return np.asarray(graph.constant(encoder.inputs[1]), np.float32)
    return np.asarray(encoding.thresholds()[0])


def _drop_implied(graph: Graph) -> bool:
    changed = False
    for node in reversed(list(graph.nodes)):  # of several functions the last one first
        encoder = _implied(graph, node)
        if encoder is not None:
            absorb(graph, encoder, replace(encoder, inputs=(node.inputs[0], *encoder.inputs[1:])), node)
            changed = True
    return changed


def _rounding(graph: Graph, layer: Node) -> tuple[Node | None, Node] | None:
    """Return the Relu, if there is one, and the encoder behind a layer that can round to its codes."""
    if not is_low_bit(layer) or graph.value(layer.outputs[0]).encoding is not None:
        return None
    if graph.value(layer.inputs[0]).encoding is None or layer.attributes.get("activation", "none") != "none":
        return None
    reader = only_reader(graph, layer)
    relu = reader if reader is not None and activation_of(graph, reader) == "relu" else None
    encoder = reader if relu is None else only_encoder(graph, relu)
    rounds = encoder is not None and is_encoder(encoder) and _rounds(graph, encoder)
    return (relu, encoder) if rounds and encoder is not None else None


def _rounds(graph: Graph, encoder: Node) -> bool:
    """Return whether an encoder rounds to affine codes of many bits, as the encoding itself does."""
    return is_affine(graph.value(encoder.outputs[0]).encoding) and rounds_to(graph, encoder)


def _round(graph: Graph) -> bool:
    changed = False
    for layer in list(graph.nodes):
        found = _rounding(graph, layer)
        if found is None:
            continue
        changed, (relu, encoder) = True, found
        if relu is None:
            absorb(graph, layer, replace(layer, outputs=encoder.outputs), encoder)
            continue
        codes = graph.value(encoder.outputs[0])
        graph.update(layer.outputs[0], dtype=codes.dtype, encoding=codes.encoding)
        absorb(graph, relu, replace(relu, outputs=encoder.outputs), encoder)
    return changed


def _has_implied(graph: Graph) -> bool:
    return any(_implied(graph, node) for node in graph.nodes)


def _has_rounding(graph: Graph) -> bool:
    return any(_rounding(graph, node) for node in graph.nodes)


drop_implied = Pass("drop-implied", _drop_implied, ensures=lambda graph: not _has_implied(graph))

round_layers = Pass("round-layers", _round, ensures=lambda graph: not _has_rounding(graph))
