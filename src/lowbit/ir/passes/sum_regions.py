"""Regions of reals between coded layers: sums of computed values, means, and what moves or compares them.

A region is joined by its values: whatever adds, averages, compares, moves or joins one of them belongs to it,
since all of its values will have one fixed-point format (`lowbit.ir.passes.fixed_sums`). An activation that
clips belongs to the sum that it alone reads. A region begins at low-bit layers, which can end in its codes,
and at other reals, which are encoded; what nothing but such reals goes into is left to them.
"""

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from math import inf

import numpy as np

from lowbit.ir.activations import ACTIVATIONS
from lowbit.ir.graph import Graph, Node
from lowbit.ir.layers import activation_of, is_low_bit
from lowbit.ir.operators import Trait, carried, has
from lowbit.ir.passes.channel_affine import channel_affine
from lowbit.ir.passes.readers import is_encoder, only_reader

OTHER_SHAPES = "what it adds has different shapes"
NO_LAYER = "what goes into it is computed in floats"
NO_ENCODER = "no low-bit layer reads it"

_TINY = 1e-30  # of a factor


@dataclass(frozen=True)
class Region:
    """Nodes whose values would be codes of one format.

    Attributes:
        nodes: their names, in order; activations of sums are not among them.
        sums: names of those that are sums or means.
        values: names of the values that would be codes.
        ranged: names of the values whose range the format must hold.
        finest: the least distance of levels that an encoder behind it tells apart, in units of its values.
        why: why it stays real whatever its range; "" where it need not.
    """

    nodes: tuple[str, ...]
    sums: tuple[str, ...]
    values: tuple[str, ...] = ()
    ranged: tuple[str, ...] = ()
    finest: float = inf
    why: str = ""


def sum_regions(graph: Graph) -> list[Region]:
    """Return all regions of a graph that hold a sum or a mean, in order; sums outside of any are one each."""
    inside = _inside(graph)
    found = [_region(graph, nodes) for nodes in _joined(graph, inside)]
    held = {name for region in found for name in region.nodes}
    for node in graph.nodes:
        if _is_sum(graph, node) and node.name not in held:
            why = NO_LAYER if _joins(graph, node) else OTHER_SHAPES
            found.append(Region((node.name,), (node.name,), why=why))
    return [region for region in found if region.sums]


def is_mean(node: Node) -> bool:
    """Return whether a node gives the mean of several elements."""
    return has(node, Trait.POOL) and not has(node, Trait.COMPARES)


def clip_of(graph: Graph, node: Node) -> Node | None:
    """Return the activation that clips and alone reads a sum, which can do it itself."""
    reader = only_reader(graph, node) if node.op == "Add" else None
    return reader if reader is not None and _clips(graph, reader) else None


def ends_in_codes(graph: Graph, name: str) -> Node | None:
    """Return the layer that makes a value, an activation between them at most, if it can end in its codes."""
    maker = graph.producer(name)
    if maker is None or name in graph.outputs:
        return None
    if activation_of(graph, maker) is not None:
        layer = graph.producer(maker.inputs[0])
        maker = layer if layer is not None and only_reader(graph, layer) is maker else None
    coded = is_low_bit(maker) and maker is not None and graph.value(maker.inputs[0]).encoding is not None
    return maker if coded else None


def operands(node: Node) -> tuple[str, ...]:
    """Return the inputs that belong to the region of a node inside one."""
    return carried(node) if has(node, Trait.CARRIES) else node.inputs[: 2 if node.op == "Add" else 1]


def result_of(graph: Graph, node: Node) -> str:
    """Return the value that a node inside a region gives to others."""
    clip = clip_of(graph, node)
    return (clip or node).outputs[0]


def _clips(graph: Graph, node: Node) -> bool:
    name = activation_of(graph, node)
    return name is not None and ACTIVATIONS[name].clip is not None


def _is_sum(graph: Graph, node: Node) -> bool:
    added = not node.domain and node.op == "Add" and all(_is_real(graph, name) for name in node.inputs)
    return added or (is_mean(node) and _is_real(graph, node.inputs[0]))


def _is_real(graph: Graph, name: str) -> bool:
    """Return whether a value is computed, and float32."""
    value = graph.value(name)
    return value.data is None and value.dtype == "float32"


def _joins(graph: Graph, node: Node) -> bool:
    """Return whether a node could be inside a region."""
    if has(node, Trait.CARRIES) or is_mean(node):
        return all(_is_real(graph, name) for name in operands(node))
    return (
        _is_sum(graph, node) and len({graph.value(name).shape for name in (*node.inputs, *node.outputs)}) == 1
    )


def _inside(graph: Graph) -> list[Node]:
    """Return the nodes inside regions: whatever could be, but for what only other reals go into."""
    made: set[str] = set()  # by nodes inside
    inside = []
    for node in graph.nodes:
        if not _joins(graph, node):
            continue
        if any(name in made or ends_in_codes(graph, name) is not None for name in operands(node)):
            inside.append(node)
            made.add(result_of(graph, node))
    return inside


def _joined(graph: Graph, nodes: list[Node]) -> list[list[Node]]:
    """Return nodes in groups that share a value, read or made, each in order."""
    groups: list[tuple[set[str], list[Node]]] = []
    for node in nodes:
        names, members = {*operands(node), result_of(graph, node)}, [node]
        for group in [group for group in groups if group[0] & names]:
            groups.remove(group)
            names |= group[0]
            members = [*group[1], *members]
        groups.append((names, members))
    order = {node.name: index for index, node in enumerate(nodes)}
    return [sorted(members, key=lambda node: order[node.name]) for _, members in groups]


def _region(graph: Graph, nodes: list[Node]) -> Region:
    names = {node.name for node in nodes}
    made = [result_of(graph, node) for node in nodes]
    entries = [name for node in nodes for name in operands(node) if name not in made]
    values = tuple(dict.fromkeys((*entries, *made)))
    exits = [name for name in values if name in made or ends_in_codes(graph, name) is not None]
    steps = list(_steps(graph, exits, names))
    return Region(
        tuple(node.name for node in nodes),
        tuple(node.name for node in nodes if _is_sum(graph, node)),
        values,
        tuple(dict.fromkeys(_before_functions(graph, values))),
        min(steps, default=inf),
        "" if steps else NO_ENCODER,
    )


def _before_functions(graph: Graph, values: Iterable[str]) -> Iterator[str]:
    """Yield values, and what a layer's function makes them of: its sums are rounded to that format first."""
    for name in values:
        yield name
        maker, layer = graph.producer(name), ends_in_codes(graph, name)
        if layer is not None and maker is not None and layer is not maker and not _clips(graph, maker):
            yield maker.inputs[0]


def _steps(graph: Graph, values: Iterable[str], inside: Container[str], gain: float = 1.0) -> Iterator[float]:
    """Yield the least distance of levels of every encoder that values lead to, seen through what is no layer.

    Args:
        graph: the network.
        values: whose readers are asked.
        inside: names of nodes that do not count as readers.
        gain: by how much the values were made larger on the way.
    """
    for name in values:
        for reader in graph.consumers(name):
            if reader.name in inside:
                continue
            if is_encoder(reader):
                yield _least_distance(graph, reader) / gain
                continue
            others = [source for source in reader.inputs if source and graph.value(source).data is None]
            if len(set(others)) == 1 and not has(reader, Trait.LAYER):
                affine = channel_affine(graph, reader)
                factor = 1.0 if affine is None else max(float(np.abs(affine.factor).max()), _TINY)
                yield from _steps(graph, reader.outputs, inside, gain * factor)


def _least_distance(graph: Graph, encoder: Node) -> float:
    encoding = graph.value(encoder.outputs[0]).encoding
    assert encoding is not None
    levels = np.unique(encoding.levels()[0])
    return float(np.diff(levels).min(initial=inf))
