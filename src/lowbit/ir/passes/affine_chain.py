"""Let layers of 8-bit affine codes hand on codes: they round their sums to the codes of what reads them.

``layer -> Encode`` becomes the layer, and so does ``layer -> activation -> Encode`` where the activation only
clips what saturates anyway; else it is a layer and an activation on codes, which is a table. At the end of a
network such a layer gives codes that are decoded behind it.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from lowbit.ir.activations import ACTIVATIONS, preimage_thresholds
from lowbit.ir.graph import Graph, Node, Value
from lowbit.ir.layers import activation_of, gives_bytes, rounds, rounds_uniform
from lowbit.ir.operators import Trait, has
from lowbit.ir.passes.infrastructure import Pass
from lowbit.ir.passes.readers import absorb, is_encoder, only_encoder, only_reader
from lowbit.schemes import Encoding
from lowbit.schemes.affine.fit import encoding_of_range

Range = tuple[float, float]

_BITS = 8


def affine_chain(ranges: Mapping[str, Range]) -> Pass:
    """Return the pass that lets affine layers hand on codes.

    Args:
        ranges: least and largest output before the activation, by the layer's name.
    """
    done = partial(_has_none_to_fold, ranges)
    return Pass("fold-affine", partial(_fold, ranges), ensures=done)


def affine_ends(ranges: Mapping[str, Range]) -> Pass:
    """Return the pass that lets affine layers at the end of a network give codes, decoded behind them.

    Then a network of 8 bits has no layer of its own kind in a file: every runtime for int8 runs it.

    Args:
        ranges: least and largest output, by the layer's name.
    """
    return Pass("affine-ends", partial(_code_ends, ranges), ensures=lambda graph: not _ends(ranges, graph))


def _has_none_to_fold(ranges: Mapping[str, Range], graph: Graph) -> bool:
    return not any(_folded(ranges, graph, node) for node in graph.nodes)


def _fold(ranges: Mapping[str, Range], graph: Graph) -> bool:
    changed = False
    for layer in list(graph.nodes):
        found = _folded(ranges, graph, layer)
        if found is None:
            continue
        changed, (activation, encoder) = True, found
        if activation is None:
            absorb(graph, layer, replace(layer, outputs=encoder.outputs), encoder)
            continue
        after, name = graph.value(encoder.outputs[0]).encoding, activation_of(graph, activation)
        assert after is not None and name is not None
        if _saturates(name, after):
            graph.nodes.remove(activation)
            absorb(graph, layer, replace(layer, outputs=encoder.outputs), encoder)
            continue
        before = _before_activation(ranges[layer.name], name, after)
        graph.update(layer.outputs[0], encoding=before, dtype="code")
        absorb(graph, activation, replace(activation, outputs=encoder.outputs), encoder)
    return changed


def _folded(ranges: Mapping[str, Range], graph: Graph, layer: Node) -> tuple[Node | None, Node] | None:
    """Return the activation, if there is one, and the encoder behind a layer that can hand on codes."""
    if not rounds_uniform(graph, layer) or graph.value(layer.outputs[0]).encoding is not None:
        return None
    reader = only_reader(graph, layer)
    if reader is None or is_encoder(reader):
        return None if reader is None or not gives_bytes(graph, reader) else (None, reader)
    name, encoder = activation_of(graph, reader), only_encoder(graph, reader)
    if name is None or encoder is None or not gives_bytes(graph, encoder):
        return None
    after = graph.value(encoder.outputs[0]).encoding
    on_codes = len(reader.inputs) == 1 and layer.name in ranges  # a Clip is no function on codes
    return (reader, encoder) if on_codes or (after is not None and _saturates(name, after)) else None


def _saturates(activation: str, after: Encoding) -> bool:
    """Return whether all that an activation clips has the first code or the last one all the same."""
    clip, thresholds = ACTIVATIONS[activation].clip, after.thresholds()[0]
    return clip is not None and clip[0] <= thresholds[0] and clip[1] > thresholds[-1]


def _before_activation(seen: Range, activation: str, after: Encoding) -> Encoding:
    """Return the encoding before an activation: a step wider than what changes the code after it."""
    ends = preimage_thresholds(after.thresholds()[0, [0, -1]], activation).astype(np.float64)
    step = (ends[1] - ends[0]) / ((1 << after.bits) - 1)
    return _over(max(seen[0], ends[0] - step), min(seen[1], ends[1] + step))


def _over(low: float, high: float) -> Encoding:
    """Return the encoding over a range, zero included."""
    ends = np.array([min(low, 0.0)]), np.array([max(high, 0.0)])
    return encoding_of_range(*ends, _BITS, symmetric=False)


def _ends(ranges: Mapping[str, Range], graph: Graph) -> list[Node]:
    return [
        node for node in graph.nodes if node.name in ranges and rounds(graph, node) and _is_end(graph, node)
    ]


def _code_ends(ranges: Mapping[str, Range], graph: Graph) -> bool:
    ends = _ends(ranges, graph)
    for layer in ends:
        output = graph.value(layer.outputs[0])
        codes = graph.fresh_name(f"{output.name}/codes")
        graph.add(Value(codes, "code", output.shape, None, _over(*ranges[layer.name])))
        name = graph.fresh_name(f"{layer.name}/decode")
        decode = Node("Decode", (codes,), layer.outputs, {}, name, "lowbit")
        position = graph.nodes.index(layer)
        graph.nodes[position : position + 1] = [replace(layer, outputs=(codes,)), decode]
    return bool(ends)


def _is_end(graph: Graph, layer: Node) -> bool:
    """Return whether a layer gives floats that are outputs or become probabilities."""
    output = graph.value(layer.outputs[0])
    readers = graph.consumers(output.name)
    final = all(has(reader, Trait.ENDS_CLASSIFIER) for reader in readers)
    return output.encoding is None and final and bool(readers or output.name in graph.outputs)
