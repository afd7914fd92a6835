"""Operators with a body that the written version of ONNX lacks: a node of our domain and its function.

The function is made of the body (`lowbit.ir.operators.body`): standard operators of float32, one by one, so
an unmodified ONNX runtime computes what the reference does. Reading goes by the name; no function is run.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lowbit.formats.onnx.functions import DOMAIN, DOMAIN_VERSION, OPSET
from lowbit.ir import OPERATORS, Node, Operator
from lowbit.ir.operators.body import Operand, Own
from lowbit.ir.operators.composites import arguments
from lowbit.ir.operators.registry import operator_of

if TYPE_CHECKING:
    from onnx import FunctionProto, NodeProto

_FIELDS = {int: "value_int", float: "value_float"}


def composite_of(name: str) -> Operator | None:
    """Return the operator with a body that a node of that name in our domain is, or None."""
    found = (OPERATORS.get((domain, name)) for domain in (DOMAIN, ""))
    return next((operator for operator in found if operator is not None and operator.body), None)


def needs_function(operator: Operator) -> bool:
    """Return whether an operator has a body and is not one of the version of ONNX that we write."""
    from onnx import defs

    return operator.body is not None and not (
        operator.domain == "" and defs.has(operator.name, max_inclusive_version=OPSET)
    )


def all_needed(operators: Sequence[Operator]) -> list[Operator]:
    """Return operators and those that their functions call, each behind those it calls, once."""
    found: dict[str, Operator] = {}
    for operator in operators:
        for called in all_needed(list(_called(operator))):
            found.setdefault(called.name, called)
        found.setdefault(operator.name, operator)
    return list(found.values())


def function_of(operator: Operator) -> "FunctionProto":
    """Return the function of an operator, made of its body."""
    from onnx import helper as make

    assert operator.body is not None
    writer = _FunctionWriter(operator)
    named = {name: name for name in operator.inputs}
    result = operator.body.write(writer, named, frozenset(operator.attributes))
    if not writer.nodes or result != writer.nodes[-1].output[0]:
        writer.node("Identity", [result], {})
    return make.make_function(
        DOMAIN,
        operator.name,
        list(operator.inputs),
        [writer.nodes[-1].output[0]],
        writer.nodes,
        [make.make_opsetid("", OPSET), make.make_opsetid(DOMAIN, DOMAIN_VERSION)],
        attribute_protos=[make.make_attribute(*pair) for pair in sorted(operator.attributes.items())],
    )


def _called(operator: Operator) -> Iterator[Operator]:
    assert operator.body is not None
    for name in sorted(operator.body.operators):
        called = _operator(name, operator)
        if called is not operator and needs_function(called):
            yield called


def _operator(name: str, caller: Operator) -> Operator:
    domain, _, op = name.rpartition(".")
    return operator_of(Node(op, (), (), {}, "", domain), caller.name)


class _FunctionWriter:
    """Makes nodes of a function of a body's steps."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator
        self.nodes: list[NodeProto] = []

    def attribute(self, name: str) -> str:
        """Return an attribute as a float32 that the function gets with the node."""
        kind = type(self.operator.attributes[name])
        value = self._add("Constant", [], "", {_FIELDS[kind]: Own(name)})
        return self._add("Cast", [value], "", {"to": 1}) if kind is int else value

    def node(self, op: str, inputs: Sequence[Operand], named: Mapping[str, Operand | Own]) -> str:
        called = _operator(op, self.operator)
        ordered, attributes = arguments(self, called, inputs, named)
        names = [part if isinstance(part, str) else self._constant(part) for part in ordered]
        typed = {key: _typed(called, key, part) for key, part in attributes.items()}
        return self._add(called.name, names, DOMAIN if needs_function(called) else "", typed)

    def _constant(self, number: float) -> str:
        from onnx import numpy_helper

        return self._add("Constant", [], "", {"value": numpy_helper.from_array(np.array(number, np.float32))})

    def _add(self, op: str, inputs: Sequence[str], domain: str, attributes: Mapping[str, object]) -> str:
        from onnx import AttributeProto
        from onnx import helper as make

        node = make.make_node(op, inputs, [f"step_{len(self.nodes) + 1}"], domain=domain)
        for name, part in sorted(attributes.items()):
            if isinstance(part, Own):
                kind = make.make_attribute(name, self.operator.attributes[part.name]).type
                node.attribute.append(AttributeProto(name=name, type=kind, ref_attr_name=part.name))
            else:
                node.attribute.append(make.make_attribute(name, part))
        self.nodes.append(node)
        return str(node.output[0])


def _typed(called: Operator, name: str, part: float | Own) -> float | Own:
    """Return an attribute of a step in the kind that the step's operator has."""
    return int(part) if isinstance(called.attributes.get(name), int) and not isinstance(part, Own) else part
