"""A network that is run only as far as somebody asks, its values held within an allowance.

Samples flow through in batches. Between two questions a cut through the network is held: the values that
nodes still to be run read. Where all samples' values of the next cut are more than the allowance, the last
cut stays, and what lies behind it is run again when the next value is asked for. So memory is bounded, and
what is given does not depend on the bound: batches are the same, whatever is held.

Codes are never held, but what they are codes of. The graph may change behind the cut while the stream is in
use: that is how a network is quantized layer after layer.
"""

from collections.abc import Collection, Iterator, Mapping, Set
from copy import copy

import numpy as np
import numpy.typing as npt

from lowbit.calibrate import Run, batch_slices, sample_bytes, widest_cut
from lowbit.ir import Graph, Node

Array = npt.NDArray[np.generic]

_BATCH, _BATCH_BYTES = 256, 64 << 20
"""The most samples of a batch, and bytes of its values that are alive at once."""


class Stream:
    """Runs a graph over samples, cut by cut.

    Args:
        graph: may be edited where it has not been run.
        samples: ``[n, ...]`` of every input.
        run: what runs a graph.
        allowance: bytes of the values that are held.
    """

    def __init__(self, graph: Graph, samples: Mapping[str, Array], run: Run, allowance: int) -> None:
        self.graph, self._run, self._allowance, self._samples = graph, run, allowance, samples
        self._sources = set(graph.inputs)
        self._batches = batches_of(graph, count_of(samples))
        self._kept: list[dict[str, Array]] = [{} for _ in self._batches]
        self._known = set(graph.inputs)

    def copy(self) -> "Stream":
        """Return a stream that is where this one is, and goes on without it."""
        other = copy(self)
        other._kept, other._known = [dict(held) for held in self._kept], set(self._known)
        return other

    @property
    def held(self) -> int:
        """Bytes of the values that are held, of all samples."""
        samples = sum(part.stop - part.start for part in self._batches)
        return int(samples * self._bytes(self._known - self._sources))

    def values(self, name: str) -> Iterator[Array]:
        """Yield a value batch by batch; every batch must be taken before the next question."""
        nodes, inputs = _between(self.graph, self._known, [name])
        if not nodes:
            yield from (self._held(index, [name])[name] for index in range(len(self._batches)))
            return
        known = self._known | {output for node in nodes for output in self._reals(node)}
        _, live = _between(self.graph, known, self.graph.outputs)
        advances = self._fits(live - self._sources) or self._fits_better(live)
        outputs = {name} | ((live - self._known) if advances else set())
        runner = self._run(_part(self.graph, nodes, inputs, outputs))
        for index in range(len(self._batches)):
            found = {**self._held(index, live & self._known), **runner(self._held(index, inputs))}
            if advances:
                self._kept[index] = {key: found[key] for key in live if key not in self._sources}
            yield found[name]
        if advances:
            self._known = known & (live | self._sources)

    def _reals(self, node: Node) -> list[str]:
        return [name for name in node.outputs if self.graph.value(name).encoding is None]

    def _held(self, index: int, names: Collection[str]) -> dict[str, Array]:
        """Return values of a batch that are known: the network's inputs are read again."""
        kept = self._kept[index]
        return {
            name: self._samples[name][self._batches[index]] if name in self._sources else kept[name]
            for name in names
        }

    def _fits(self, names: Collection[str]) -> bool:
        count = sum(part.stop - part.start for part in self._batches)
        return bool(count * self._bytes(names) <= self._allowance)

    def _fits_better(self, names: set[str]) -> bool:
        """Whether a cut takes no more than the one that is held."""
        return self._bytes(names - self._sources) <= self._bytes(self._known - self._sources)

    def _bytes(self, names: Collection[str]) -> int:
        return sum(sample_bytes(self.graph, name) for name in names)


def count_of(samples: Mapping[str, Array]) -> int:
    """Return how many samples there are."""
    return len(next(iter(samples.values())))


def batches_of(graph: Graph, count: int) -> list[slice]:
    """Return the batches in which so many samples run through a network; its size alone says how long."""
    size = max(min(_BATCH, _BATCH_BYTES // max(widest_cut(graph), 1)), 1)
    return batch_slices(count, graph.value(graph.inputs[0]).shape[0], size)


def _part(graph: Graph, nodes: list[Node], inputs: Collection[str], outputs: Collection[str]) -> Graph:
    """Return the graph of these nodes."""
    part = graph.copy()
    part.nodes, part.outputs = nodes, tuple(outputs)
    part.inputs = tuple(name for name in graph.values if name in inputs)
    part.remove_unused()
    return part


def _between(graph: Graph, known: Set[str], names: Collection[str]) -> tuple[list[Node], set[str]]:
    """Return the nodes that compute values from known ones, in order, and which known ones they read.

    Known values that are asked for are among these.
    """
    missing, read, nodes = set(names) - known, set(names) & known, list[Node]()
    for node in reversed(graph.nodes):
        if not missing.isdisjoint(node.outputs):
            nodes.append(node)
            inputs = set(filter(None, node.inputs))
            missing |= inputs - known
            read |= inputs & known
    return nodes[::-1], read
