"""The graph: values, nodes, and the graph that holds them.

Operator meaning is that of ONNX (layout NCHW) plus the domain ``lowbit``. A value is a float or
integer tensor, or, when it carries an *encoding*, codes. Constants have ``data``. Names are unique
and are the only references, so a graph is plain data: easy to copy, print, compare and edit.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from lowbit.errors import GraphError
from lowbit.ir.nodes import Nodes
from lowbit.schemes import Encoding

Array = npt.NDArray[np.generic]
Attribute = int | float | str | tuple[int, ...] | tuple[float, ...]

# "code": uint8 codes of an encoding, "code16": uint16 codes of more than 8 bits.
# "planes": a packed constant, uint32 [..., bits, words].
DTYPES: dict[str, np.dtype[np.generic]] = {
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
    "int8": np.dtype(np.int8),
    "uint8": np.dtype(np.uint8),
    "int32": np.dtype(np.int32),
    "int64": np.dtype(np.int64),
    "bool": np.dtype(np.bool_),
    "code": np.dtype(np.uint8),
    "code16": np.dtype(np.uint16),
    "planes": np.dtype(np.uint32),
}

# A dimension is a length, or a name for one that is only known at run time (the batch).
Dimension = int | str
Shape = tuple[Dimension, ...]


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor of the graph.

    Attributes:
        name: unique in its graph.
        dtype: a key of `DTYPES`.
        shape: logical shape; planes have the shape of the codes they hold.
        data: the constant's array, or None.
        encoding: what the codes mean; set exactly when dtype is ``code``, ``code16`` or ``planes``.
    """

    name: str
    dtype: str
    shape: Shape
    data: Array | None = None
    encoding: Encoding | None = None


@dataclass(frozen=True)
class Node:
    """One application of an operator.

    Attributes:
        op: the operator's name.
        inputs: value names; "" for an optional input that is absent.
        outputs: value names.
        attributes: by name; what is absent has the operator's default.
        name: unique in its graph; how messages and plans call it.
        domain: "" for ONNX, "lowbit" for ours.
    """

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    name: str = ""
    domain: str = ""


@dataclass(eq=False)
class Graph:
    """A network: nodes in an order in which they can run.

    Attributes:
        name: what to call it.
        inputs: names of the values fed at run time.
        outputs: names of the values given back.
        nodes: in topological order.
        values: every value by name, constants included.
        metadata: free text by key, kept in files.
        notes: what a reader left out of a file, a line each; for people, not kept in files.
    """

    name: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    nodes: list[Node] = field(default_factory=list)
    values: dict[str, Value] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __setattr__(self, name: str, value: object) -> None:
        # Whatever list is given, it is kept as one that finds producers and consumers.
        kept = Nodes(value) if name == "nodes" and not isinstance(value, Nodes) else value  # type: ignore[arg-type]
        object.__setattr__(self, name, kept)

    @property
    def _indexed(self) -> Nodes:
        assert isinstance(self.nodes, Nodes)  # set by nothing but __setattr__
        return self.nodes

    def value(self, name: str) -> Value:
        """Return the value of that name.

        Raises:
            GraphError: there is none.
        """
        try:
            return self.values[name]
        except KeyError:
            raise GraphError(
                "no such value", where=self.name, expected="a value of the graph", found=repr(name)
            ) from None

    def constant(self, name: str) -> Array:
        """Return the data of a constant.

        Raises:
            GraphError: the value is not a constant.
        """
        data = self.value(name).data
        if data is None:
            raise GraphError("a constant is needed here", where=name, found="a value computed at run time")
        return data

    def producer(self, name: str) -> Node | None:
        """Return the node that computes a value, or None for inputs and constants."""
        return self._indexed.producer(name)

    def consumers(self, name: str) -> list[Node]:
        """Return the nodes that read a value, in order."""
        return self._indexed.consumers(name)

    def add(self, value: Value) -> str:
        """Add a value and return its name.

        Raises:
            GraphError: the name is taken.
        """
        if not value.name or value.name in self.values:
            raise GraphError("a value's name is empty or taken", where=self.name, found=repr(value.name))
        self.values[value.name] = value
        return value.name

    def add_constant(self, name: str, data: npt.ArrayLike, dtype: str = "float32") -> str:
        """Add a constant of that dtype and return its name."""
        array = np.asarray(data, DTYPES[dtype])
        return self.add(Value(name, dtype, array.shape, array))

    def update(self, name: str, **changes: object) -> None:
        """Replace fields of a value, keeping its name."""
        self.values[name] = replace(self.value(name), **changes)  # type: ignore[arg-type]

    def fresh_name(self, stem: str) -> str:
        """Return ``stem``, or ``stem_2``, ``stem_3``, … if it is taken by a value or a node."""
        taken = self.values.keys() | {node.name for node in self.nodes}
        return next(name for name in _numbered(stem) if name not in taken)

    def copy(self) -> "Graph":
        """Return a graph that can be edited without touching this one; arrays are shared."""
        return replace(self, nodes=list(self.nodes), values=dict(self.values), metadata=dict(self.metadata))

    def remove_unused(self) -> None:
        """Drop nodes whose outputs nobody reads and values that no node, input or output names."""
        needed = set(self.outputs)
        kept: list[Node] = []
        for node in reversed(self.nodes):
            if needed.intersection(node.outputs):
                kept.append(node)
                needed.update(filter(None, node.inputs))
        self.nodes = kept[::-1]
        named = needed | set(self.inputs) | {name for node in kept for name in node.outputs}
        self.values = {name: value for name, value in self.values.items() if name in named}

    def __str__(self) -> str:
        from lowbit.ir.text import to_text

        return to_text(self, constants=False)

    def _repr_html_(self) -> str:
        from lowbit.ir.notebook import to_html

        return to_html(self)


def topological(nodes: Iterable[Node], known: Iterable[str]) -> list[Node]:
    """Return nodes in an order in which every input is known before it is read; stable.

    Raises:
        GraphError: a cycle, or an input that nothing produces.
    """
    ready, waiting, ordered = set(known) | {""}, list(nodes), []
    while waiting:
        runnable: list[Node] = []
        later: list[Node] = []
        for node in waiting:
            (runnable if ready.issuperset(node.inputs) else later).append(node)
        if not runnable:
            missing = sorted(set(waiting[0].inputs) - ready)
            raise GraphError(
                "inputs are never computed, or the nodes form a cycle",
                where=waiting[0].name or waiting[0].op,
                found=", ".join(missing),
            )
        ordered += runnable
        ready.update(name for node in runnable for name in node.outputs)
        waiting = later
    return ordered


def _numbered(stem: str) -> Iterator[str]:
    yield stem
    number = 2
    while True:
        yield f"{stem}_{number}"
        number += 1
