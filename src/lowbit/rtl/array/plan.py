"""The plan of an array engine: folding, schedule, widths and memory contents of every unit.

A *unit* is a layer or a pool. A layer has `elements` processing elements with `lanes` products each; a window
of n products for o outputs takes

    folds · beats = o / elements · n / lanes        clocks per pixel without border

so units with the same clocks per picture keep each other busy, whatever their size. `lanes` divides the
channels of a pixel, `elements` the outputs. Sums cannot overflow: their widths come from the codes of the
weights.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lowbit.errors import PlanError
from lowbit.rtl.address import Address
from lowbit.rtl.array.memory import is_shallow
from lowbit.rtl.array.network import ArrayNetwork, Integers, Layer, Pool
from lowbit.rtl.array.operands import operands
from lowbit.rtl.array.schedule import Schedule, schedule
from lowbit.rtl.array.scores import ScorePlan, plan_scores
from lowbit.rtl.elements import Element
from lowbit.rtl.elements.operands import Operands
from lowbit.rtl.integers import Range, pack
from lowbit.rtl.names import identifiers
from lowbit.rtl.primitives.target import Target

SCORE_CYCLES = 3
"""Clocks that a score takes; the class takes one."""


@dataclass(frozen=True)
class Folding:
    """How a layer is laid out: ``elements`` sums at a time, ``lanes`` products of each."""

    elements: int
    lanes: int

    def __str__(self) -> str:
        return f"{self.elements}x{self.lanes}"


@dataclass(frozen=True, eq=False)
class LayerPlan:
    """A layer as a unit.

    Attributes:
        layer: what it computes.
        operands: what its elements compute with.
        folding: how it is laid out.
        schedule: when it reads what.
        element: one of its elements.
    """

    layer: Layer
    operands: Operands
    folding: Folding
    schedule: Schedule
    element: Element

    @property
    def name(self) -> str:
        """Of its node."""
        return self.layer.name

    @property
    def in_lanes(self) -> int:
        """Ranks in a word that comes in."""
        return self.folding.lanes

    @property
    def in_bits(self) -> int:
        """Bits of a rank that comes in."""
        return self.layer.bits

    @property
    def out_lanes(self) -> int:
        """Ranks, or sums, in a word that goes out."""
        return self.folding.elements

    @property
    def out_bits(self) -> int:
        """Bits of a rank, or of a sum, that goes out."""
        return self.layer.output_bits or self.element.accumulator_bits

    @property
    def weight_bits(self) -> int:
        """Bits of a word of weights."""
        return self.folding.elements * self.folding.lanes * self.element.weight_bits

    @cached_property
    def weight_words(self) -> list[int]:
        """The memory of the weights, by fold and beat; element e in the e-th part of a word."""
        lanes, elements, bits = self.folding.lanes, self.folding.elements, self.element.weight_bits
        codes = self.operands.weights.reshape(-1, elements, self.schedule.window_words, lanes)
        rows = codes.transpose(0, 2, 1, 3).reshape(-1, elements * lanes)
        planes = (rows[:, :, None] >> np.arange(bits) & 1).astype(np.uint8).reshape(len(rows), -1)
        return [int.from_bytes(row, "little") for row in np.packbits(planes, axis=1, bitorder="little")]

    @property
    def coefficient_words(self) -> list[int]:
        """The memory of the coefficients, by fold; element e in the e-th part of a word."""
        if self.operands.coefficients is None or not self.element.coefficient_bits:
            return []
        fields = [self.element.pack_coefficients(row) for row in self.operands.coefficients]
        elements, bits = self.folding.elements, self.element.coefficient_bits
        return [pack(fields[at : at + elements], [bits] * elements) for at in range(0, len(fields), elements)]

    @cached_property
    def sums(self) -> tuple[Range, ...]:
        """The exact range of the element's sums, by output."""
        rows, own = self.operands.weights.reshape(self.layer.outputs, 1, -1), self.operands.coefficients
        coefficients = [None] * len(rows) if own is None else own[:, None]
        return tuple(
            self.element.sum_range(*pair, short=self.operands.short)
            for pair in zip(rows, coefficients, strict=True)
        )

    @property
    def sum_steps(self) -> tuple[int, ...]:
        """What all differences of the sums of an output are multiples of."""
        rows, own = self.operands.weights.reshape(self.layer.outputs, -1), self.operands.coefficients
        coefficients = [None] * len(rows) if own is None else own
        return tuple(self.element.sum_step(*pair) for pair in zip(rows, coefficients, strict=True))

    @cached_property
    def offsets(self) -> Integers:
        """``[row classes, column classes, o]``: acc = scale · (step · sum + offset).

        What the base of the levels adds, less what a sum has for the beats that it skips.
        """
        taps = self.operands.values.sum(axis=3)
        patterns = [axis.classes()[1].astype(np.int64) for axis in self.layer.window]
        valid = np.einsum("oij,ri,cj->rco", taps, *patterns)
        missing = taps[0].size - np.einsum("ri,cj->rc", *patterns)
        skipped_beat = self.element.skipped_beat(self.operands.coefficients)
        skipped = missing[..., None] * self.schedule.words * skipped_beat
        return np.asarray(self.operands.base * valid - self.operands.step * skipped)

    @property
    def likeness(self) -> object:
        """What layers have in common that differ in the contents of block RAMs alone; None if others do.

        Contents of look-up tables are optimized with the logic around them, so no two are alike.
        """
        if self.layer.thresholds is None or is_shallow(len(self.weight_words), self.weight_bits):
            return None
        places, width = len(self.threshold_words(0, 0)), self.folding.elements * self.threshold_bits
        if is_shallow(places, width):
            return None
        return (self.folding, self.schedule, self.element, self.thresholds.shape, self.threshold_bits)

    @cached_property
    def thresholds(self) -> Integers:
        """Thresholds of the element's sums ``[row classes, column classes, o, steps]``.

        One below the least sum is always exceeded, one at the largest never.
        """
        assert self.layer.thresholds is not None
        scale = self.operands.scale[:, None]
        exact = (self.layer.thresholds - self.offsets[..., None] * scale) // (scale * self.operands.step)
        least = min(found.low for found in self.sums) - 1
        return np.clip(exact, least, max(found.high for found in self.sums))

    @property
    def threshold_bits(self) -> int:
        """Bits of a threshold."""
        return Range.of(self.thresholds).bits

    def threshold_words(self, stage: int, element: int) -> list[int]:
        """Return what an element compares with to find bit ``stage`` of a rank, the highest first."""
        bits, width = self.layer.output_bits, self.threshold_bits
        steps = [(found << (bits - stage)) + (1 << (bits - stage - 1)) - 1 for found in range(1 << stage)]
        mine = self.thresholds[:, :, element :: self.folding.elements]  # [rows, columns, folds, steps]
        by_place = [self.schedule.place.table(mine[..., step]) for step in steps]
        words = self.threshold_address(stage).table(np.stack(by_place, axis=1))
        return [int(value) % (1 << width) for value in words]

    def threshold_address(self, stage: int) -> Address:
        """Return where a threshold is: by the bits found before, the highest first, and the sum's place."""
        return Address({"found": 1 << stage, "place": 1 << self.schedule.place.bits})


@dataclass(frozen=True, eq=False)
class PoolPlan:
    """A pool as a unit.

    Attributes:
        pool: what it computes.
        lanes: channels at a time.
        schedule: when it reads what.
    """

    pool: Pool
    lanes: int
    schedule: Schedule

    @property
    def name(self) -> str:
        """Of its node."""
        return self.pool.name

    @property
    def in_lanes(self) -> int:
        """Ranks in a word that comes in."""
        return self.lanes

    @property
    def out_lanes(self) -> int:
        """Ranks in a word that goes out."""
        return self.lanes

    @property
    def in_bits(self) -> int:
        """Bits of a rank that comes in."""
        return self.pool.bits

    @property
    def out_bits(self) -> int:
        """Bits of a rank that goes out."""
        return self.pool.bits


@dataclass(frozen=True, eq=False)
class ArrayPlan:
    """Everything that the generator needs to know; make one with `plan_array`."""

    network: ArrayNetwork
    target: Target
    units: tuple[LayerPlan | PoolPlan, ...]
    scores: ScorePlan

    @property
    def pixel_bits(self) -> int:
        """Bits of a pixel's rank."""
        return self.units[0].in_bits

    @property
    def picture_bytes(self) -> int:
        """Bytes of a picture."""
        channels, rows, columns = self.network.shape
        return channels * rows * columns

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Names of the units in Verilog."""
        return identifiers(
            [unit.name for unit in self.units], ("pixels", "ends", "scores", "split", "gather")
        )

    @property
    def cycles(self) -> list[int]:
        """Clocks per picture of input, units, streams between units of other widths, and scores."""
        found = [self.picture_bytes]
        before, words = 1, self.picture_bytes
        for unit in self.units:
            common = int(np.gcd(before, unit.in_lanes))
            if common < before:
                found.append(words * before // common)
            found.append(unit.schedule.cycles)
            pixels = len(unit.schedule.rows) * len(unit.schedule.columns)
            before, words = unit.out_lanes, pixels * unit.schedule.folds
        return [*found, SCORE_CYCLES * self.network.classes + 1]

    @property
    def cycles_per_image(self) -> int:
        """Clocks from one picture to the next: those of the slowest part."""
        return max(self.cycles)

    @property
    def pictures_inside(self) -> int:
        """More pictures than can be inside at a time."""
        rows = (unit.schedule.ring // unit.schedule.height + 3 for unit in self.units)
        return sum(rows) + 3


def address_bits(length: int) -> int:
    """Return how many bits number so many things; none if there is but one."""
    return (length - 1).bit_length()


def plan_array(
    network: ArrayNetwork,
    folding: Mapping[str, Folding],
    target: Target = "xc7",
    kind: str | None = None,
) -> ArrayPlan:
    """Return the plan of an engine.

    Args:
        network: the integers.
        folding: of every layer, by its name.
        target: the family.
        kind: the element of all layers that it can run; the others, and all by default, get the cheapest.

    Raises:
        PlanError: a folding that does not divide the layer, a window that cannot be read; names the node.
        NumericError: a sum wider than any adder.
    """
    units: list[LayerPlan | PoolPlan] = []
    for stage in network.stages:
        if isinstance(stage, Layer):
            units.append(plan_layer(stage, folding[stage.name], target, kind))
        else:
            lanes = units[-1].out_lanes if units else 1
            words = stage.channels // lanes
            order = schedule(stage.window, words, words, stage.name, by_channel=True)
            units.append(PoolPlan(stage, lanes, order))
    last = units[-1]
    assert isinstance(last, LayerPlan)  # `from_graph` has looked
    scale = last.operands.scale
    scores = plan_scores(
        last.sums,
        last.sum_steps,
        scale * last.operands.step,
        scale * last.offsets[0, 0],
        network.scale,
        network.bias,
        last.name,
    )
    return ArrayPlan(network, target, tuple(units), scores)


def plan_layer(layer: Layer, folding: Folding, target: Target, kind: str | None = None) -> LayerPlan:
    """Return the plan of one layer; see `plan_array`."""
    for what, parts, whole in (
        ("elements", folding.elements, layer.outputs),
        ("lanes", folding.lanes, layer.channels),
    ):
        if parts < 1 or whole % parts:
            raise PlanError(
                "the layer cannot be folded like that",
                where=layer.name,
                expected=f"{what} that divide {whole}",
                found=str(folding),
                remedy="Leave --fold out for this layer.",
            )
    chosen = operands(layer, target, kind)
    order = schedule(
        layer.window, layer.channels // folding.lanes, layer.outputs // folding.elements, layer.name
    )
    element = chosen.fitted(folding.lanes, order.window_words, layer.name)
    return LayerPlan(layer, chosen, folding, order, element)
