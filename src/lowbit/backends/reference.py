"""The reference evaluator: slow, short, the definition of what a graph computes."""

from lowbit.backends.backend import Runner, named
from lowbit.blockers import Blocker
from lowbit.ir import Graph, evaluate
from lowbit.ir.graph import Array


def load(graph: Graph, /, *, threads: int = 1) -> Runner:
    """Return the runner of a verified graph; it is NumPy's, whatever `threads` says."""

    def run(*inputs: Array) -> tuple[Array, ...]:
        found = evaluate(graph, named(graph, inputs))
        return tuple(found[name] for name in graph.outputs)

    def trace(*inputs: Array) -> dict[str, Array]:
        values: dict[str, Array] = {}
        evaluate(graph, named(graph, inputs), values.__setitem__)
        return values

    return Runner(run, trace)


def blockers(graph: Graph) -> list[Blocker]:
    """Return nothing: whatever can be read has a definition."""
    return []
