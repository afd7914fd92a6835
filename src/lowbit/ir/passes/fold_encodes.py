"""Let every low-bit layer end in the codes of the encoder that alone reads it, seen through its activation.

``layer -> f -> Encode`` becomes one layer. It rounds its sums to codes of many bits whose encoding rounds,
which saturate where f clips; for others it compares its sums with thresholds (`lowbit.ir.activations`), and
any f is inside them. Codes of more than 8 bits have too many thresholds: an f that does not clip is a table
of codes behind the layer, as in a network that is in fixed point throughout.
"""

from dataclasses import replace

import numpy as np

from lowbit.ir.activations import ACTIVATIONS, function_table, preimage_thresholds
from lowbit.ir.graph import Graph, Node, Value
from lowbit.ir.layers import is_low_bit, rounds_to, takes_over
from lowbit.ir.passes.infrastructure import Pass
from lowbit.ir.passes.readers import absorb, only_encoder
from lowbit.schemes import Encoding

_MOST_THRESHOLDS = 8
"""Bits of codes that are found by thresholds."""


def has_no_encoder_to_fold(graph: Graph) -> bool:
    """Return whether no layer is read by an encoder alone in whose codes it could end."""
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
    """Return the encoder that a layer of codes can take over."""
    encoder = only_encoder(graph, layer) if is_low_bit(layer) else None
    real = graph.value(layer.outputs[0]).encoding is None
    return encoder if encoder is not None and real and takes_over(graph, layer, encoder) else None


def _fold(graph: Graph, layer: Node, encoder: Node) -> None:
    activation = str(layer.attributes.get("activation", "none"))
    encoding = graph.value(encoder.outputs[0]).encoding
    assert encoding is not None
    if encoding.bits > _MOST_THRESHOLDS or (_clips(activation) and rounds_to(graph, encoder)):
        _round(graph, layer, encoder, encoding, activation)
        return
    given = graph.constant(encoder.inputs[1]) if any(encoder.inputs[1:]) else encoding.thresholds()[0]
    thresholds = np.asarray(preimage_thresholds(given, activation))
    name = graph.add_constant(graph.fresh_name(f"{layer.name}/thresholds"), thresholds)
    absorb(graph, layer, replace(layer, inputs=(*layer.inputs[:3], name), outputs=encoder.outputs), encoder)


def _round(graph: Graph, layer: Node, encoder: Node, encoding: Encoding, activation: str) -> None:
    """Let a layer round to an encoder's codes, its activation a table behind it unless it clips."""
    rounded = replace(layer, outputs=encoder.outputs)
    if _clips(activation):
        absorb(graph, layer, rounded, encoder)
        return
    attributes = {name: value for name, value in layer.attributes.items() if name != "activation"}
    output = graph.value(encoder.outputs[0])
    sums = graph.add(replace(output, name=graph.fresh_name(f"{layer.name}/sums")))
    table = _table(graph, output, activation)
    name = graph.fresh_name(f"{layer.name}/{activation}")
    lookup = Node("FixedLookup", (sums, table), encoder.outputs, {}, name, "lowbit")
    graph.nodes.insert(graph.nodes.index(encoder), lookup)
    absorb(graph, layer, replace(layer, attributes=attributes, outputs=(sums,)), encoder)


def _clips(activation: str) -> bool:
    return activation == "none" or ACTIVATIONS[activation].clip is not None


def _table(graph: Graph, output: Value, activation: str) -> str:
    """Return the name of the constant with the code of a function for every code; equal ones are shared."""
    encoding = output.encoding
    assert encoding is not None
    name = f"{activation}.table"
    if name in graph.values and graph.value(name).encoding != encoding:
        name = graph.fresh_name(name)
    if name not in graph.values:
        data = function_table(encoding, activation)
        graph.add(Value(name, output.dtype, data.shape, data, encoding))
    return name


fold_encodes = Pass("fold-encodes", _apply, ensures=has_no_encoder_to_fold)
