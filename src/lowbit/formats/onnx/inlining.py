"""Nodes that stand for others: functions of a file or of ONNX itself, and the branch of an If that is taken.

What they stand for is read as if the file had it: names inside are made new, inputs and outputs become
those of the node, and attributes that refer to the function's take the node's. Nothing is run.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from lowbit.errors import UnsupportedError

if TYPE_CHECKING:
    from onnx import AttributeProto, FunctionProto, GraphProto, NodeProto, TypeProto


def names_read(node: "NodeProto") -> Iterator[str]:
    """Yield the names that a node reads, those of its branches that come from outside included."""
    yield from filter(None, node.input)
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            yield from _from_outside(graph)


def _from_outside(graph: "GraphProto") -> Iterator[str]:
    own = {tensor.name for tensor in graph.initializer} | {info.name for info in graph.input}
    for node in graph.node:
        yield from (name for name in names_read(node) if name not in own)
        own.update(node.output)
    yield from (info.name for info in graph.output if info.name not in own)


def renamed(
    nodes: "Iterable[NodeProto]",
    names: dict[str, str],
    fresh: Callable[[str], str],
    attributes: "Mapping[str, AttributeProto] | None" = None,
) -> "list[NodeProto]":
    """Return copies of nodes under new names.

    Args:
        nodes: of a function or branch.
        names: what names inside are outside; those that the nodes make are added.
        fresh: returns a name that is free.
        attributes: of the node that the nodes stand for, or None where none are referred to.
    """
    made = []
    for node in nodes:
        copy = type(node)()
        copy.CopyFrom(node)
        copy.input[:] = [names.get(name, name) for name in node.input]
        for name in filter(None, node.output):
            names.setdefault(name, fresh(name))
        copy.output[:] = [names[name] if name else "" for name in node.output]
        copy.name = fresh(node.name) if node.name else ""
        if attributes is not None:
            _refer(copy, attributes)
        for attribute in copy.attribute:
            if attribute.HasField("g"):
                _rename_inside(attribute.g, names)
        made.append(copy)
    return made


def _refer(node: "NodeProto", attributes: "Mapping[str, AttributeProto]") -> None:
    """Put the attributes of a node in the place of references; one that it does not have is left out."""
    kept = []
    for attribute in node.attribute:
        if attribute.ref_attr_name and attribute.ref_attr_name not in attributes:
            continue
        if attribute.ref_attr_name:
            given = attributes[attribute.ref_attr_name]
            name, attribute = attribute.name, type(attribute)()
            attribute.CopyFrom(given)
            attribute.name = name
        for inner in attribute.g.node if attribute.HasField("g") else ():
            _refer(inner, attributes)
        kept.append(attribute)
    del node.attribute[:]
    node.attribute.extend(kept)


def _rename_inside(graph: "GraphProto", names: Mapping[str, str]) -> None:
    """Rename what a branch takes from outside."""
    own = {tensor.name for tensor in graph.initializer} | {info.name for info in graph.input}
    own |= {name for node in graph.node for name in node.output}
    outer = {name: new for name, new in names.items() if name not in own}
    for node in graph.node:
        node.input[:] = [outer.get(name, name) for name in node.input]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _rename_inside(attribute.g, outer)
    for info in graph.output:
        info.name = outer.get(info.name, info.name)


def standard_function(node: "NodeProto", opset: int, types: "list[TypeProto]") -> "FunctionProto | None":
    """Return the function of standard operators that ONNX itself says an operator is, or None."""
    from onnx import FunctionProto, defs

    if not has_function(node.op_type, opset):
        return None
    schema: Any = defs.get_schema(node.op_type, opset)
    if schema.has_context_dependent_function:
        version = _version(schema.context_dependent_function_opset_versions, opset)
        raw = schema.get_context_dependent_function_with_opset_version(
            version, node.SerializeToString(), [each.SerializeToString() for each in types]
        )
    else:
        raw = schema.get_function_with_opset_version(_version(schema.function_opset_versions, opset))
    made = FunctionProto.FromString(raw) if isinstance(raw, bytes) else raw
    named = {attribute.name for attribute in made.attribute_proto}
    defaults = ((name, attribute.default_value) for name, attribute in schema.attributes.items())
    made.attribute_proto.extend(value for name, value in defaults if value.name and name not in named)
    if not len(made.node):
        raise UnsupportedError("this form of the operator is not supported", found=node.op_type)
    return made  # type: ignore[no-any-return]


def has_function(name: str, opset: int) -> bool:
    """Return whether ONNX says of a standard operator what it is made of."""
    from onnx import defs

    if not defs.has(name, max_inclusive_version=opset):
        return False
    schema: Any = defs.get_schema(name, opset)
    return bool(schema.has_function or schema.has_context_dependent_function)


def _version(versions: Iterable[int], opset: int) -> int:
    known = sorted(versions)
    return max((version for version in known if version <= opset), default=known[0])
