"""The layers of a network that is one chain, as all engines take it."""

from collections.abc import Callable, Iterator

from lowbit.errors import UnsupportedError
from lowbit.ir import Graph, Node

Refuse = Callable[[Graph, Node | None, str, str], UnsupportedError]
"""What an engine says of a graph: node, expected, found."""

_PASSED = ("Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten")


def chain(graph: Graph, refuse: Refuse) -> Iterator[Node]:
    """Yield the nodes that do something, from input to output.

    Raises:
        UnsupportedError: a value has several readers, or none; made by ``refuse``.
    """
    name = graph.inputs[0]
    while name not in graph.outputs:
        readers = graph.consumers(name)
        if len(readers) != 1:
            found = f"{len(readers)} readers of {name}"
            raise refuse(graph, readers[0] if readers else None, "one chain of layers", found)
        name = readers[0].outputs[0]
        if readers[0].op not in _PASSED:
            yield readers[0]
