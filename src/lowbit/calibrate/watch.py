"""Run a network over samples and hand out the values that were asked for, a batch at a time.

What runs the network is an argument: the reference evaluator, or anything that calls an observer with the
name and array of every computed value.
"""

from collections.abc import Callable, Collection, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from lowbit.ir import Graph

Array = npt.NDArray[np.generic]
Observe = Callable[[str, Array], None]
Run = Callable[[Graph, Mapping[str, npt.ArrayLike], Observe | None], object]

BATCH = 256


def batches(samples: npt.NDArray[np.float32], first: int | str) -> Iterator[npt.NDArray[np.float32]]:
    """Yield samples in batches: of the length `first` when the network fixes one, else of `BATCH`.

    The last batch may be shorter, but not where the length is fixed: then the last samples are seen again.
    """
    size = min(first, len(samples)) if isinstance(first, int) else BATCH
    for start in range(0, len(samples), size):
        fixed_start = min(start, len(samples) - size) if isinstance(first, int) else start
        yield samples[fixed_start : fixed_start + size]


def prefix(graph: Graph, names: Collection[str]) -> Graph:
    """Return the part of a graph that computes these values, and nothing else."""
    part = graph.copy()
    part.outputs = tuple(names)
    part.remove_unused()
    return part


def watch(run: Run, graph: Graph, batch: npt.NDArray[np.float32], names: Collection[str]) -> dict[str, Array]:
    """Return the arrays of the named values for one batch of the graph's only input."""
    seen: dict[str, Array] = {}

    def observe(name: str, array: Array) -> None:
        if name in names:
            seen[name] = array

    run(graph, {graph.inputs[0]: batch}, observe)
    return seen
