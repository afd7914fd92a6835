"""Names and spellings that the tables of a file cannot hold, kept so that a graph is read back as it was.

Operators have no names in the format, ``Encode`` and its thresholds are not written at all, an open
batch is written as 1, and an axis may be spelled from either end. What differs from what the reader
would make up is one small JSON text:

    {"dimension": "n", "constants": {made up: real}, "nodes": {output: [name, attributes]},
     "thresholds": {codes: constant}, "values": {made up: real}, "axes": {output: axis}}

where an empty dimension says that the batch is fixed, ``axes`` says where it lies in what a RESHAPE to
``[1, 1, …]`` gives, if not along the first, ``thresholds`` names constants of ``Encode`` that only
repeat the thresholds of its encoding, and ``values`` names what transpositions between layouts give. It
cannot change what a network computes: attributes must mean the same.
"""

import json
from dataclasses import replace
from typing import Any

from lowbit.errors import ModelFormatError
from lowbit.formats.batch import BATCH, open_batch
from lowbit.ir import Graph, Node, operator_of
from lowbit.ir.graph import Attribute, Shape

NAMES = "lowbit.names"


def rename_transposed(graph: Graph, reread: Graph) -> dict[str, str]:
    """Give what transpositions make in a graph read back the names of the graph that was written, in place.

    Between the layouts of maps the file has no operator, so the reader makes their names up.

    Returns:
        The real name of every made-up one.
    """
    made = {output for node in reread.nodes for output in node.outputs}
    renamed: dict[str, str] = {}
    for node in graph.nodes:
        if node.op != "Transpose" or node.outputs[0] in made:
            continue
        like = (node.op, node.inputs, node.attributes)
        for other in reread.nodes:
            if (other.op, other.inputs, other.attributes) == like and other.outputs[0] not in graph.values:
                renamed[other.outputs[0]] = node.outputs[0]
                _rename_values(reread, {other.outputs[0]: node.outputs[0]})
                break
    return renamed


def names_of(
    graph: Graph,
    reread: Graph,
    dimension: str,
    values: dict[str, str],
    axes: dict[str, int],
    *,
    opens: bool = True,
) -> bytes | None:
    """Return the JSON text by which a graph that is read back gets the names of ``graph``, or None.

    Args:
        graph: as it was written.
        reread: as it is read back, with what `rename_transposed` did.
        dimension: the name of the open batch, or "".
        values: what `rename_transposed` returned.
        axes: what `batch_axes` found.
        opens: whether a reader finds by itself that the batch is open.
    """
    nodes: dict[str, object] = {}
    constants: dict[str, str] = {}
    thresholds: dict[str, str] = {}
    made_up = {node.outputs[0]: node for node in reread.nodes}
    for node in graph.nodes:
        other = made_up[node.outputs[0]]
        if other.op != node.op:  # a Flatten that became a Reshape keeps its name only
            nodes[node.outputs[0]] = node.name
            continue
        if _same_meaning(reread, other, dict(node.attributes)) and node.attributes != other.attributes:
            nodes[node.outputs[0]] = [node.name, dict(node.attributes)]
        elif node.name != other.name:
            nodes[node.outputs[0]] = node.name
        if node.op == "Encode" and len(node.inputs) > len(other.inputs):
            thresholds[node.outputs[0]] = node.inputs[1]
        for real, name in zip(node.inputs, other.inputs, strict=False):
            if (
                real
                and name
                and real != name
                and real not in reread.values
                and real not in constants.values()
            ):
                constants[name] = real
    text = {
        "axes": axes if dimension else {},
        "constants": constants,
        "nodes": nodes,
        "thresholds": thresholds,
        "values": values,
    }
    if dimension == BATCH and not any(text.values()) and opens:
        return None
    text = {key: entries for key, entries in text.items() if entries}
    return json.dumps({"dimension": dimension, **text}, sort_keys=True, separators=(",", ":")).encode()


def apply_names(graph: Graph, content: bytes | None, where: str) -> Graph:
    """Return the graph with its batch open, unless the text says it is fixed, and its names as stored.

    Args:
        graph: as read, with names made up; changed in place.
        content: the JSON text, or None where the file has none.
        where: the file's name.

    Raises:
        ModelFormatError: the text is not what `names_of` makes, or would change the network.
    """
    if content is None:
        return open_batch(graph)
    try:
        text = json.loads(content)
        dimension, constants, nodes = text["dimension"], text.get("constants", {}), text.get("nodes", {})
        named = open_batch(graph, known=True, axes=_axes(graph, text.get("axes", {}))) if dimension else graph
        _rename_values(named, {str(name): str(real) for name, real in text.get("values", {}).items()})
        _rename_constants(named, {str(name): str(real) for name, real in constants.items()})
        _rename_dimension(named, str(dimension or BATCH))
        named.nodes = [_renamed(named, node, nodes) for node in named.nodes]
        _repeat_thresholds(
            named, {str(codes): str(name) for codes, name in text.get("thresholds", {}).items()}
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelFormatError(
            "the stored names do not fit the graph",
            where=f"{where}, metadata {NAMES}",
            expected="dimension, constants, nodes, thresholds, values, axes",
            found=str(error)[:80],
            remedy="Write the file again.",
        ) from error
    return named


def _axes(graph: Graph, given: dict[str, Any]) -> dict[str, int]:
    """Return where the batch lies in what Reshapes give: an axis of one row of each."""
    for name, axis in given.items():
        if type(axis) is not int or axis < 0 or graph.value(name).shape[axis : axis + 1] != (1,):
            raise ValueError(f"{name!r} has no batch along axis {axis}")
    return given


def _rename_values(graph: Graph, real_names: dict[str, str]) -> None:
    """Rename computed values that are no inputs, in place."""
    for name, real in real_names.items():
        value = graph.values[name]
        if value.data is not None or name in graph.inputs or not real or real in graph.values:
            raise ValueError(f"{name!r} is no computed value or {real!r} is taken")
        del graph.values[name]
        graph.values[real] = replace(value, name=real)
    if real_names:
        graph.outputs = tuple(real_names.get(name, name) for name in graph.outputs)
        graph.nodes = [
            replace(
                node,
                inputs=tuple(real_names.get(name, name) for name in node.inputs),
                outputs=tuple(real_names.get(name, name) for name in node.outputs),
            )
            for node in graph.nodes
        ]


def _rename_constants(graph: Graph, real_names: dict[str, str]) -> None:
    for name, real in real_names.items():
        value = graph.values[name]
        if value.data is None or not real or real in graph.values:
            raise ValueError(f"{name!r} is no constant or {real!r} is taken")
        del graph.values[name]
        graph.values[real] = replace(value, name=real)
    if real_names:
        graph.nodes = [
            replace(node, inputs=tuple(real_names.get(name, name) for name in node.inputs))
            for node in graph.nodes
        ]


def _rename_dimension(graph: Graph, dimension: str) -> None:
    if dimension == BATCH:
        return
    for name, value in graph.values.items():
        shape: Shape = tuple(dimension if length == BATCH else length for length in value.shape)
        graph.values[name] = replace(value, shape=shape)


def _renamed(graph: Graph, node: Node, nodes: dict[str, Any]) -> Node:
    if node.outputs[0] not in nodes:
        return node
    stored = nodes[node.outputs[0]]
    name, stored = (stored, node.attributes) if isinstance(stored, str) else stored
    attributes = {str(key): tuple(item) if isinstance(item, list) else item for key, item in stored.items()}
    if not isinstance(name, str) or not name or not _same_meaning(graph, node, attributes):
        raise ValueError(f"node {node.outputs[0]!r} would be another")
    return replace(node, name=name, attributes=attributes)


def _repeat_thresholds(graph: Graph, names: dict[str, str]) -> None:
    """Give each ``Encode`` of these codes its encoding's thresholds as a constant."""
    for index, node in enumerate(graph.nodes):
        name = names.pop(node.outputs[0], None)
        if name is not None:
            encoding = graph.value(node.outputs[0]).encoding
            if (
                node.op != "Encode"
                or len(node.inputs) > 1
                or encoding is None
                or not name
                or name in graph.values
            ):
                raise ValueError(f"{node.outputs[0]!r} has thresholds of its own or {name!r} is taken")
            graph.add_constant(name, encoding.thresholds()[0])
            graph.nodes[index] = replace(node, inputs=(*node.inputs, name))
    if names:
        raise ValueError(f"nothing makes the codes {', '.join(names)}")


def _same_meaning(graph: Graph, node: Node, attributes: dict[str, Any]) -> bool:
    """Return whether a node with these attributes computes what it computes with its own."""
    defaults = operator_of(node).attributes
    rank = len(graph.value(node.inputs[0]).shape)
    # A kernel that is not said is that of the weights, which a layer's own must equal anyway.
    silent = "kernel_shape" in defaults and len(node.inputs) > 1 and "kernel_shape" not in attributes
    return attributes.keys() <= defaults.keys() and all(
        (silent and key == "kernel_shape")
        or _normal(key, attributes.get(key, default), rank)
        == _normal(key, node.attributes.get(key, default), rank)
        for key, default in defaults.items()
    )


def _normal(key: str, value: Attribute, rank: int) -> tuple[type, Attribute]:
    """Return an attribute in one spelling, with its type."""
    if key == "axis" and isinstance(value, int) and -rank <= value < rank:
        value = value % rank
    if value == () and key in ("strides", "dilations"):
        value = (1,) * (rank - 2)
    if value == () and key == "pads":
        value = (0,) * 2 * (rank - 2)
    return type(value), value
