"""The registry: an operator is declared once, here read by inference, checks and evaluation.

An entry says the inputs, the attributes with their defaults, how output types follow from input
types, what the operator computes, and what it is like (`lowbit.ir.operators.traits`). Formats, engine and RTL
are small tables keyed by it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn, Protocol

import numpy as np
import numpy.typing as npt

from lowbit.errors import GraphError, UnsupportedError
from lowbit.ir.graph import Array, Attribute, Graph, Node, Shape, Value
from lowbit.ir.operators.body import Body, parse
from lowbit.ir.operators.traits import Trait
from lowbit.schemes import Encoding


@dataclass(frozen=True)
class TensorType:
    """What inference says of an output."""

    dtype: str
    shape: Shape


@dataclass(frozen=True)
class Call:
    """One node in its graph, as an operator's functions see it."""

    graph: Graph
    node: Node
    operator: "Operator"

    def input(self, index: int) -> Value:
        """Return the value of a required input."""
        return self.graph.value(self.node.inputs[index])

    def optional(self, index: int) -> Value | None:
        """Return the value of an optional input, or None when it is absent."""
        name = self.node.inputs[index] if index < len(self.node.inputs) else ""
        return self.graph.value(name) if name else None

    def output(self, index: int = 0) -> Value:
        """Return the value of an output."""
        return self.graph.value(self.node.outputs[index])

    def integer(self, name: str) -> int:
        """Return an integer attribute or its default."""
        value = self.attribute(name)
        return (
            value if isinstance(value, int) else self.refuse(f"attribute {name}", "an integer", repr(value))
        )

    def real(self, name: str) -> float:
        """Return a float attribute or its default."""
        value = self.attribute(name)
        return (
            float(value)
            if isinstance(value, int | float)
            else self.refuse(f"attribute {name}", "a number", repr(value))
        )

    def integers(self, name: str) -> tuple[int, ...]:
        """Return an attribute that is a row of integers, or its default."""
        value = self.attribute(name)
        if isinstance(value, tuple) and all(isinstance(number, int) for number in value):
            return value  # type: ignore[return-value]
        return self.refuse(f"attribute {name}", "a row of integers", repr(value))

    def text(self, name: str) -> str:
        """Return a string attribute or its default."""
        value = self.attribute(name)
        return value if isinstance(value, str) else self.refuse(f"attribute {name}", "a string", repr(value))

    def check_kind(self, name: str) -> None:
        """Refuse an attribute of another kind than its default."""
        readers = {int: self.integer, float: self.real, tuple: self.integers, str: self.text}
        readers[type(self.operator.attributes[name])](name)

    def require(self, holds: bool, what: str, expected: str, found: object) -> None:
        """Raise `GraphError` for this node unless ``holds``."""
        if not holds:
            self.fail(what, expected, found)

    def fail(self, what: str, expected: str, found: object) -> NoReturn:
        """Raise `GraphError` for this node; for facts that are worth working out only then."""
        raise GraphError(what, where=self.where, expected=expected, found=str(found))

    def refuse(self, what: str, expected: str, found: str) -> NoReturn:
        """Raise `UnsupportedError` for this node."""
        raise UnsupportedError(f"{what} is not supported", where=self.where, expected=expected, found=found)

    @property
    def where(self) -> str:
        """The node as messages call it."""
        return f"{self.graph.name}/{self.node.name or self.node.op} ({self.node.op})"

    def described(self, index: int) -> str:
        """Return an input's type and where it comes from, for messages that must name both nodes."""
        value = self.input(index)
        producer = self.graph.producer(value.name)
        constant = "constant" if value.data is not None else "input"
        source = f"node {producer.name!r} ({producer.op})" if producer else f"{constant} {value.name!r}"
        return f"{value.dtype} {value.shape} from {source}"

    def attribute(self, name: str) -> Attribute:
        """Return an attribute or its default, of whatever kind."""
        return self.node.attributes.get(name, self.operator.attributes[name])


class Parts(Protocol):
    """What adds the nodes that an operator is made of."""

    def node(self, op: str, *inputs: str, called: str = "", **attributes: Attribute) -> str:
        """Add a node, its type inferred, and return what it computes.

        One that users ask for, as a layer, is `called` something, behind the name of the operator's node.
        """

    def constant(self, data: npt.ArrayLike, dtype: str = "float32") -> str:
        """Add a constant and return its name."""


Infer = Callable[[Call], Sequence[TensorType]]
Evaluate = Callable[..., Sequence[Array]]


@dataclass(frozen=True)
class Operator:
    """An operator's declaration.

    Attributes:
        name, domain: as in `Node`.
        inputs: names in order; a trailing ``?`` marks an optional one, ``*`` a repeated one.
        attributes: default by name; nothing else is allowed on a node.
        infer: output types from a `Call`; raises for what is not allowed.
        evaluate: arrays from a `Call` and its input arrays (None where absent). This is the
            definition of the operator; every backend is compared with it.
        traits: what it is like.
        body: what the operator is made of, where it is made of others (`lowbit.ir.operators.composites`).
        parts: the same where the shape decides what it is made of: takes the call and what adds nodes
            (`Parts`), and returns the name of the result, or those of several joined by a space.
        whole: why a call of it cannot be written in parts, or "" where it can; always it can when None.
    """

    name: str
    domain: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]
    infer: Infer
    evaluate: Evaluate
    traits: Trait = Trait.NONE
    body: Body | None = None
    parts: "Callable[[Call, Parts], str] | None" = None
    whole: Callable[[Call], str] | None = None

    @property
    def least(self) -> int:
        """How many inputs a node must have."""
        return sum(not name.endswith("?") for name in self.inputs)

    @property
    def most(self) -> float:
        """How many inputs a node may have."""
        return float("inf") if self.inputs[-1].endswith("*") else len(self.inputs)


OPERATORS: dict[tuple[str, str], Operator] = {}


def register(
    name: str,
    inputs: str,
    *,
    infer: Infer,
    evaluate: Evaluate,
    domain: str = "",
    traits: Trait = Trait.NONE,
    body: str = "",
    parts: "Callable[[Call, Parts], str] | None" = None,
    whole: Callable[[Call], str] | None = None,
    **attributes: Attribute,
) -> Operator:
    """Declare an operator and return it; ``inputs`` are names separated by spaces."""
    parsed = parse(body, name) if body else None
    named = tuple(inputs.split())
    operator = Operator(name, domain, named, attributes, infer, evaluate, traits, parsed, parts, whole)
    OPERATORS[domain, name] = operator
    return operator


def has(node: Node | tuple[str, str] | None, traits: Trait) -> bool:
    """Return whether an operator has all of these traits; no operator, and an unknown one, has none.

    Args:
        node: a node, or domain and name of an operator, or None where there is no node.
        traits: one, or several joined by ``|``.
    """
    key = (node.domain, node.op) if isinstance(node, Node) else node
    operator = OPERATORS.get(key) if key else None
    return operator is not None and traits in operator.traits


def carried(node: Node) -> tuple[str, ...]:
    """Return the inputs whose elements the output of a node has that carries: one, or all that are joined."""
    joins = operator_of(node).inputs[0].endswith("*")
    return node.inputs if joins else node.inputs[:1]


def operators_with(traits: Trait) -> tuple[tuple[str, str], ...]:
    """Return domain and name of every operator that has all of these traits: rows of a table."""
    return tuple(key for key, operator in OPERATORS.items() if traits in operator.traits)


def operator_of(node: Node, where: str = "") -> Operator:
    """Return the declaration of a node's operator.

    Raises:
        UnsupportedError: there is none. Only a slip of writing names another: Resize is no kind of Reshape.
    """
    found = OPERATORS.get((node.domain, node.op))
    if found is None:
        import difflib

        names = sorted({name for _, name in OPERATORS})
        near = difflib.get_close_matches(node.op, names, n=3, cutoff=0.85)
        raise UnsupportedError(
            "operator not supported",
            where=where or node.name,
            expected=" or ".join(near) or "an operator of docs/onnx-operators.md",
            found=f"{node.domain + '.' if node.domain else ''}{node.op}",
            remedy="Export the network without it, or report which network needs it.",
        )
    return found


def broadcast(call: Call, *shapes: Shape) -> Shape:
    """Return the shape that NumPy broadcasting gives; named dimensions stay named."""
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
    result: list[int | str] = []
    for axis, lengths in enumerate(zip(*padded, strict=True)):
        distinct = [length for length in dict.fromkeys(lengths) if length != 1] or [1]
        if len(distinct) != 1:
            call.fail(f"shapes do not broadcast in axis {axis}", "equal lengths or 1", _sources(call))
        result.append(distinct[0])
    return tuple(result)


def passed(call: Call, shape: Shape) -> list[TensorType]:
    """Return the type of an output that holds elements of the first input: codes keep their encoding."""
    value, output = call.input(0), call.graph.values.get(call.node.outputs[0])
    if value.encoding is not None:
        found = output.encoding if output else None
        if found != value.encoding:
            call.fail("codes must keep their encoding", str(value.encoding), found)
    return [TensorType(value.dtype, shape)]


def code_dtype(encoding: Encoding) -> str:
    """Return the dtype that codes of an encoding have."""
    return "code" if encoding.bits <= 8 else "code16"


def storage_dtype(encoding: Encoding) -> str:
    """Return the dtype that constant weights of an encoding have."""
    return "planes" if encoding.storage == "planes" else code_dtype(encoding)


def require_float(call: Call, *indices: int) -> None:
    """Raise `GraphError` unless these inputs are float32 where they are given."""
    for index in indices:
        value = call.optional(index)
        if value is not None and value.dtype != "float32":
            call.fail("operand type", "float32", call.described(index))


def as_float64(call: Call, index: int, array: Array) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return an input as reals: codes become levels."""
    encoding = call.input(index).encoding
    return np.asarray(array if encoding is None else encoding.decode(array), np.float64)


def _sources(call: Call) -> str:
    return "; ".join(call.described(index) for index, name in enumerate(call.node.inputs) if name)
