"""Nodes that stand for others: functions of a file or of ONNX itself, and the branch of an If that is taken.

What they stand for is read as if the file had it: names inside are made new, inputs and outputs become
those of the node, and attributes that refer to the function's take the node's. Nothing is run.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from lowbit.errors import ModelFormatError, TooLargeError, UnsupportedError
from lowbit.formats.onnx.model_checks import MAX_NODES, functions_of
from lowbit.formats.onnx.standard_functions import standard_function
from lowbit.formats.onnx.tensors import array_of
from lowbit.ir.graph import DTYPES

if TYPE_CHECKING:
    from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, TypeProto

    from lowbit.formats.onnx.model_reader import ModelReader


class Inliner:
    """Reads functions and branches of one model.

    Attributes:
        reader: of the model.
        functions: of the file, by domain and name.
    """

    def __init__(self, reader: "ModelReader", model: "ModelProto") -> None:
        self.reader, self.functions = reader, functions_of(model)
        self._inside: list[tuple[str, str]] = []
        self._again: dict[str, int] = defaultdict(int)  # how often a name inside was made new
        self._spent = 0

    def branch(self, proto: "NodeProto") -> None:
        """Read the branch of an If that is always taken, in its place."""
        condition = self.reader.constants.get(proto.input[0])
        if condition is None or condition.dtype == object:
            raise UnsupportedError(
                "a condition that is only known when the network runs",
                expected="an If whose condition is constant",
                found=proto.input[0],
                remedy="Control flow is not run: export without it, or fix its lengths with --input-shape.",
            )
        wanted = "then_branch" if condition.any() else "else_branch"
        taken = next(attribute.g for attribute in proto.attribute if attribute.name == wanted)
        names, reader = {}, self.reader
        for tensor in taken.initializer:
            names[tensor.name] = reader.constant(
                tensor.name, array_of(tensor, f"tensor {tensor.name!r}", reader.beside)
            )
        self._inline(proto, taken.node, names, [info.name for info in taken.output], None)

    def function(self, proto: "NodeProto", function: "FunctionProto") -> None:
        """Read what a function is made of, in the place of a node.

        Raises:
            ModelFormatError: it calls itself.
        """
        key = (function.domain, function.name)
        if key in self._inside:
            raise ModelFormatError("a function calls itself", found=f"{key[0]}.{key[1]}")
        given = {attribute.name: attribute for attribute in function.attribute_proto}
        given |= {attribute.name: attribute for attribute in proto.attribute}
        inputs = [*proto.input, *[""] * len(function.input)]
        names = dict(zip(function.input, inputs, strict=False))
        versions = {item.domain.removeprefix("ai.onnx"): item.version for item in function.opset_import}
        before = self.reader.opset
        self._inside.append(key)
        self.reader.opset = versions.get("", before)
        self._inline(proto, function.node, names, list(function.output), given)
        self.reader.opset = before
        self._inside.pop()

    def _inline(
        self,
        proto: "NodeProto",
        nodes: "Iterable[NodeProto]",
        names: dict[str, str],
        outputs: list[str],
        attributes: "Mapping[str, AttributeProto] | None",
    ) -> None:
        """Read nodes in the place of one; what the outputs are inside becomes the node's own."""
        made = {name for node in nodes for name in node.output}
        passed = [(inner, outer) for inner, outer in zip(outputs, proto.output, strict=False) if outer]
        seen: dict[str, str] = {}
        again = []
        for inner, outer in passed:
            if inner in made and inner not in seen:
                seen[inner] = outer
            else:
                again.append((inner, outer))
        names |= seen
        ready = renamed(nodes, names, self._reserved, attributes)
        self._spend_nodes(len(ready))
        self.reader.count_readers(ready)
        for node in ready:
            self.reader.read_node(node)
        for inner, outer in again:
            self.reader.read("Identity", [names.get(inner, inner)], outer)

    def _reserved(self, stem: str) -> str:
        """Return a name that nothing has, and nothing else gets."""
        names = self.reader.names
        if stem in names:  # a function is read again and again: no search for a name that is free
            self._again[stem] += 1
            stem = f"{stem}.{self._again[stem]}"
        name = self.reader.free_name(stem)
        names.add(name)
        return name

    def _spend_nodes(self, count: int) -> None:
        self._spent += count
        if self._spent > MAX_NODES:
            raise TooLargeError("functions stand for too many nodes", expected=f"at most {MAX_NODES}")

    def standard(self, proto: "NodeProto") -> "FunctionProto | None":
        """Return what ONNX itself says that a standard node is made of, or None."""
        from onnx import TypeProto

        types = [self._type(name) if name else TypeProto() for name in proto.input]
        return standard_function(proto, self.reader.opset, types)

    def _type(self, name: str) -> "TypeProto":
        from onnx import helper

        kind = self.reader.kind(name)
        number = helper.np_dtype_to_tensor_dtype(np.dtype(DTYPES.get(kind, kind)))
        return helper.make_tensor_type_proto(number, self.reader.shape(name))


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
