"""The layers of a network that is one chain, as all engines take it."""

from collections.abc import Callable, Iterator

from lowbit.errors import UnsupportedError
from lowbit.ir import Graph, Node, Trait, has

Refuse = Callable[[Graph, Node | None, str, str], UnsupportedError]
"""What an engine says of a graph: node, expected, found."""


def chain(graph: Graph, refuse: Refuse) -> Iterator[Node]:
    """Yield the nodes that do something, from input to output.

    Raises:
        UnsupportedError: a value has several readers, or none; several inputs or outputs; a reshape that does
            more than add or drop axes of one, or flatten a sample. Made by ``refuse``.
    """
    for what, names in (("input", graph.inputs), ("output", graph.outputs)):
        if len(names) != 1:
            raise refuse(graph, None, f"one {what}", f"{len(names)}: {', '.join(names)}")
    name = graph.inputs[0]
    while name not in graph.outputs:
        readers = graph.consumers(name)
        if len(readers) != 1:
            found = f"{len(readers)} readers of {name}"
            raise refuse(graph, readers[0] if readers else None, "one chain of layers", found)
        (node,) = readers
        if not has(node, Trait.KEEPS_ORDER):
            yield node
        elif not _keeps_order(graph, node):
            before, after = (graph.value(value).shape for value in (name, node.outputs[0]))
            expected = "reshapes that add or drop axes of one, or flatten a sample"
            raise refuse(graph, node, expected, f"{before} to {after}")
        name = node.outputs[0]


def _keeps_order(graph: Graph, node: Node) -> bool:
    before, after = (graph.value(name).shape for name in (node.inputs[0], node.outputs[0]))
    lengths = [[length for length in shape[1:] if length != 1] for shape in (before, after)]
    return before[0] == after[0] and (lengths[0] == lengths[1] or len(lengths[1]) <= 1)
