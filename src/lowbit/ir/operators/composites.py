"""Operators that are made of others: declared by their body alone.

    composite("Softsign", "X", "X / (1 + Abs(X))")

Inference, checks and reference evaluation follow from the body, in float32, step by step; so do the expansion
for a back end that has no such operator (`lowbit.ir.passes.expand`) and the function in an ``.onnx`` file
(`lowbit.formats.onnx.composites`). An operator with a definition of its own, computed in float64 and rounded
once, may have a body as well (``register(…, body=…)``): then the body is what back ends without it run, and
agrees with it to float32 rounding.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count

import numpy as np

from lowbit.errors import GraphError
from lowbit.ir.graph import Array, Attribute, Graph, Node, Value
from lowbit.ir.operators import elementwise, functions, logic  # noqa: F401 (what bodies call is there before)
from lowbit.ir.operators.body import Operand, Own, Writer
from lowbit.ir.operators.registry import (
    OPERATORS,
    Call,
    Operator,
    TensorType,
    has,
    operator_of,
    register,
    require_float,
)
from lowbit.ir.operators.traits import Trait


def composite(
    name: str,
    inputs: str,
    body: str,
    *,
    domain: str = "",
    traits: Trait = Trait.NONE,
    **attributes: Attribute,
) -> Operator:
    """Declare an operator of floats that is made of others, and return it.

    Args:
        name: of the operator.
        inputs: names separated by spaces, all required.
        body: what it computes; see `lowbit.ir.operators.body`.
        domain: "" where ONNX has such an operator in any version, "lowbit" for our own.
        traits: what the body does not say; that it is elementwise follows.
        attributes: with their defaults; constants of the body.

    Raises:
        GraphError: the body cannot be read.
    """
    operator = register(
        name,
        inputs,
        infer=_infer,
        evaluate=_evaluate,
        domain=domain,
        traits=traits,
        body=body,
        parts=None,
        whole=None,
        **attributes,
    )
    if len(operator.inputs) == 1 and _is_elementwise(operator):
        OPERATORS[domain, name] = replace(operator, traits=traits | Trait.ELEMENTWISE)
    return OPERATORS[domain, name]


def _is_elementwise(operator: Operator) -> bool:
    """Return whether each step computes every element from those at the same place."""
    assert operator.body is not None
    called = [(domain, op) for domain, _, op in (op.rpartition(".") for op in operator.body.operators)]
    return all(has(key, Trait.ELEMENTWISE) or has(key, Trait.BROADCASTS) for key in called)


def steps_of(call: Call) -> list[Node]:
    """Return the nodes that compute what a node with a body does, in order.

    The last one has its name and output. Constants are added to the graph; types of what lies between are not
    inferred.
    """
    assert call.operator.body is not None
    writer = _GraphWriter(call)
    names = dict(zip(call.operator.inputs, call.node.inputs, strict=True))
    result = call.operator.body.write(writer, names, frozenset(call.operator.attributes))
    if not writer.nodes or result != writer.nodes[-1].outputs[0]:
        writer.node("Identity", [result], {})
    writer.nodes[-1] = replace(writer.nodes[-1], outputs=call.node.outputs, name=call.node.name)
    return writer.nodes


def arguments(
    writer: Writer, operator: Operator, inputs: Sequence[Operand], named: Mapping[str, Operand | Own]
) -> tuple[list[Operand], dict[str, float | Own]]:
    """Return the inputs in order, "" where one is absent, and the attributes of a step of a body."""
    names = [name.rstrip("?*") for name in operator.inputs]
    ordered = [*inputs, *("" for _ in names[len(inputs) :])]
    attributes: dict[str, float | Own] = {}
    for name, part in named.items():
        if name in names:
            ordered[names.index(name)] = writer.attribute(part.name) if isinstance(part, Own) else part
        elif isinstance(part, str):
            facts = {"expected": "a number, or an attribute of its own", "found": part}
            raise GraphError(f"the attribute {name} of a step is a value", where=operator.name, **facts)
        else:
            attributes[name] = part
    while ordered and ordered[-1] == "":
        ordered.pop()
    return ordered, attributes


class _GraphWriter:
    """Makes nodes of a body's steps, under names that the graph does not have."""

    def __init__(self, call: Call) -> None:
        self.call, self.nodes = call, list[Node]()
        self._taken = {*call.graph.values, *call.node.outputs, *(node.name for node in call.graph.nodes)}

    def attribute(self, name: str) -> float:
        return self.call.real(name)

    def node(self, op: str, inputs: Sequence[Operand], named: Mapping[str, Operand | Own]) -> str:
        domain, _, short = op.rpartition(".")
        operator = operator_of(Node(short, (), (), {}, "", domain), self.call.where)
        ordered, attributes = arguments(self, operator, inputs, named)
        names = tuple(part if isinstance(part, str) else self._constant(part) for part in ordered)
        output = self._fresh(short.lower())
        known = {key: self._setting(operator, key, part) for key, part in attributes.items()}
        self.nodes.append(Node(short, names, (output,), known, output, domain))
        return output

    def _setting(self, operator: Operator, name: str, part: float | Own) -> Attribute:
        if isinstance(part, Own):
            return self.call.attribute(part.name)
        return int(part) if isinstance(operator.attributes.get(name), int) else part

    def _constant(self, number: float) -> str:
        return self.call.graph.add_constant(self._fresh("constant"), np.float32(number))

    def _fresh(self, stem: str) -> str:
        stem = f"{self.call.node.outputs[0]}/{stem}"
        name = next(name for name in _numbered(stem) if name not in self._taken)
        self._taken.add(name)
        return name


def _numbered(stem: str) -> Iterator[str]:
    yield stem
    yield from (f"{stem}_{number}" for number in count(2))


def _infer(call: Call) -> list[TensorType]:
    require_float(call, *range(len(call.node.inputs)))
    graph = _alone(call)
    types: list[TensorType] = []
    for node in steps_of(replace(call, graph=graph)):
        seen = _seen(graph, node)
        types = list(seen.operator.infer(seen))
        graph.values[node.outputs[0]] = Value(node.outputs[0], types[0].dtype, types[0].shape)
    return types


def _evaluate(call: Call, *inputs: Array) -> list[Array]:
    graph = _alone(call)
    nodes = steps_of(replace(call, graph=graph))
    arrays = {name: value.data for name, value in graph.values.items() if value.data is not None}
    arrays |= dict(zip(call.node.inputs, inputs, strict=True))
    for node in nodes:
        output, seen = node.outputs[0], _seen(graph, node)
        graph.values[output] = Value(output, "float32", ())
        given = (arrays[name] if name else None for name in node.inputs)
        (arrays[output],) = seen.operator.evaluate(seen, *given)
    return [arrays[call.node.outputs[0]]]


def _alone(call: Call) -> Graph:
    """Return a graph that holds what a node reads and nothing else."""
    values = {name: call.graph.value(name) for name in call.node.inputs}
    return Graph(call.graph.name, call.node.inputs, call.node.outputs, [], values)


def _seen(graph: Graph, node: Node) -> Call:
    return Call(graph, node, OPERATORS[node.domain, node.op])


# Misra, Mish: A Self Regularized Non-Monotonic Activation Function, 2019.
composite("Mish", "X", "X * Tanh(Softplus(X))")

composite("Softsign", "X", "X / (1 + Abs(X))", traits=Trait.MONOTONE)
composite(
    "Selu",
    "X",
    "gamma * (alpha * Elu(Clip(X, max=0), alpha=1) + Relu(X))",
    alpha=1.67326319217681884765625,
    gamma=1.05070102214813232421875,
)
# Barron: Continuously Differentiable Exponential Linear Units, 2017.
composite("Celu", "X", "alpha * Elu(Clip(X, max=0) / alpha, alpha=1) + Relu(X)", alpha=1.0)
composite("ThresholdedRelu", "X", "Where(Greater(X, alpha), X, 0)", alpha=1.0)
# Hendrycks, Gimpel: Gaussian Error Linear Units, 2016; the second is their approximation.
composite("Gelu", "X", "0.5 * X * (1 + Erf(0.7071067811865476 * X))")
composite(
    "GeluTanh",
    "X",
    "0.5 * X * (1 + Tanh(0.7978845608028654 * (X + 0.044715 * X * X * X)))",
    domain="lowbit",
)
# Ramachandran, Zoph, Le: Searching for Activation Functions, 2017.
composite("Swish", "X", "X * Sigmoid(alpha * X)", alpha=1.0)
