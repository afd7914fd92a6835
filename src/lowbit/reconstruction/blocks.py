"""A network as blocks: what lies between two values that everything passes through.

    cut      a value that alone is known before some node and read behind it: all paths lead through it
    block    the nodes between two cuts, with one quantized layer at least; what follows it, as activation and
             pooling, is of its block up to the last cut before another quantized layer

So a residual block is one, and a chain of layers falls into its layers (BRECQ: Li et al., ICLR 2021, whose
blocks are those of the architecture).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from lowbit.ir import Graph, Node


@dataclass(frozen=True)
class Block:
    """Nodes between two cuts.

    Attributes:
        inputs: what the block reads: one value, or, at the beginning, all inputs of the network.
        outputs: what it gives: one value, or, at the end, all outputs.
        layers: names of its quantized layers, in order.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    layers: tuple[str, ...]


def blocks_of(graph: Graph, teams: Sequence[Sequence[str]]) -> list[Block]:
    """Return the blocks of a network, in order; layers that share their weights lie in one of them.

    Args:
        graph: the float network.
        teams: names of the layers that are quantized, at least one, those that share weights together.
    """
    found = _apart(graph, {name for team in teams for name in team})
    place = {name: number for number, block in enumerate(found) for name in block.layers}
    ends = list(range(len(found)))
    for team in teams:
        first, last = (choose(place[name] for name in team) for choose in (min, max))
        ends = [max(end, last) if first <= number <= last else end for number, end in enumerate(ends)]
    whole, number = list[Block](), 0
    while number < len(found):
        last = number
        while last < max(ends[number : last + 1]):
            last = max(ends[number : last + 1])
        parts = found[number : last + 1]
        layers = tuple(name for part in parts for name in part.layers)
        whole.append(Block(parts[0].inputs, parts[-1].outputs, layers))
        number = last + 1
    return whole


def _apart(graph: Graph, layers: Collection[str]) -> list[Block]:
    """Return the blocks, whatever weights are shared."""
    found: list[Block] = []
    inputs, names, ends = graph.inputs, list[str](), graph.inputs
    for piece, after in _pieces(graph):
        here = [node.name for node in piece if node.name in layers]
        if here and names:
            found.append(Block(inputs, ends, tuple(names)))
            inputs, names = ends, []
        names, ends = names + here, after
    if names:
        return [*found, Block(inputs, graph.outputs, tuple(names))]
    return [*found[:-1], replace(found[-1], outputs=graph.outputs)]


def whole_of(graph: Graph, layers: Collection[str]) -> Block:
    """Return the network as one block."""
    names = (node.name for node in graph.nodes if node.name in layers)
    return Block(graph.inputs, graph.outputs, tuple(names))


def _pieces(graph: Graph) -> list[tuple[list[Node], tuple[str, ...]]]:
    """Return the nodes between neighbouring cuts, and the cut behind them."""
    last: dict[str, int] = {name: len(graph.nodes) for name in graph.outputs}
    for at, node in enumerate(graph.nodes):
        last |= {name: max(at, last.get(name, 0)) for name in node.inputs}
    alive = {name for name in graph.inputs if name in last}
    pieces, since = [], list[Node]()
    for at, node in enumerate(graph.nodes):
        since.append(node)
        alive |= {name for name in node.outputs if last.get(name, -1) > at}
        alive = {name for name in alive if last[name] > at}
        if at == len(graph.nodes) - 1:
            pieces.append((since, graph.outputs))
        elif len(alive) == 1 and graph.value(next(iter(alive))).dtype == "float32":
            pieces.append((since, tuple(alive)))
            since = []
    return pieces
