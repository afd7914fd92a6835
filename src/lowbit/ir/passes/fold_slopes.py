"""Take PReLU out of a graph: a positive slope does not change a sign; the rest is arithmetic.

sign(prelu(x)) = sign(x)                         for slopes above 0
sign(f prelu(x) + s) = sign(x - t),  prelu(t) = -s / f      for slopes and factors f above 0, per channel
prelu(x) = relu(x) + slope (x - relu(x))         exactly, one of the terms is zero
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from lowbit.ir.graph import Graph, Node
from lowbit.ir.operators import Trait, has
from lowbit.ir.passes.channel_affine import Floats, channel_affine
from lowbit.ir.passes.infrastructure import Pass
from lowbit.ir.passes.readers import is_encoder


def has_no_slopes(graph: Graph) -> bool:
    """Return whether no PReLU is left."""
    return all(node.op != "PRelu" for node in graph.nodes)


def _apply(graph: Graph) -> bool:
    found = [node for node in graph.nodes if node.op == "PRelu"]
    for node in found:
        slopes = np.asarray(graph.constant(node.inputs[1]), np.float32)
        if (slopes > 0).all():
            _bypass(graph, node)
            _shift(graph, node, slopes.astype(np.float64).reshape(-1))
        _split(graph, node)
    return bool(found)


def _bypass(graph: Graph, node: Node) -> None:
    """Let those who take the sign read what the node reads."""
    output = node.outputs[0]
    for index, reader in enumerate(graph.nodes):
        if output in reader.inputs and _takes_sign(graph, reader):
            inputs = tuple(node.inputs[0] if name == output else name for name in reader.inputs)
            graph.nodes[index] = replace(reader, inputs=inputs)


@dataclass(frozen=True, eq=False)
class _Behind:
    """A value behind a node: a rising line of each channel, of the largest elements where there are pools."""

    value: str
    factor: Floats
    shift: Floats
    pools: tuple[Node, ...] = ()


def _shift(graph: Graph, node: Node, slopes: Floats) -> None:
    """Let signs that are taken behind lines of channels be those of the node's input, shifted, instead."""
    start = _Behind(node.outputs[0], np.ones(1), np.zeros(1))
    for behind in list(_lines(graph, start)):
        readers = [reader for reader in graph.consumers(behind.value) if _takes_sign(graph, reader)]
        if not readers or any(pool not in graph.nodes for pool in behind.pools):  # these read it by now
            continue
        zero = -behind.shift / behind.factor
        shifted = _subtracted(graph, node, np.where(zero > 0, zero, zero / slopes))
        for pool in behind.pools:
            shifted = _repeated(graph, pool, shifted)
        for reader in readers:
            inputs = tuple(shifted if each == behind.value else each for each in reader.inputs)
            graph.nodes[graph.nodes.index(reader)] = replace(reader, inputs=inputs)


def _subtracted(graph: Graph, node: Node, threshold: Floats) -> str:
    """Return the name of what a node reads less a number for each channel."""
    source, name = graph.value(node.inputs[0]), graph.fresh_name(f"{node.name}/shifted")
    column = threshold.reshape(1, -1, *[1] * (len(source.shape) - 2))
    constant = graph.add_constant(graph.fresh_name(f"{node.name}/threshold"), column)
    graph.add(replace(source, name=name))
    graph.nodes.insert(graph.nodes.index(node), Node("Sub", (source.name, constant), (name,), {}, name))
    return name


def _repeated(graph: Graph, pool: Node, source: str) -> str:
    """Return the name of what a pool gives of another value."""
    name = graph.fresh_name(f"{pool.name}/shifted")
    graph.add(replace(graph.value(pool.outputs[0]), name=name))
    graph.nodes.insert(graph.nodes.index(pool), replace(pool, inputs=(source,), outputs=(name,), name=name))
    return name


def _lines(graph: Graph, start: _Behind) -> Iterator[_Behind]:
    """Yield the values behind one, and what they are of it."""
    for reader in graph.consumers(start.value):
        line = channel_affine(graph, reader)
        if line is not None and (line.factor > 0).all():
            shift = line.factor * start.shift + line.shift
            found = replace(start, factor=line.factor * start.factor, shift=shift, value=reader.outputs[0])
        elif has(reader, Trait.COMPARES) and len(reader.inputs) == 1:
            found = replace(start, value=reader.outputs[0], pools=(*start.pools, reader))
        else:
            continue
        if found.shift.any():
            yield found
        yield from _lines(graph, found)


def _takes_sign(graph: Graph, node: Node) -> bool:
    """Return whether nothing but signs come of what a node reads."""
    if has(node, Trait.CARRIES):
        readers, output = graph.consumers(node.outputs[0]), node.outputs[0]
        return bool(readers) and output not in graph.outputs and all(_takes_sign(graph, r) for r in readers)
    if not is_encoder(node) or len(node.inputs) < 2:
        return False
    just_below_zero = np.nextafter(np.zeros(1, np.float32), np.float32(-1))
    return np.array_equal(np.asarray(graph.values[node.inputs[1]].data), just_below_zero)


def _split(graph: Graph, node: Node) -> None:
    """Write the node as arithmetic; what nobody reads is dropped after the pass."""
    source, slopes = node.inputs
    upper, lower, scaled = (graph.fresh_name(f"{node.name}/{part}") for part in ("upper", "lower", "scaled"))
    position = graph.nodes.index(node)
    graph.nodes[position : position + 1] = [
        Node("Relu", (source,), (upper,), {}, upper),
        Node("Sub", (source, upper), (lower,), {}, lower),
        Node("Mul", (lower, slopes), (scaled,), {}, scaled),
        Node("Add", (upper, scaled), node.outputs, {}, node.name),
    ]


fold_slopes = Pass("fold-slopes", _apply, ensures=has_no_slopes)
