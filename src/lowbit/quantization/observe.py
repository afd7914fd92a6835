"""What is seen of a layer, in the float network and in the one quantized so far, in bounded memory.

Chosen values and windows are spread evenly: of n that a sample has, one out of each of k equal parts, at
random within its part. They are chosen for all samples before any is run, so batches have no influence.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import numpy.typing as npt

from lowbit.calibrate import Histogram, LinearMoments, RowStatistics, Run, prefix
from lowbit.errors import NumericError
from lowbit.ir import Graph, Node, Value
from lowbit.quantization.measure import relative_error
from lowbit.quantization.rows import Rows
from lowbit.quantization.stream import Stream, count_of

Array = npt.NDArray[np.generic]
Mask = npt.NDArray[np.bool_]

MOST_VALUES = 1 << 21
"""Of an activation: more say no more about its encoding."""

RANGED = 64
"""Samples that say how large sums between layers become."""


@dataclass(frozen=True, eq=False)
class Source:
    """What arrives at a layer.

    Attributes:
        usual: which samples are like the others in both networks, of every batch.
        histogram: of what arrives, and of what should.
    """

    usual: list[Mask]
    histogram: Histogram


@dataclass(frozen=True, eq=False)
class Target:
    """What a layer should give.

    Attributes:
        chosen: at the chosen windows, `[groups, m, o / groups]` of every batch.
        moments: of every group, where they were asked for.
        range: the least and the largest value of usual samples.
    """

    chosen: list[Array]
    moments: list[LinearMoments]
    range: tuple[float, float]


class Observer:
    """Runs both networks side by side.

    Args:
        exact: the float network.
        low: the network quantized so far; it is edited where it has not been run.
        samples: that calibrate.
        run: what runs a network.
        allowance: bytes of values that may be held.
        pending: names of the layers that will still change; the owner takes names away.
        usual: which samples are like the others, by value, as far as that is known; what is found is added.
    """

    def __init__(
        self,
        exact: Graph,
        low: Graph,
        samples: Mapping[str, Array],
        run: Run,
        allowance: int,
        pending: Collection[str],
        usual: dict[str, list[Mask]] | None = None,
    ) -> None:
        self._low, self._count, self._run, self.pending = low, count_of(samples), run, set(pending)
        self._exact, self._coded = (Stream(graph, samples, run, allowance // 2) for graph in (exact, low))
        self._usual = {} if usual is None else usual
        self._last: tuple[str, int, Source] | None = None

    @property
    def outliers(self) -> int:
        """How many samples were left out of calibrating a layer."""
        usual = list(self._usual.values())[-1:]
        return sum(int((~mask).sum()) for masks in usual for mask in masks)

    def histogram(self, names: Sequence[str], seed: int) -> Histogram:
        """Return what arrives under some names, together."""
        if len(names) == 1:
            return self.source(names[0], seed).histogram
        found = Histogram()
        with self._aside():
            for name in names:
                found.merge(self._look(name, seed).histogram)
        return found

    def source(self, name: str, seed: int) -> Source:
        """Return what arrives under a name; a sample that was unusual earlier is so here."""
        if self._last is None or self._last[:2] != (name, seed):
            self._last = name, seed, self._look(name, seed)
        return self._last[2]

    @contextmanager
    def _aside(self, needed: bool = True) -> Iterator[None]:
        """Look ahead, behind nodes that will still change: what is run meanwhile is not held."""
        kept = self._exact, self._coded
        if needed:
            self._exact, self._coded = (stream.copy() for stream in kept)
        try:
            yield
        finally:
            self._exact, self._coded = kept

    def _usual_of(self, name: str, seed: int) -> list[Mask]:
        return self._usual[name] if name in self._usual else self.source(name, seed).usual

    def _look(self, name: str, seed: int) -> Source:
        statistics = RowStatistics(), RowStatistics()
        found: list[tuple[npt.NDArray[np.intp], Array, Array]] = []
        choice = _Choice(min(MOST_VALUES / max(self._count * _elements(self._low.value(name)), 1), 1.0), seed)
        for pair in zip(self._coded.values(name), self._exact.values(name), strict=True):
            _require_finite(pair[1], name)
            for seen, part in zip(statistics, pair, strict=True):
                seen.update(part)
            rows, places = choice.of(len(pair[0]), pair[0][0].size)
            low, exact = (part.reshape(len(part), -1)[rows, places] for part in pair)
            found.append((rows, low, exact))
        usual = self._usual_now(name, *(seen.ordinary() for seen in statistics))
        histogram = Histogram()
        chosen = [
            (low[mask[rows]], exact[mask[rows]])
            for (rows, low, exact), mask in zip(found, usual, strict=True)
        ]
        histogram.update(*(np.concatenate(parts) for parts in zip(*chosen, strict=True)))
        return Source(usual, histogram)

    def _usual_now(self, name: str, low: list[Mask], exact: list[Mask]) -> list[Mask]:
        if name not in self._usual:
            usual = [np.logical_and(*masks) for masks in zip(low, exact, strict=True)]
            earlier = next(reversed(self._usual.values()), usual)
            # Rows of a value that is not laid out by samples are other rows than those of earlier layers.
            same = all(len(mask) == len(other) for mask, other in zip(usual, earlier, strict=True))
            self._usual[name] = [
                np.logical_and(*masks) for masks in zip(usual, earlier if same else usual, strict=True)
            ]
        return self._usual[name]

    def target(
        self, team: Sequence[Node], codes: Sequence[str], shape: tuple[int, ...], windows: "Windows"
    ) -> Target:
        """Return what layers should give, and the moments of what they get with that where they are wanted.

        Args:
            team: layers of the float network that share their weights.
            codes: what each reads in the low-bit network.
            shape: of the weights, `[groups, o / groups, d]`.
            windows: which are looked at.
        """
        groups = range(shape[0] if windows.moments else 0)
        moments = [LinearMoments(shape[2], shape[1], windows.moments > 1) for _ in groups]
        chosen, ends = [], [(np.inf, -np.inf)]
        with self._aside(len(team) > 1):
            for layer, code in zip(team, codes, strict=True):
                for part, least, most in self._look_at(layer, code, windows, moments):
                    chosen.append(part)
                    ends.append((least, most))
        lows, highs = zip(*ends, strict=True)
        return Target(chosen, [part.finish() for part in moments], (min(lows), max(highs)))

    def _look_at(
        self, layer: Node, codes: str, windows: "Windows", moments: list[LinearMoments]
    ) -> Iterator[tuple[Array, float, float]]:
        """Yield what a layer should give batch by batch, with its ends; add it to the moments."""
        rows, usual = Rows.of(self._exact.graph, layer), self._usual_of(layer.inputs[0], windows.seed)
        arriving = self._levels(layer.inputs[0], codes) if moments else [None] * len(usual)
        choice = _Choice(windows.share(self._count, rows), windows.seed)
        for levels, target, mask in zip(arriving, self._targets(layer), usual, strict=True):
            _require_finite(target, layer.outputs[0])
            positions = _usual_positions(choice, rows, mask)
            chosen = rows.outputs(target, positions)
            if levels is not None and len(positions[0]):
                for part, x, y in zip(moments, rows.inputs(levels, positions), chosen, strict=True):
                    part.update(x, y)
            seen = target[mask]
            yield chosen, float(seen.min(initial=np.inf)), float(seen.max(initial=-np.inf))

    def error(self, team: Sequence[Node], target: Target, windows: "Windows") -> float:
        """Return how far what deployed layers give is from their target, relative to the variance."""
        found = []
        with self._aside(len(team) > 1):
            for layer in team:
                rows, usual = Rows.of(self._exact.graph, layer), self._usual_of(layer.inputs[0], windows.seed)
                choice = _Choice(windows.share(self._count, rows), windows.seed)
                for low, mask in zip(self._coded.values(layer.outputs[0]), usual, strict=True):
                    found.append(rows.outputs(low, _usual_positions(choice, rows, mask)))
        return relative_error(np.concatenate(target.chosen, axis=1), np.concatenate(found, axis=1))

    def _levels(self, source: str, codes: str) -> Iterator[Array]:
        """Yield the reals that codes of a value stand for, in the low-bit network."""
        encoder = self._low.producer(codes)
        if self._low.value(codes).encoding is None or encoder is None:
            yield from self._coded.values(codes)
            return
        decoded = Graph("levels", (source,), ("levels",), values=dict(self._low.values))
        decoded.values["levels"] = replace(self._low.value(source), name="levels")
        decoded.nodes = [encoder, Node("Decode", (codes,), ("levels",), {}, "decode", "lowbit")]
        decoded.remove_unused()
        runner = self._run(decoded)
        for values in self._coded.values(source):
            yield runner({source: values})["levels"]

    def _targets(self, layer: Node) -> Iterator[Array]:
        """Return what a layer should give: its float output, or what is missing of the float sum behind it.

        At a residual sum whose other part is quantized already, the layer makes up for that part's error.
        """
        found = settled_sum(self._low, layer, self.pending)
        if found is None:
            return self._exact.values(layer.outputs[0])
        total, other = found
        # Where the layer's input comes from is being run meanwhile.
        rest = self._coded.copy().values(other)
        pairs = zip(self._exact.values(total), rest, strict=True)
        return (np.asarray(exact, np.float32) - np.asarray(part, np.float32) for exact, part in pairs)


@dataclass(frozen=True)
class Windows:
    """Which windows of a layer are looked at.

    Attributes:
        most: of them, over all samples.
        seed: chooses.
        moments: how many of what they hold are wanted: none, 1 (means) or 2 (covariances).
    """

    most: int
    seed: int
    moments: int

    def share(self, samples: int, rows: Rows) -> float:
        """Return which part of all windows that is."""
        return min(self.most / max(samples * rows.windows(), 1), 1.0)


def settled_sum(graph: Graph, layer: Node, pending: Collection[str]) -> tuple[str, str] | None:
    """Return the sum that alone reads a layer and its other part, if that will not change any more.

    Args:
        graph: of the layer.
        layer: whose output is looked for in a sum.
        pending: names of the layers that will still change.
    """
    output = layer.outputs[0]
    readers = graph.consumers(output)
    if len(readers) != 1 or readers[0].op != "Add" or output in graph.outputs:
        return None
    others = [name for name in readers[0].inputs if name != output]
    if len(others) != 1 or graph.value(others[0]).shape != graph.value(output).shape:
        return None
    if graph.value(others[0]).data is not None:  # what is added always has no error
        return None
    behind = {node.name for node in prefix(graph, others).nodes}
    return None if behind & set(pending) else (readers[0].outputs[0], others[0])


class _Choice:
    """Chooses a share of all elements of a value, batch after batch, one in each of equal strata."""

    def __init__(self, share: float, seed: int) -> None:
        self._share, self._random = share, np.random.default_rng(seed)
        self._passed = self._drawn = 0
        self._later = np.zeros(0, np.intp)

    def of(self, rows: int, size: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Return rows and places within them, of the next so many rows of so many elements."""
        end = self._passed + rows * size
        last = math.ceil(end * self._share)
        strata = np.arange(self._drawn, last) + self._random.random(last - self._drawn)
        found = np.concatenate([self._later, (strata / self._share).astype(np.intp)])
        here, self._later = found[found < end] - self._passed, found[found >= end]
        self._passed, self._drawn = end, last
        return np.divmod(here, max(size, 1))


def _usual_positions(choice: _Choice, rows: Rows, mask: Mask) -> tuple[npt.NDArray[np.intp], ...]:
    samples, windows = choice.of(len(mask), rows.windows())
    usual = mask[samples]
    return rows.positions(samples[usual], windows[usual])


def _require_finite(array: Array, name: str) -> None:
    if not np.isfinite(array).all():
        raise NumericError(
            "the float network gives values that are not finite",
            where=name,
            found="NaN or infinity",
            remedy="Check the samples' scale and the network's weights.",
        )


def _elements(value: Value) -> int:
    """Return how many elements a value has per sample."""
    return prod(int(extent) for extent in value.shape[1:])
