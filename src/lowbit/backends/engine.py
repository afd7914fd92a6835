"""The engine: a planned network in C++."""

from typing import Any

import numpy as np

from lowbit.backends.backend import Runner, named
from lowbit.engine import Program
from lowbit.ir import Graph
from lowbit.ir.graph import Array
from lowbit.program import blockers, read_inputs

__all__ = ["blockers", "load"]


def load(graph: Graph, /, **options: Any) -> Runner:
    """Return the runner of a verified graph with one output.

    Args:
        graph: what to run.
        options: of `lowbit.engine.Program`: ``threads``, ``kernels``, ``memory``, ``pin_workers`` …

    Raises:
        EngineError: the engine does not run it: everything that is in the way.
        TooLargeError: it would take more memory than it may.
    """
    return runner_of(Program(graph, **options), graph)


def runner_of(program: Program, graph: Graph) -> Runner:
    """Return the runner of a program that was made of a graph."""
    (source,) = read_inputs(graph)

    def read(inputs: tuple[Array, ...]) -> Any:
        # Aligned too: what a cluster's worker receives may begin anywhere.
        given = named(graph, inputs)
        return np.require(given[source], np.float32, ("C", "A"))

    def run(*inputs: Array) -> tuple[Array, ...]:
        return (program.run(read(inputs)),)

    def trace(*inputs: Array) -> dict[str, Array]:
        made = program.trace(read(inputs))
        # A plan may bring the graph to another form, whose values have names of their own.
        shown = {name: array for name, array in made.items() if name in graph.values}
        return {**named(graph, inputs), **shown}

    return Runner(run, trace)
