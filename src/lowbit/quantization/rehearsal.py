"""A calibration whose networks do not run: what it will ask of them, counted.

The streams are those that calibrate (`lowbit.quantization.stream`), asked what the observer asks, in order.
So what is planned, how often what lies behind a cut that is not held runs again, and how much is held, come
from where they are decided. Only what runs a part is another: it counts, and gives nothing.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from lowbit.calibrate import Runner
from lowbit.ir import Graph, Node
from lowbit.quantization.observe import settled_sum
from lowbit.quantization.stream import Stream, batches_of, count_of

Samples = Mapping[str, npt.NDArray[np.generic]]

_ELEMENT = 16
"""Products that take as long as an element that is read and written."""


@dataclass
class Counted:
    """What was run of a network, see `Rehearsal`.

    Attributes:
        plans: parts that were planned.
        nodes: of these.
        calls: runs of a part on a batch.
        work: of all samples, see `work`.
    """

    plans: int = 0
    nodes: int = 0
    calls: int = 0
    work: float = 0.0

    def add(self, nodes: int, calls: int, amount: float = 0.0) -> None:
        """Count a part of so many nodes."""
        self.plans, self.nodes = self.plans + 1, self.nodes + nodes
        self.calls, self.work = self.calls + calls, self.work + amount


def work(graph: Graph) -> float:
    """Return what the nodes of a graph do for a sample: elements given, and products of constants."""
    return float(
        sum(_size(graph, name) * (_ELEMENT + _products(graph, node)) for node, name in _given(graph))
    )


def _given(graph: Graph) -> Iterator[tuple[Node, str]]:
    return ((node, name) for node in graph.nodes for name in node.outputs if name)


def _products(graph: Graph, node: Node) -> float:
    """Return of how many products an element is the sum, where a node multiplies by constants."""
    data = graph.value(node.inputs[1]).data if len(node.inputs) > 1 and node.inputs[1] else None
    return 0.0 if data is None or data.ndim < 2 or not data.size else data.size / len(data)


def _size(graph: Graph, name: str) -> int:
    return prod(extent for extent in graph.value(name).shape[1:] if isinstance(extent, int))


class Rehearsal:
    """Both networks side by side, see `lowbit.quantization.observe.Observer`.

    Args:
        network: the float network; the other one is taken to be like it.
        samples: that calibrate.
        allowance: bytes of values that may be held.
        pending: names of the layers that will change.
    """

    def __init__(
        self, network: Graph, samples: Samples, allowance: int, pending: Collection[str] = ()
    ) -> None:
        self._network, self._pending, self._count = network, set(pending), count_of(samples)
        self.batches = len(batches_of(network, self._count))
        self._counted, self._seen = Counted(), set[str]()
        self._exact, self._coded = (Stream(network, samples, self._run, allowance // 2) for _ in range(2))

    def taken(self) -> Counted:
        """Return what was run since this was asked last."""
        found, self._counted = self._counted, Counted()
        return found

    @property
    def held(self) -> int:
        """Bytes of values that are held now."""
        return self._exact.held + self._coded.held

    def ask(self, name: str) -> None:
        """Ask for a value of the float network."""
        self._ask(self._exact, name)

    def unseen(self, names: Sequence[str]) -> list[str]:
        """Return which of these values have not been looked at."""
        return [name for name in names if name not in self._seen]

    def look(self, names: Sequence[str]) -> None:
        """Look at what arrives under some names, together, before it is coded."""
        with self._aside(len(names) > 1):
            for name in self.unseen(names):
                self._look(name)

    def layer(self, team: Sequence[Node], *, reads: bool, decodes: bool, changes: bool) -> None:
        """See what layers that share weights should give, and what they give.

        Args:
            team: the layers.
            reads: whether what arrives is looked at again, window by window.
            decodes: whether that is made of codes first.
            changes: whether they become layers of codes.
        """
        with self._aside(len(team) > 1):
            for node in team:
                for name in self.unseen(node.inputs[:1]):
                    self._look(name)
                found, other = settled_sum(self._network, node, self._pending), self._coded.copy()
                if decodes:
                    self._counted.add(2, self.batches)
                if reads:
                    self._ask(self._coded, node.inputs[0])
                if found:
                    self._ask(other, found[1])
                self._ask(self._exact, found[0] if found else node.outputs[0])
        self._pending.difference_update(node.name for node in team)
        with self._aside(len(team) > 1):
            for node in team if changes else ():
                self._ask(self._coded, node.outputs[0])

    def _look(self, name: str) -> None:
        self._ask(self._coded, name)
        self._ask(self._exact, name)
        self._seen.add(name)

    @contextmanager
    def _aside(self, needed: bool) -> Iterator[None]:
        kept = self._exact, self._coded
        if needed:
            self._exact, self._coded = self._exact.copy(), self._coded.copy()
        try:
            yield
        finally:
            self._exact, self._coded = kept

    def _ask(self, stream: Stream, name: str) -> None:
        for _ in stream.values(name):
            pass

    def _run(self, part: Graph) -> Runner:
        nothing = dict.fromkeys(part.outputs, np.zeros(0, np.float32))
        self._counted.add(len(part.nodes), self.batches, self._count * work(part))
        return lambda feeds: nothing
