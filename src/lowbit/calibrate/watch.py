"""What runs a network's parts over samples, batch by batch."""

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from math import prod

import numpy as np
import numpy.typing as npt

from lowbit.engine import Program
from lowbit.errors import EngineError, LowbitError, TooLargeError
from lowbit.ir import Graph, evaluate
from lowbit.ir.graph import DTYPES

Array = npt.NDArray[np.generic]
Runner = Callable[[Mapping[str, Array]], Mapping[str, Array]]
"""Returns a graph's outputs by name, of its inputs by name."""

Run = Callable[[Graph], Runner]
"""Gets a graph ready to run."""

BATCH = 256


def engine_or_reference(graph: Graph) -> Runner:
    """Return what runs a graph: the engine, or the reference where that cannot."""
    try:
        return partial(_run, Program(graph), graph)
    except TooLargeError:
        raise
    except LowbitError:
        return partial(evaluate, graph)


def _run(program: Program, graph: Graph, feeds: Mapping[str, Array]) -> dict[str, Array]:
    given = (np.ascontiguousarray(feeds[name], DTYPES[graph.value(name).dtype]) for name in graph.inputs)
    try:
        made = program.run(*given)
    except EngineError:  # of a network of open lengths, which is planned when they are known
        return evaluate(graph, feeds)
    arrays = made if isinstance(made, tuple) else (made,)
    return dict(zip(graph.outputs, arrays, strict=True))


def batches(samples: npt.NDArray[np.float32], first: int | str) -> Iterator[npt.NDArray[np.float32]]:
    """Yield samples in batches, see `batch_slices`."""
    for part in batch_slices(len(samples), first):
        yield samples[part]


def batch_slices(count: int, first: int | str, size: int = BATCH) -> list[slice]:
    """Return where batches lie: of the length `first` when the network fixes one, else of `size`.

    The last batch may be shorter, but not where the length is fixed: then the last samples are seen again.
    """
    if isinstance(first, str):
        return [slice(start, min(start + size, count)) for start in range(0, count, size)]
    length = min(first, count)
    starts = (min(start, count - length) for start in range(0, count, length))
    return [slice(start, start + length) for start in starts]


def sample_bytes(graph: Graph, name: str) -> int:
    """Return the bytes of a value of one sample, float32; lengths that are not known count once."""
    return 4 * prod(extent for extent in graph.value(name).shape[1:] if isinstance(extent, int))


def widest_cut(graph: Graph) -> int:
    """Return the bytes of a sample's values that are alive at once, at most."""
    last = {name: index for index, node in enumerate(graph.nodes) for name in node.inputs}
    alive = {name: sample_bytes(graph, name) for name in graph.inputs}
    widest = sum(alive.values())
    for index, node in enumerate(graph.nodes):
        alive |= {name: sample_bytes(graph, name) for name in node.outputs}
        widest = max(widest, sum(alive.values()))
        alive = {name: size for name, size in alive.items() if last.get(name, -1) > index}
    return widest


def prefix(graph: Graph, names: Collection[str]) -> Graph:
    """Return the part of a graph that computes these values, and nothing else."""
    part = graph.copy()
    part.outputs = tuple(names)
    part.remove_unused()
    return part
