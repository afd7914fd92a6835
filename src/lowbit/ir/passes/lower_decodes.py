"""Move every decoder behind what only moves or compares elements, and take away what codes anew.

    Decode -> Reshape           becomes  Reshape -> Decode
    Decode -> Encode            nothing, where both have the same levels

Foreign files decode before every operator and encode behind it; afterwards codes reach the layers.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from lowbit.ir.coded_constants import is_decoder
from lowbit.ir.graph import Graph, Node
from lowbit.ir.operators import Trait, carried, has
from lowbit.ir.passes.infrastructure import Pass
from lowbit.ir.passes.readers import is_encoder


def _apply(graph: Graph) -> bool:
    changed = False
    for node in list(graph.nodes):
        if is_encoder(node) and _codes_anew(graph, node):
            _skip(graph, node)
            changed = True
        elif (sources := _decoded(graph, node)) is not None:
            _lower(graph, node, sources)
            changed = True
    return changed


def _codes_anew(graph: Graph, encoder: Node) -> bool:
    """Return whether an encoder gives back the codes that its decoder read."""
    decoder = graph.producer(encoder.inputs[0])
    if decoder is None or not is_decoder(decoder) or encoder.outputs[0] in graph.outputs:
        return False
    source, target = graph.value(decoder.inputs[0]), graph.value(encoder.outputs[0])
    if source.encoding != target.encoding or source.data is not None or target.encoding is None:
        return False
    codes = np.arange(1 << target.encoding.bits)
    thresholds = (
        graph.constant(encoder.inputs[1]) if any(encoder.inputs[1:]) else target.encoding.thresholds()[0]
    )
    ranks = np.searchsorted(thresholds, target.encoding.decode(codes), side="left")
    return bool((target.encoding.code_of_rank()[0][ranks] == codes).all())


def _skip(graph: Graph, encoder: Node) -> None:
    decoder = graph.producer(encoder.inputs[0])
    assert decoder is not None
    old, new = encoder.outputs[0], decoder.inputs[0]
    graph.nodes = [
        replace(node, inputs=tuple(new if name == old else name for name in node.inputs))
        for node in graph.nodes
        if node is not encoder
    ]


def _decoded(graph: Graph, node: Node) -> list[str] | None:
    """Return the codes of which a mover's sources are decoded, if all are and mean the same."""
    if not has(node, Trait.CARRIES) or len(node.outputs) != 1:
        return None
    makers = [graph.producer(name) for name in carried(node)]
    if not makers or not all(is_decoder(maker) for maker in makers):
        return None
    sources = [maker.inputs[0] for maker in makers if maker is not None]
    values = [graph.value(name) for name in sources]
    first = values[0].encoding
    alike = all(value.encoding == first and value.data is None for value in values)
    return sources if alike and first is not None and first.channels == 1 else None


def _lower(graph: Graph, node: Node, sources: list[str]) -> None:
    output, codes = node.outputs[0], graph.value(sources[0])
    moved = graph.add(
        replace(codes, name=graph.fresh_name(f"{output}/codes"), shape=graph.value(output).shape)
    )
    mover = replace(node, inputs=(*sources, *node.inputs[len(sources) :]), outputs=(moved,))
    decoder = Node("Decode", (moved,), (output,), {}, graph.fresh_name(f"{output}/decode"), "lowbit")
    at = graph.nodes.index(node)
    graph.nodes[at : at + 1] = [mover, decoder]


def _pairs(graph: Graph) -> Iterator[Node]:
    for node in graph.nodes:
        if _decoded(graph, node) is not None or (is_encoder(node) and _codes_anew(graph, node)):
            yield node


lower_decodes = Pass("lower-decodes", _apply, ensures=lambda graph: next(_pairs(graph), None) is None)
