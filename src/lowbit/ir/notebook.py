"""A graph in a notebook: its nodes in order, what each makes, and what that holds."""

from lowbit.ir.graph import Graph, Node, Value
from lowbit.page import Column, Content, element, fragment, name, table

MOST_NODES = 200
"""More are not listed."""

_COLUMNS = (
    Column("node"),
    Column("operator"),
    Column("makes"),
    Column("shape", number=True),
    Column("holds"),
    Column("constants", number=True),
)


def to_html(graph: Graph) -> str:
    """Return a graph as a table; every name is escaped."""
    held = sum(value.data.nbytes for value in graph.values.values() if value.data is not None)
    inputs = [f"{source} {_shape(graph.value(source))}" for source in graph.inputs]
    about = f"{len(graph.nodes)} nodes, {held / 1024:,.1f} KB of constants; input {', '.join(inputs)}"
    left_out = len(graph.nodes) - MOST_NODES
    more = element("p", f"… and {left_out} more", class_="soft") if left_out > 0 else None
    head = element("p", element("b", graph.name), " ", element("span", about, class_="soft"))
    return fragment(head, table(_COLUMNS, [_row(graph, node) for node in graph.nodes[:MOST_NODES]]), more)


def _row(graph: Graph, node: Node) -> list[Content]:
    made = graph.value(node.outputs[0])
    constants = [graph.value(source).data for source in node.inputs if source]
    held = sum(data.nbytes for data in constants if data is not None)
    operator = f"{node.domain}.{node.op}" if node.domain else node.op
    size = f"{held:,} B" if held else ""
    return [name(node.name), operator, name(made.name), _shape(made), _holds(made), size]


def _shape(value: Value) -> str:
    return " × ".join(map(str, value.shape)) or "scalar"


def _holds(value: Value) -> str:
    encoding = value.encoding
    if encoding is None:
        return value.dtype
    return f"{encoding.bits} bit{'s' if encoding.bits > 1 else ''}, {encoding.scheme}"
