"""The engine: a planned network in C++."""

from typing import Any

import numpy as np

from lowbit.backends.backend import Runner, named
from lowbit.engine import Program
from lowbit.ir import Graph
from lowbit.ir.graph import Array
from lowbit.program import Port, blockers

__all__ = ["blockers", "load"]


def load(graph: Graph, /, **options: Any) -> Runner:
    """Return the runner of a verified graph.

    Args:
        graph: what to run.
        options: of `lowbit.engine.Program`: ``threads``, ``kernels``, ``memory``, ``pin_workers`` …

    Raises:
        EngineError: the engine does not run it: everything that is in the way.
        TooLargeError: it would take more memory than it may.
    """
    return runner_of(Program(graph, **options), graph)


def _given_type(port: Port, array: Array) -> Any:
    """Return the type in which an array is given: reals as float32, integers as they are."""
    return np.float32 if port.dtype == "float32" else array.dtype


def runner_of(program: Program, graph: Graph) -> Runner:
    """Return the runner of a program that was made of a graph."""

    def read(inputs: tuple[Array, ...]) -> list[Any]:
        # Aligned too: what a cluster's worker receives may begin anywhere.
        given = named(graph, inputs)
        for port in program.inputs:
            given[port.name] = np.require(given[port.name], _given_type(port, given[port.name]), ("C", "A"))
        return list(given.values())

    def run(*inputs: Array) -> tuple[Array, ...]:
        made = program.run(*read(inputs))
        return made if len(program.outputs) > 1 else (made,)

    def trace(*inputs: Array) -> dict[str, Array]:
        made = program.trace(*read(inputs))
        # A plan may bring the graph to another form, whose values have names of their own.
        shown = {name: array for name, array in made.items() if name in graph.values}
        return {**named(graph, inputs), **shown}

    return Runner(run, trace)
