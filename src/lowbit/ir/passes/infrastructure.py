"""What a pass is: a function on graphs with a contract.

A pass takes a graph it may edit and returns whether it changed anything. ``requires`` and
``ensures`` are checked around it, and the graph is verified after it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lowbit.errors import GraphError
from lowbit.ir.graph import Graph
from lowbit.ir.infer import infer
from lowbit.ir.verify import verify

Condition = Callable[[Graph], bool]


def _anything(_: Graph) -> bool:
    return True


@dataclass(frozen=True)
class Pass:
    """A rewrite with its contract.

    Attributes:
        name: how errors call it.
        apply: edits the graph in place and returns whether it changed.
        requires: must hold before.
        ensures: must hold after.
    """

    name: str
    apply: Callable[[Graph], bool]
    requires: Condition = _anything
    ensures: Condition = _anything


@dataclass(frozen=True)
class PassResult:
    """A graph after passes, and the names of those that changed it."""

    graph: Graph
    modified: tuple[str, ...]


def run_passes(graph: Graph, passes: Sequence[Pass]) -> PassResult:
    """Return a rewritten copy of the graph; types are inferred and invariants verified after each pass.

    Raises:
        GraphError: a contract or an invariant is broken, naming the pass.
    """
    graph, modified = graph.copy(), []
    for step in passes:
        _require(step.requires(graph), step, "its precondition does not hold")
        if step.apply(graph):
            modified.append(step.name)
            graph.remove_unused()
            infer(graph)
            verify(graph)
        _require(step.ensures(graph), step, "its postcondition does not hold")
    return PassResult(graph, tuple(modified))


def _require(holds: bool, step: Pass, what: str) -> None:
    if not holds:
        raise GraphError(what, where=f"pass {step.name}")
