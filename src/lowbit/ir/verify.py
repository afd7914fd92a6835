"""Invariants of a graph, reported as findings: code, path, message.

What verification proves: names are unique and defined before use, constants have the bytes their
shape asks for, codes and encodings go together, every node satisfies its operator. What it does not
prove: that two graphs compute the same function.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lowbit.errors import GraphError, LowbitError
from lowbit.ir.graph import DTYPES, Graph, Value
from lowbit.ir.infer import call_of, types_of


@dataclass(frozen=True)
class Finding:
    """One broken invariant."""

    code: str
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.code} {self.path}: {self.message}"


def verify(graph: Graph) -> None:
    """Raise `GraphError` with the first finding and how many there are."""
    found = findings(graph)
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        code = "" if found[0].code == GraphError.code else f"{found[0].code}: "
        raise GraphError(f"{code}{found[0].message}{more}", where=found[0].path)


def findings(graph: Graph) -> list[Finding]:
    """Return every broken invariant, structure first; operators only when the structure holds."""
    return list(_structure(graph)) or list(_values(graph)) or list(_operators(graph))


def _structure(graph: Graph) -> Iterator[Finding]:
    known = set(graph.inputs) | {name for name, value in graph.values.items() if value.data is not None}
    produced: set[str] = set()
    names = Counter(node.name for node in graph.nodes)
    for node in graph.nodes:
        path = f"{graph.name}/{node.name or node.op}"
        if not node.name or names[node.name] > 1:
            yield Finding("NODE-NAME", path, "node names must be unique and not empty")
        for name in filter(None, node.inputs):
            if name not in known:
                yield Finding("UNDEFINED-INPUT", path, f"reads {name!r} before anything computes it")
        for name in node.outputs:
            if name in known or name in produced:
                yield Finding("DUPLICATE-PRODUCER", path, f"computes {name!r}, which is already defined")
            produced.add(name)
        known.update(node.outputs)
    for name in (*graph.inputs, *graph.outputs):
        if name not in graph.values:
            yield Finding(
                "UNDEFINED-VALUE", f"{graph.name}/{name}", "an input or output is no value of the graph"
            )
    for name in graph.outputs:
        if name not in known:
            yield Finding("UNDEFINED-OUTPUT", f"{graph.name}/{name}", "nothing computes this output")
    for name in known - graph.values.keys():
        yield Finding("UNDEFINED-VALUE", f"{graph.name}/{name}", "used, but no value of the graph")


def _values(graph: Graph) -> Iterator[Finding]:
    for name, value in graph.values.items():
        path = f"{graph.name}/{name}"
        if value.name != name:
            yield Finding("VALUE-NAME", path, f"is called {value.name!r} by itself")
        if value.dtype not in DTYPES:
            yield Finding("VALUE-DTYPE", path, f"unknown dtype {value.dtype!r}")
            continue
        if (value.encoding is not None) != (value.dtype in ("code", "code16", "planes")):
            yield Finding("VALUE-ENCODING", path, f"dtype {value.dtype} and encoding do not go together")
        if value.data is not None:
            yield from _constant(path, value)


def _constant(path: str, value: Value) -> Iterator[Finding]:
    assert value.data is not None
    if value.data.dtype != DTYPES[value.dtype]:
        yield Finding("CONSTANT-DTYPE", path, f"holds {value.data.dtype}, declared {value.dtype}")
    if value.dtype != "planes" and value.data.shape != value.shape:
        yield Finding("CONSTANT-SHAPE", path, f"holds {value.data.shape}, declared {value.shape}")
    if value.dtype in ("code", "code16") and value.encoding is not None:
        wide = (
            value.encoding.bits == 8 * DTYPES[value.dtype].itemsize
        )  # then all that the type holds are codes
        largest = 0 if wide or value.data.dtype.kind != "u" else int(value.data.max(initial=0))
        if largest >= 1 << value.encoding.bits:
            yield Finding("CONSTANT-CODES", path, f"holds code {largest} of {value.encoding.bits} bits")
    if value.data.dtype.kind == "f" and not np.isfinite(value.data).all():
        yield Finding("CONSTANT-FINITE", path, "holds NaN or infinity")


def _operators(graph: Graph) -> Iterator[Finding]:
    for node in graph.nodes:
        path = f"{graph.name}/{node.name}"
        try:
            call = call_of(graph, node)
            types = types_of(call)
        except LowbitError as error:
            yield Finding(error.code, error.where or path, error.facts)
            continue
        for name, found in zip(node.outputs, types, strict=True):
            value = graph.values[name]
            if (value.dtype, value.shape) != (found.dtype, found.shape):
                yield Finding(
                    "OUTPUT-TYPE", path, f"{name} is {value.dtype} {value.shape}, should be {found}"
                )
