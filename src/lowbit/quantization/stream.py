"""A network that is run only as far as somebody asks, and never twice over the same samples.

Samples flow through in batches. A value is kept while a node that was not run yet still reads it, so what
is held at any moment is one cut through the network; asking for a value runs what lies between.
The graph may change behind the cut while the stream is in use: that is how a network is quantized layer
after layer.
"""

from collections.abc import Collection, Iterator

import numpy as np
import numpy.typing as npt

from lowbit.calibrate import Run, batches
from lowbit.ir import Graph

Array = npt.NDArray[np.generic]


class Stream:
    """Runs a graph over samples, cut by cut.

    Args:
        graph: with one input; may be edited where it has not been run.
        samples: ``[n, ...]``.
        run: what runs a graph.
    """

    def __init__(self, graph: Graph, samples: npt.NDArray[np.float32], run: Run) -> None:
        self.graph, self._run = graph, run
        source = graph.inputs[0]
        self._kept: list[dict[str, Array]] = [
            {source: batch} for batch in batches(samples, graph.value(source).shape[0])
        ]
        self._known = {source}

    def values(self, name: str) -> Iterator[Array]:
        """Yield a value batch by batch; every batch must be taken before the next question."""
        part = _between(self.graph, self._kept[0], name)
        known = self._known | {output for node in part.nodes for output in node.outputs}
        live = _live(self.graph, known) | {name}
        for kept in self._kept:
            if part.nodes:
                self._advance(part, kept, live)
            yield kept[name]
        self._known = known

    def _advance(self, part: Graph, kept: dict[str, Array], live: Collection[str]) -> None:
        found = dict(kept)
        feeds = {source: kept[source] for source in part.inputs}
        self._run(part, feeds, found.__setitem__)
        kept.clear()
        kept.update({key: array for key, array in found.items() if key in live})


def _between(graph: Graph, known: Collection[str], name: str) -> Graph:
    """Return the part of a graph that computes a value from known ones."""
    part = graph.copy()
    part.outputs = (name,)
    part.nodes = [node for node in part.nodes if not set(node.outputs) <= set(known)]
    part.inputs = ()
    part.remove_unused()
    read = {source for node in part.nodes for source in node.inputs}
    part.inputs = tuple(source for source in known if source in read)
    return part


def _live(graph: Graph, known: Collection[str]) -> set[str]:
    """Return what a node still to be run reads."""
    return {name for node in graph.nodes if not set(node.outputs) <= set(known) for name in node.inputs}
