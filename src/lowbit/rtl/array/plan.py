"""The plan of an array engine: a unit for every stage, and the streams between them.

Units work side by side, each on what the ones before it give, so the slowest decides how many clocks a
picture takes. What several units read goes into a buffer for each of them: where their ways meet again, the
shorter one must hold as many rows as the longer one needs before it gives its first.
"""

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from lowbit.rtl.array.memory import tables
from lowbit.rtl.array.network import (
    PICTURE,
    Add,
    ArrayNetwork,
    Concat,
    Layer,
    Pool,
    Recode,
    Stage,
    output_shape,
    point,
)
from lowbit.rtl.array.scores import ScorePlan, plan_scores
from lowbit.rtl.array.units.joins import buffer_cost, plan_add, plan_concat
from lowbit.rtl.array.units.layer import Folding, LayerPlan, is_unrolled, plan_layer, read_only
from lowbit.rtl.array.units.pool import PoolPlan, plan_pool
from lowbit.rtl.array.units.recode import plan_recode
from lowbit.rtl.array.units.unit import NOTHING, Budget, Numbers, UnitPlan, Words
from lowbit.rtl.array.units.windows import Windows, WindowsPlan, unrolled
from lowbit.rtl.names import identifiers
from lowbit.rtl.primitives.target import MULTIPLIERS, Target

__all__ = ["ArrayPlan", "Edge", "Folding", "LayerPlan", "PoolPlan", "plan_array", "plan_layer"]

STREAM_LUT = 12
"""Look-up tables of a stream, which is often split or gathered."""

SCORES = "all scores"
"""Name of the join of several outputs."""


@dataclass(frozen=True)
class Edge:
    """A stream from a unit, or the picture, to an input of another one.

    Attributes:
        source: name of the unit; "" is the picture.
        reader: name of the unit that reads it.
        port: which of its inputs.
        words: as the source gives them.
        rows: of the map that a buffer holds, 0 where the source has one reader.
        row_words: words of a row.
    """

    source: str
    reader: str
    port: int
    words: Words
    rows: int = 0
    row_words: int = 0

    @property
    def depth(self) -> int:
        """Words of its buffer."""
        return self.rows * self.row_words


@dataclass(frozen=True, eq=False)
class ArrayPlan:
    """Everything that the generator needs to know; make one with `plan_array`."""

    network: ArrayNetwork
    target: Target
    units: tuple[UnitPlan, ...]
    edges: tuple[Edge, ...]
    scores: ScorePlan

    @property
    def pixel_bits(self) -> int:
        """Bits of a pixel's rank."""
        return next(edge.words.bits for edge in self.edges if edge.source == PICTURE)

    @property
    def picture_bytes(self) -> int:
        """Bytes of a picture."""
        channels, rows, columns = self.network.shape
        return channels * rows * columns

    @property
    def last(self) -> UnitPlan:
        """The unit whose numbers are the scores."""
        return self.units[-1]

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Names of the units in Verilog."""
        taken = ("pixels", "ends", "scores", "split", "gather", "buffer")
        return identifiers([unit.name for unit in self.units], taken)

    @property
    def cycles(self) -> list[int]:
        """Clocks per picture of input, units, streams between units of other widths, and scores."""
        found, units = [self.picture_bytes], {unit.name: unit for unit in self.units}
        for edge in self.edges:
            before, after = edge.words.lanes, units[edge.reader].inputs[edge.port].lanes
            words = self.picture_bytes if edge.source == PICTURE else units[edge.source].out_words
            common = int(np.gcd(before, after))
            if common < before:
                found.append(words * before // common)
        return [*found, *(unit.cycles for unit in self.units), self.scores.cycles]

    @property
    def cost(self) -> Budget:
        """What all of it takes, roughly."""
        return sum(self.costs.values(), NOTHING)

    @property
    def costs(self) -> Mapping[str, Budget]:
        """What every unit takes, and the table of bytes, streams with their buffers, and the scores."""
        streams = Budget(STREAM_LUT, 0, 0) * len(self.edges)
        for edge in self.edges:
            streams += buffer_cost(edge.depth, edge.words.width) if edge.rows else NOTHING
        units = {unit.name: unit.cost for unit in self.units}
        ends = {"pixels": self._pixel_cost, "streams": streams, "scores": self.scores.cost(self.target)}
        return {**units, **ends}

    @property
    def _pixel_cost(self) -> Budget:
        """What the table of bytes takes: look-up tables, or a memory where every channel has its own."""
        pixels = self.network.pixels
        if pixels.ndim == 1:
            plain = pixels.tolist() == list(range(len(pixels)))
            return Budget(0 if plain else tables(len(pixels), self.pixel_bits), 0, 0)
        return read_only(pixels.size, self.pixel_bits)

    @property
    def cycles_per_image(self) -> int:
        """Clocks from one picture to the next: those of the slowest part."""
        return max(self.cycles)

    @property
    def ends_early(self) -> bool:
        """Whether results may come before the last byte of their picture: not all of a map is read."""
        axes = [axis for unit in self.units for axis in unit.stage.window]
        return any(int(axis.positions()[-1, -1]) < axis.extent - 1 for axis in axes)

    @property
    def pictures_inside(self) -> int:
        """More pictures than can be inside at a time."""
        units = sum(unit.rows_inside // unit.stage.window[0].extent + 3 for unit in self.units)
        return units + 3 * sum(edge.rows > 0 for edge in self.edges) + 3


def plan_array(
    network: ArrayNetwork,
    folding: Mapping[str, Folding],
    target: Target = "xc7",
    kind: str | None = None,
    known: MutableMapping[tuple[str, Folding], LayerPlan] | None = None,
    *,
    shifts: bool = False,
) -> ArrayPlan:
    """Return the plan of an engine.

    Args:
        network: the integers.
        folding: of every layer, by its name.
        target: the family.
        kind: the element of all layers that it can run; the others, and all by default, get the cheapest.
        known: plans of layers that were made before; those that are made are added.
        shifts: whether roundings and scores are made of shifts and adders, as they are in a family without
            multipliers.

    Raises:
        PlanError: a folding that does not divide the layer; names the node.
        NumericError: a sum wider than any adder.
    """
    shifts = shifts or target not in MULTIPLIERS
    channels, rows, columns = network.shape
    layers = _layers(network, folding, target, kind, {} if known is None else known)
    pace = max(channels * rows * columns, *(plan.cycles for plan in layers.values()), 1)
    units: dict[str, UnitPlan] = {}
    words = {PICTURE: Words(1, _picture_bits(network))}
    for stage in _stages(network, folding):
        before = tuple(words[name] for name in stage.sources)
        units[stage.name] = unit = _unit(stage, before, units, layers, pace, target, shifts=shifts)
        words[stage.name] = unit.output
    plans = tuple(units.values())
    scores = _scores(network, units, shifts=shifts)
    return ArrayPlan(network, target, plans, tuple(_edges(network, plans, words)), scores)


def _layers(
    network: ArrayNetwork,
    folding: Mapping[str, Folding],
    target: Target,
    kind: str | None,
    known: MutableMapping[tuple[str, Folding], LayerPlan],
) -> dict[str, LayerPlan]:
    for layer in network.layers:
        at = layer.name, folding[layer.name]
        if at not in known:
            known[at] = plan_layer(layer, folding[layer.name], target, kind)
    return {layer.name: known[layer.name, folding[layer.name]] for layer in network.layers}


def _picture_bits(network: ArrayNetwork) -> int:
    """Return the bits of a pixel's rank, as those take it who read the picture."""
    taken = [int(network.pixels.max()).bit_length(), 1]
    taken += [
        stage.bits for stage in network.stages if PICTURE in stage.sources and isinstance(stage, Layer | Pool)
    ]
    return max(taken)


def _stages(network: ArrayNetwork, folding: Mapping[str, Folding]) -> Iterator[Stage | Windows]:
    """Yield all stages; before an unrolled layer, its windows; several outputs are joined."""
    for stage in network.stages:
        if isinstance(stage, Layer) and is_unrolled(stage, folding[stage.name]):
            windows, stage = unrolled(stage)
            yield windows
        yield stage
    if len(network.heads) > 1:
        parts = tuple(len(head.scale) for head in network.heads)
        yield Concat(SCORES, parts, point(1, 1), 0, tuple(head.stage for head in network.heads))


def _unit(
    stage: Stage | Windows,
    before: tuple[Words, ...],
    units: Mapping[str, UnitPlan],
    layers: Mapping[str, LayerPlan],
    pace: int,
    target: Target,
    *,
    shifts: bool,
) -> UnitPlan:
    match stage:
        case Layer():
            return layers[stage.name]
        case Pool():
            return plan_pool(stage, before[0], pace)
        case Recode():
            (name,) = stage.sources
            source = units[name].numbers if name else _ranks(stage.channels, before[0])
            return plan_recode(stage, before[0], source, pace, target, shifts=shifts)
        case Windows():
            return WindowsPlan(stage)
        case Add():
            return plan_add(stage, pace)
        case Concat():
            return plan_concat(stage, before, pace)


def _ranks(channels: int, words: Words) -> Numbers:
    zeros = np.zeros((1, 1, channels), np.int64)
    return Numbers(np.ones(channels, np.int64), zeros, (), ())


def _scores(network: ArrayNetwork, units: Mapping[str, UnitPlan], *, shifts: bool) -> ScorePlan:
    numbers = [units[head.stage].numbers for head in network.heads]
    where = network.heads[0].stage
    return plan_scores(
        tuple(found for own in numbers for found in own.ranges),
        tuple(step for own in numbers for step in own.steps),
        np.concatenate([own.gain for own in numbers]),
        np.concatenate(
            [own.offset[0, 0] + head.addend for own, head in zip(numbers, network.heads, strict=True)]
        ),
        network.scale,
        network.bias,
        where,
        ranked=network.ranked,
        shifts=shifts,
    )


def _edges(network: ArrayNetwork, units: tuple[UnitPlan, ...], words: Mapping[str, Words]) -> Iterator[Edge]:
    plain = [
        Edge(name, unit.name, port, words[name])
        for unit in units
        for port, name in enumerate(unit.stage.sources)
    ]
    by_name, picture = {unit.name: unit for unit in units}, network.shape
    for edge in plain:
        readers = [other for other in plain if other.source == edge.source]
        if len(readers) == 1:
            yield edge
            continue
        channels, height, width = output_shape(by_name[edge.source].stage) if edge.source else picture
        rows = _rows(edge, readers, plain, by_name, height)
        yield replace(edge, rows=rows, row_words=width * channels // edge.words.lanes)


def _rows(
    edge: Edge, readers: list[Edge], edges: list[Edge], units: Mapping[str, UnitPlan], height: int
) -> int:
    """Return how many rows a buffer must hold so that no other way waits for one that it holds up."""
    own = _needs(edge, edges, units, height)
    rows = 2
    for other in readers:
        if other == edge:
            continue
        for name, needs in _needs(other, edges, units, height).items():
            if name in own:
                taken = [0, *own[name][0][:-1]]
                ahead = max(needs[0][row] - taken[row] for row in range(len(needs[0])))
                rows = max(rows, ahead + needs[1] + 1)
    return min(rows, 2 * height)


def _needs(
    edge: Edge, edges: list[Edge], units: Mapping[str, UnitPlan], height: int
) -> dict[str, tuple[list[int], int]]:
    """Return, of every unit behind a stream, how many rows of the stream each of its rows needs.

    With it how many rows more are on the way: of every unit that looks through windows, one.
    """
    found: dict[str, tuple[list[int], int]] = {}
    waiting = [(edge, list(range(1, height + 1)), 0)]
    while waiting:
        at, rows, more = waiting.pop()
        unit = units[at.reader]
        outputs = unit.stage.window[0].outputs
        needs = [rows[min(unit.rows_needed(row), len(rows)) - 1] for row in range(outputs)]
        if unit.stage.window[0].extent != len(rows):  # a sample, flattened, is one row
            needs = [rows[-1]] * outputs
        more += unit.rows_inside > 1
        if at.reader in found:
            before = found[at.reader]
            needs, more = [max(pair) for pair in zip(needs, before[0], strict=True)], max(more, before[1])
            if (needs, more) == before:
                continue
        found[at.reader] = needs, more
        waiting += [(following, needs, more) for following in edges if following.source == at.reader]
    return found
