"""Put every encoder before what moves or compares elements without changing them.

Encoding is monotone and elementwise, so ``encode(max(x)) = max(encode(x))``: pooling and reshaping work on
codes, and the encoder comes to stand behind the layer that can absorb it. Where none can, it stays: fewer
elements are left to encode behind a pool.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from lowbit.ir.graph import Graph, Node
from lowbit.ir.layers import activation_of, gives_bytes, rounds_uniform, takes_over
from lowbit.ir.operators import Trait, carried, has
from lowbit.ir.passes.infrastructure import Pass
from lowbit.ir.passes.readers import is_encoder, only_encoder

Chosen = Callable[[Graph, Node | None], bool]


def has_no_encoder_to_lift(graph: Graph) -> bool:
    """Return whether no encoder stands behind a mover and could be absorbed before it."""
    return next(_liftable(graph), None) is None


def _apply(graph: Graph) -> bool:
    changed = False
    while pair := next(_liftable(graph), None):
        _swap(graph, *pair)
        changed = True
    return changed


def _liftable(graph: Graph) -> Iterator[tuple[Node, Node]]:
    for encoder in filter(is_encoder, graph.nodes):
        mover = _mover_before(graph, encoder)
        if mover is not None:
            yield mover, encoder


def _mover_before(graph: Graph, encoder: Node) -> Node | None:
    """Return the node before an encoder, if it only moves elements and nobody else reads what it gives."""
    mover = graph.producer(encoder.inputs[0])
    if mover is None or not has(mover, Trait.CARRIES):
        return None
    if not _comes_from(graph, encoder, _absorbers(encoder)):
        return None
    return mover if only_encoder(graph, mover) is encoder else None


def _absorbers(encoder: Node) -> Chosen:
    """Return which layers could take over an encoder."""

    def absorbs(graph: Graph, layer: Node | None) -> bool:
        handed_on = gives_bytes(graph, encoder) and rounds_uniform(graph, layer)
        return handed_on or takes_over(graph, layer, encoder)

    return absorbs


def _comes_from(graph: Graph, node: Node, chosen: Chosen) -> bool:
    """Return whether a node reads chosen layers alone, seen through activations and what moves elements.

    A value that others read as well stays float: an encoder before the mover would not be absorbed.
    """
    sources = carried(node)
    if any(len(graph.consumers(name)) > 1 or name in graph.outputs for name in sources):
        return False
    return all(_leads_to(graph, graph.producer(name), chosen) for name in sources)


def _leads_to(graph: Graph, node: Node | None, chosen: Chosen) -> bool:
    if node is None or chosen(graph, node):
        return node is not None
    passes = has(node, Trait.CARRIES) or activation_of(graph, node) is not None
    return passes and _comes_from(graph, node, chosen)


def _swap(graph: Graph, mover: Node, encoder: Node) -> None:
    """Encode what the mover reads, and let it move codes."""
    coded, position = graph.value(encoder.outputs[0]), graph.nodes.index(mover)
    sources = carried(mover)
    encoders: dict[str, Node] = {}
    for source in dict.fromkeys(sources):  # a value may be joined with itself
        codes = graph.fresh_name(f"{source}/codes")
        graph.add(replace(coded, name=codes, shape=graph.value(source).shape))
        name = encoder.name if source == sources[-1] else graph.fresh_name(f"{source}/encode")
        inputs = source, *encoder.inputs[1:]
        encoders[source] = replace(encoder, inputs=inputs, outputs=(codes,), name=name)
    inputs = (*(encoders[source].outputs[0] for source in sources), *mover.inputs[len(sources) :])
    graph.nodes[position] = replace(mover, inputs=inputs, outputs=encoder.outputs)
    graph.nodes.remove(encoder)
    graph.nodes[position:position] = encoders.values()


lift_encodes = Pass("lift-encodes", _apply, ensures=has_no_encoder_to_lift)
