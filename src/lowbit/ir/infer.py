"""Type and shape inference: every computed value gets what its operator's declaration says."""

from lowbit.errors import GraphError
from lowbit.ir.graph import Graph, Node, Value
from lowbit.ir.operators import Call, TensorType, operator_of


def infer(graph: Graph) -> None:
    """Set dtype and shape of every computed value, in place; encodings stay as they are.

    Raises:
        UnsupportedError: an operator or attribute that lowbit does not have.
        GraphError: types or shapes that do not fit, naming the node.
    """
    for node in graph.nodes:
        infer_node(graph, node)


def infer_node(graph: Graph, node: Node) -> None:
    """Set dtype and shape of one node's outputs, in place."""
    call = call_of(graph, node)
    for name, found in zip(node.outputs, types_of(call), strict=True):
        known = graph.values.get(name)
        encoding = known.encoding if known else None
        graph.values[name] = Value(name, found.dtype, found.shape, None, encoding)


def types_of(call: Call) -> list[TensorType]:
    """Return the type of every output of a node; outputs at the end may be absent."""
    types, named = list(call.operator.infer(call)), len(call.node.outputs)
    if named > len(types):
        call.refuse(
            "more outputs than one" if len(types) == 1 else f"more outputs than {len(types)}",
            f"{len(types)}",
            ", ".join(call.node.outputs),
        )
    return types[:named]


def call_of(graph: Graph, node: Node) -> Call:
    """Return the node as its operator sees it, its inputs and attributes counted and named right."""
    where = f"{graph.name}/{node.name or node.op}"
    operator = operator_of(node, where)
    if not operator.least <= len(node.inputs) <= operator.most or "" in node.inputs[: operator.least]:
        raise GraphError(
            "wrong number of inputs", where=where, expected=" ".join(operator.inputs), found=str(node.inputs)
        )
    unknown = sorted(node.attributes.keys() - operator.attributes.keys())
    if unknown:
        raise GraphError(
            "unknown attribute",
            where=where,
            expected=", ".join(operator.attributes) or "no attribute",
            found=", ".join(unknown),
        )
    call = Call(graph, node, operator)
    for name in node.attributes:
        call.check_kind(name)
    return call
