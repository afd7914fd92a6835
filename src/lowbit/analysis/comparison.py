"""Where two backends part: the first node whose result is not what the definition makes of its inputs.

A fault spreads: every value behind it differs too. So each node is judged by itself. The reference evaluator
gets the inputs that a backend really had, and its result is compared with what the backend made of them:
codes exactly (those that share a level are one), floats to a share of the largest magnitude. The first node
that fails this, and whose values differ between both backends, is where they part. If none fails, both are
right and the difference is rounding of floats that took another code; it is given with nobody at fault.

What a backend does not show (the engine fuses steps) is computed by the definition from what it does show;
a fault behind it is then among several nodes, the suspects.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lowbit.analysis.pattern import pattern_of
from lowbit.analysis.traces import (
    SeveralSamples,
    Trace,
    Values,
    arrays_of,
    batches_of,
    by_level,
    trace,
)
from lowbit.errors import DataError
from lowbit.ir import Graph, Node
from lowbit.ir.graph import Array
from lowbit.ir.reference import evaluate_node

TOLERANCE = 1e-5

Booleans = npt.NDArray[np.bool_]
Runs = str | Trace | tuple[str, Trace]


@dataclass(frozen=True)
class Divergence:
    """The first difference between two backends.

    Attributes:
        node: its name.
        operator: what it does.
        value: the value that differs.
        sample: the first input with a difference, counted over all samples.
        position: of the first differing element in that sample, the channel first.
        expected: what the first backend has there: a code, or a real.
        found: what the second has.
        differing: how many elements of the value differ in that batch.
        elements: of how many.
        at_fault: the backends that do not do there what the definition says; empty where both do.
        suspects: nodes among which the fault is; more than one where values between them are not shown.
        pattern: what the difference looks like in that batch, in words; see `pattern_of`.
    """

    node: str
    operator: str
    value: str
    sample: int
    position: tuple[int, ...]
    expected: float
    found: float
    differing: int
    elements: int
    at_fault: tuple[str, ...]
    suspects: tuple[str, ...]
    pattern: str = ""

    @property
    def channel(self) -> int:
        """The channel of the first differing element."""
        return self.position[0] if self.position else 0


def first_divergence(
    graph: Graph,
    samples: SeveralSamples,
    one: Runs = "reference",
    other: Runs = "engine",
    *,
    tolerance: float = TOLERANCE,
) -> Divergence | None:
    """Return where two backends part over these samples, or None where they agree.

    Args:
        graph: what both run; it is also the definition.
        samples: ``[n, ...]``, as the network takes them; of several inputs an array for each, in the order of
            the graph or by name.
        one: a key of `lowbit.backends.BACKENDS`, or a function from such arrays to values by name, which
            may have a name of its own: ``("avx2", trace)``.
        other: the same.
        tolerance: of floats, as a share of the largest magnitude of a value in a batch.

    Raises:
        DataError: there are no samples.
        EngineError: the engine does not run this graph.
    """
    arrays = arrays_of(graph, samples)
    if not all(map(len, arrays)):
        raise DataError("there are no samples to compare", where=graph.name, expected="at least one")
    runs = named_trace(graph, one, "one"), named_trace(graph, other, "other")
    rounding: Divergence | None = None
    for start, batch in batches_of(graph, arrays):
        sides = [_Side(graph, name, run(*batch), tolerance) for name, run in runs]
        for found in _differences(graph, sides, start, tolerance):
            if found.at_fault:
                return found
            rounding = rounding or found
    return rounding


def named_trace(graph: Graph, runs: Runs, position: str) -> tuple[str, Trace]:
    """Return what runs a graph, with its name: that of the back end, its own, or its position."""
    if isinstance(runs, str):
        return runs, trace(graph, runs)
    return runs if isinstance(runs, tuple) else (position, runs)


class _Side:
    """One backend's values, what it does not show filled in, and the nodes where it leaves the definition."""

    def __init__(self, graph: Graph, name: str, shown: Values, tolerance: float) -> None:
        self.name, self.faulty = name, set[str]()
        constants = {key: value.data for key, value in graph.values.items() if value.data is not None}
        self.arrays: Values = {**constants, **{key: shown[key] for key in graph.inputs}}
        self.hidden: dict[str, tuple[str, ...]] = {}
        if name == "reference":  # the definition is never at fault
            self.arrays.update(shown)
            return
        for node in graph.nodes:
            self._step(graph, node, shown, tolerance)

    def _step(self, graph: Graph, node: Node, shown: Values, tolerance: float) -> None:
        behind = tuple(name for source in node.inputs for name in self.hidden.get(source, ()))
        for name, right in zip(node.outputs, evaluate_node(graph, node, self.arrays), strict=True):
            if name not in shown:
                self.arrays[name], self.hidden[name] = right, (*behind, node.name)
                continue
            self.arrays[name] = np.asarray(shown[name]).reshape(right.shape)
            if _differ(graph, name, right, self.arrays[name], tolerance).any():
                self.faulty.add(node.name)

    def suspects(self, node: Node) -> tuple[str, ...]:
        """Return the nodes that made what a node read without showing it, and the node."""
        behind = dict.fromkeys(name for source in node.inputs for name in self.hidden.get(source, ()))
        return (*behind, node.name)


def _differences(graph: Graph, sides: list[_Side], start: int, tolerance: float) -> Iterator[Divergence]:
    one, other = sides
    for node in graph.nodes:
        for name in node.outputs:
            differs = _differ(graph, name, one.arrays[name], other.arrays[name], tolerance)
            if not differs.any():
                continue
            at = np.unravel_index(int(np.argmax(differs)), differs.shape)
            guilty = [side for side in sides if node.name in side.faulty]
            suspects = dict.fromkeys(each for side in guilty for each in side.suspects(node))
            yield Divergence(
                node.name,
                node.op,
                name,
                start + int(at[0]) if at else start,
                tuple(int(index) for index in at[1:]),
                float(one.arrays[name][at]),
                float(other.arrays[name][at]),
                int(np.count_nonzero(differs)),
                differs.size,
                tuple(side.name for side in guilty),
                tuple(suspects) or (node.name,),
                pattern_of(one.arrays[name], other.arrays[name], differs),
            )


def _differ(graph: Graph, name: str, one: Array, other: Array, tolerance: float) -> Booleans:
    """Return where a value differs in what it says: codes of one level are one."""
    encoding = graph.value(name).encoding
    return different(by_level(one, encoding), by_level(other, encoding), tolerance)


def different(one: Array, other: Array, tolerance: float = TOLERANCE) -> Booleans:
    """Return where two arrays differ: integers exactly, floats beyond a share of the largest magnitude."""
    if one.dtype.kind in "iub":
        return np.asarray(one != other)
    x, y = one.astype(np.float64), other.astype(np.float64)
    finite = np.isfinite(x)
    largest = np.abs(x[finite]).max(initial=0)
    unequal = (x != y) & ~(np.isnan(x) & np.isnan(y))
    with np.errstate(invalid="ignore"):
        near = np.abs(x - y) <= tolerance * largest
    return np.asarray(unequal & ~near)
