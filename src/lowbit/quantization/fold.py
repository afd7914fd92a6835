"""Passes that remove floats between quantized layers.

An encoder moves in front of what only moves elements. A layer `-> activation -> Encode`
becomes one layer that counts thresholds; one that rounds its sums becomes a layer and
an activation on codes.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from lowbit.ir import Graph, Node, Trait, Value, carried, has
from lowbit.ir.activations import preimage_thresholds
from lowbit.ir.layers import is_low_bit, rounds
from lowbit.ir.passes import Pass
from lowbit.schemes import Affine
from lowbit.schemes.affine.fit import encoding_of_range

Absorb = Callable[[Graph, Node, Node], bool]
Chosen = Callable[[Graph, Node | None], bool]
Range = tuple[float, float]

ACTIVATIONS = {"Relu": "relu", "Tanh": "tanh", "Sigmoid": "sigmoid"}
CLIPS: Mapping[tuple[float, ...], str] = {(0.0, 6.0): "relu6", (-1.0, 1.0): "hardtanh"}


def _lift_encodes(graph: Graph) -> bool:
    """Put every encoder before what moves or compares elements without changing them.

    Encoding is monotone and elementwise, so `encode(max(x)) = max(encode(x))`: pooling and reshaping work on
    codes, and the encoder comes to stand behind the layer that can absorb it. Where none can, it stays: fewer
    elements are left to encode behind a pool.
    """
    changed = False
    while pair := next(_liftable(graph), None):
        _swap(graph, *pair)
        changed = True
    return changed


def _liftable(graph: Graph) -> Iterator[tuple[Node, Node]]:
    for encoder in graph.nodes:
        mover = _mover_before(graph, encoder)
        if mover is not None:
            yield mover, encoder


def _mover_before(graph: Graph, encoder: Node) -> Node | None:
    """Return the node before an encoder, if it only moves elements and nobody else reads what it gives."""
    mover = graph.producer(encoder.inputs[0]) if encoder.op == "Encode" else None
    if (
        mover is None
        or not has(mover, Trait.CARRIES)
        or not _comes_from(graph, encoder, _absorbers(graph, encoder))
    ):
        return None
    return mover if _only_reader(graph, mover, ("Encode",)) is encoder else None


def compares(graph: Graph, node: Node | None) -> bool:
    """Return whether a node is a low-bit layer that can compare its sums with thresholds."""
    return is_low_bit(node) and not rounds(graph, node)


def _absorbers(graph: Graph, encoder: Node) -> Chosen:
    """Return which layers could take over an encoder."""
    return rounds if _is_affine8(graph, encoder) else compares


def _comes_from(graph: Graph, node: Node, chosen: Chosen) -> bool:
    """Return whether a node reads chosen layers alone, seen through activations and what moves elements.

    A value that others read as well stays float: an encoder before the mover would not be absorbed.
    """
    sources = carried(node)
    producers = [graph.producer(name) for name in sources]
    if any(len(graph.consumers(name)) > 1 or name in graph.outputs for name in sources):
        return False
    return all(
        producer is not None
        and (
            chosen(graph, producer)
            or (
                (producer.op in (*ACTIVATIONS, "Clip") or has(producer, Trait.CARRIES))
                and _comes_from(graph, producer, chosen)
            )
        )
        for producer in producers
    )


def _swap(graph: Graph, mover: Node, encoder: Node) -> None:
    """Encode what the mover reads, and let it move codes."""
    encoding, position = graph.value(encoder.outputs[0]).encoding, graph.nodes.index(mover)
    sources = carried(mover)
    encoders: dict[str, Node] = {}
    for source in dict.fromkeys(sources):  # a value may be joined with itself
        codes = graph.fresh_name(f"{source}/codes")
        graph.add(Value(codes, "code", graph.value(source).shape, None, encoding))
        name = encoder.name if source == sources[-1] else graph.fresh_name(f"{source}/encode")
        inputs = source, *encoder.inputs[1:]
        encoders[source] = replace(encoder, inputs=inputs, outputs=(codes,), name=name)
    inputs = (*(encoders[source].outputs[0] for source in sources), *mover.inputs[len(sources) :])
    graph.nodes[position] = replace(mover, inputs=inputs, outputs=encoder.outputs)
    graph.nodes.remove(encoder)
    graph.nodes[position:position] = encoders.values()


def _fold_activations(graph: Graph) -> bool:
    """Give every learned-basis layer the activation that alone reads it."""
    return _fold(graph, compares, (*ACTIVATIONS, "Clip"), _absorb_activation)


def _fold_encodes(graph: Graph) -> bool:
    """Give every learned-basis layer the thresholds of the encoder that alone reads it."""
    return _fold(graph, compares, ("Encode",), _absorb_encode)


def affine_chain(ranges: Mapping[str, Range]) -> Pass:
    """Return the pass that lets affine layers hand on codes.

    Args:
        ranges: least and largest output before the activation, by the layer's name.
    """
    return Pass("fold-affine", partial(_fold_affine, ranges))


def affine_ends(ranges: Mapping[str, Range]) -> Pass:
    """Return the pass that lets affine layers at the end of a network give codes, decoded behind them.

    Then a network of 8 bits has no layer of its own kind in a file: every runtime for int8 runs it.

    Args:
        ranges: least and largest output, by the layer's name.
    """
    return Pass("affine-ends", partial(_code_ends, ranges))


def _code_ends(ranges: Mapping[str, Range], graph: Graph) -> bool:
    ends = [
        node for node in graph.nodes if node.name in ranges and rounds(graph, node) and _is_end(graph, node)
    ]
    for layer in ends:
        low, high = ranges[layer.name]
        encoding = encoding_of_range(
            np.array([min(low, 0.0)]), np.array([max(high, 0.0)]), 8, symmetric=False
        )
        output = graph.value(layer.outputs[0])
        codes = graph.fresh_name(f"{output.name}/codes")
        graph.add(Value(codes, "code", output.shape, None, encoding))
        decode = Node(
            "Decode", (codes,), layer.outputs, {}, graph.fresh_name(f"{layer.name}/decode"), "lowbit"
        )
        position = graph.nodes.index(layer)
        graph.nodes[position : position + 1] = [replace(layer, outputs=(codes,)), decode]
    return bool(ends)


def _is_end(graph: Graph, layer: Node) -> bool:
    """Return whether a layer gives floats that are outputs or become probabilities."""
    output = graph.value(layer.outputs[0])
    readers = graph.consumers(output.name)
    final = all(has(reader, Trait.ENDS_CLASSIFIER) for reader in readers)
    return output.encoding is None and final and bool(readers or output.name in graph.outputs)


def _fold_affine(ranges: Mapping[str, Range], graph: Graph) -> bool:
    def absorb(graph: Graph, layer: Node, reader: Node) -> bool:
        if reader.op == "Encode":
            return _hand_on_codes(graph, layer, reader)
        encoder = _only_reader(graph, reader, ("Encode",))
        if encoder is None or not _is_affine8(graph, encoder) or layer.name not in ranges:
            return False
        encoding = graph.value(encoder.outputs[0]).encoding
        assert isinstance(encoding, Affine)
        before = _before_activation(ranges[layer.name], ACTIVATIONS[reader.op], encoding)
        graph.update(layer.outputs[0], encoding=before, dtype="code")
        return _hand_on_codes(graph, reader, encoder)

    return _fold(graph, rounds, (*ACTIVATIONS, "Encode"), absorb)


def _before_activation(seen: Range, activation: str, after: Affine) -> Affine:
    """Return the encoding before an activation: a step wider than what changes the code after it."""
    ends = preimage_thresholds(after.thresholds()[0, [0, -1]], activation).astype(np.float64)
    step = (ends[1] - ends[0]) / ((1 << after.bits) - 1)
    low, high = min(max(seen[0], ends[0] - step), 0.0), max(min(seen[1], ends[1] + step), 0.0)
    return encoding_of_range(np.array([low]), np.array([high]), after.bits, symmetric=False)


def _fold(graph: Graph, chosen: Chosen, readers: tuple[str, ...], absorb: Absorb) -> bool:
    changed = False
    for layer in [node for node in graph.nodes if chosen(graph, node)]:
        reader = _only_reader(graph, layer, readers)
        if reader is not None and graph.value(layer.outputs[0]).encoding is None:
            changed |= absorb(graph, layer, reader)
    return changed


def _absorb_activation(graph: Graph, layer: Node, reader: Node) -> bool:
    activation = _activation(graph, reader)
    if activation is None or layer.attributes.get("activation", "none") != "none":
        return False
    attributes = {**layer.attributes, "activation": activation}
    _replace(graph, layer, replace(layer, outputs=reader.outputs, attributes=attributes), reader)
    return True


def _activation(graph: Graph, node: Node) -> str | None:
    """Return the name of the activation that a node is, or None where layers have no such one."""
    if node.op != "Clip":
        return ACTIVATIONS[node.op]
    bounds = [graph.values[name].data if name else None for name in (*node.inputs[1:], "", "")[:2]]
    if any(bound is None for bound in bounds):
        return None
    return CLIPS.get(tuple(float(np.asarray(bound).item()) for bound in bounds))


def _absorb_encode(graph: Graph, layer: Node, reader: Node) -> bool:
    encoding = graph.value(reader.outputs[0]).encoding
    reads_floats = graph.value(layer.inputs[0]).encoding is None
    if encoding is None or isinstance(encoding, Affine) or reads_floats:
        return False
    activation = str(layer.attributes.get("activation", "none"))
    given = graph.constant(reader.inputs[1]) if any(reader.inputs[1:]) else encoding.thresholds()[0]
    thresholds = np.asarray(preimage_thresholds(given, activation))
    name = graph.add_constant(graph.fresh_name(f"{layer.name}/thresholds"), thresholds)
    _replace(graph, layer, replace(layer, inputs=(*layer.inputs[:3], name), outputs=reader.outputs), reader)
    return True


def _hand_on_codes(graph: Graph, maker: Node, encoder: Node) -> bool:
    if not _is_affine8(graph, encoder):
        return False
    _replace(graph, maker, replace(maker, outputs=encoder.outputs), encoder)
    return True


def _is_affine8(graph: Graph, encoder: Node) -> bool:
    encoding = graph.value(encoder.outputs[0]).encoding
    return isinstance(encoding, Affine) and encoding.bits == 8


def _only_reader(graph: Graph, node: Node, ops: tuple[str, ...]) -> Node | None:
    """Return the node that alone reads the output of `node`, if it is one of `ops`."""
    readers = graph.consumers(node.outputs[0])
    alone = len(readers) == 1 and node.outputs[0] not in graph.outputs
    return readers[0] if alone and readers[0].op in ops else None


def _replace(graph: Graph, old: Node, new: Node, absorbed: Node) -> None:
    """Put `new` where `old` was; `absorbed` disappears."""
    graph.nodes[graph.nodes.index(old)] = new
    graph.nodes.remove(absorbed)


lift_encodes = Pass("lift-encodes", _lift_encodes)
fold_activations = Pass("fold-activations", _fold_activations)
fold_encodes = Pass("fold-encodes", _fold_encodes)
