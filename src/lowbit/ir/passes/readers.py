"""What reads a node's result: it is folded only where nobody else sees what lay between."""

from lowbit.ir.graph import Graph, Node


def only_reader(graph: Graph, node: Node) -> Node | None:
    """Return the node that alone reads what a node gives, or None; others read what the graph gives."""
    readers = graph.consumers(node.outputs[0])
    return readers[0] if len(readers) == 1 and node.outputs[0] not in graph.outputs else None


def only_encoder(graph: Graph, node: Node) -> Node | None:
    """Return the `Encode` that alone reads what a node gives, or None."""
    reader = only_reader(graph, node)
    return reader if reader is not None and is_encoder(reader) else None


def is_encoder(node: Node) -> bool:
    """Return whether a node makes codes of floats."""
    return (node.domain, node.op) == ("lowbit", "Encode")


def absorb(graph: Graph, old: Node, new: Node, absorbed: Node) -> None:
    """Put a node where another was; what it absorbed disappears."""
    graph.nodes[graph.nodes.index(old)] = new
    graph.nodes.remove(absorbed)
