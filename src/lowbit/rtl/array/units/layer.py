"""A layer as a unit: folding, schedule, widths and memory contents.

A layer has `elements` processing elements with `lanes` products each; a window of n products for o outputs
takes

    folds · beats = o / elements · n / lanes        clocks per pixel without border

so units with the same clocks per picture keep each other busy, whatever their size. `lanes` divides the
channels of a group, or is all that a window has (then whole windows stand before it, see `windows.py`);
`elements` divides its outputs. Elements may also be the outputs of several whole groups: then a
word holds the channels of all of them, and every element is fed its own group's. Sums cannot overflow: their
widths come from the codes of the weights.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from lowbit.errors import PlanError
from lowbit.rtl.array.memory import blocks, is_shallow, tables
from lowbit.rtl.array.network import Integers, Layer
from lowbit.rtl.array.operands import operands
from lowbit.rtl.array.schedule import Schedule, schedule
from lowbit.rtl.array.units.comparison import Comparison
from lowbit.rtl.array.units.unit import NOTHING, Budget, Numbers, RingPlan, Words, address_bits, divisors
from lowbit.rtl.array.units.windows import WindowsPlan, can_unroll, unrolled
from lowbit.rtl.elements import Element
from lowbit.rtl.elements.element import ACCUMULATOR_LUT
from lowbit.rtl.elements.operands import Operands
from lowbit.rtl.integers import Range, pack
from lowbit.rtl.primitives.target import Target

if TYPE_CHECKING:
    from amaranth.lib import wiring


@dataclass(frozen=True)
class Folding:
    """How a layer is laid out.

    Attributes:
        elements: sums at a time.
        lanes: products of each.
        in_blocks: whether weights are in block RAM where look-up tables would hold them as well.
    """

    elements: int
    lanes: int
    in_blocks: bool = False

    def __str__(self) -> str:
        return f"{self.elements}x{self.lanes}" + ("b" if self.in_blocks else "")


@dataclass(frozen=True, eq=False)
class LayerPlan(RingPlan):
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
    def stage(self) -> Layer:  # type: ignore[override]
        """The layer."""
        return self.layer

    @property
    def kind(self) -> str:
        """Of its elements."""
        return self.operands.kind

    @property
    def layout(self) -> str:
        """Elements and lanes."""
        return str(self.folding)

    @property
    def parts(self) -> int:
        """How many groups of channels stand side by side in a word; see `plan_layer`."""
        return max(1, self.folding.elements // (self.layer.outputs // self.layer.group))

    @property
    def inputs(self) -> tuple[Words]:
        """Ranks."""
        return (Words(self.in_lanes, self.in_bits),)

    @property
    def output(self) -> Words:
        """Ranks, or sums."""
        return Words(self.out_lanes, self.out_bits, self.layer.thresholds is None)

    @property
    def cycles(self) -> int:
        """Those of its schedule."""
        return self.schedule.cycles

    @property
    def products(self) -> int:
        """All of its beats."""
        return self.schedule.beats * self.folding.elements * self.folding.lanes

    @property
    def cost(self) -> Budget:
        """As `estimate` says."""
        return estimate(self.layer, replace(self.operands, element=self.element), self.folding)

    @property
    def in_lanes(self) -> int:
        """Ranks in a word that comes in."""
        return self.folding.lanes * self.parts

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

    @property
    def in_tables(self) -> bool:
        """Whether the weights are in look-up tables."""
        words = self.schedule.folds * self.schedule.window_words
        return is_shallow(words, self.weight_bits) and not self.folding.in_blocks

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
    def ranges(self) -> tuple[Range, ...]:
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
        skipped = missing[..., None] * self.schedule.part_words * skipped_beat
        return np.asarray(self.operands.base * valid - self.operands.step * skipped)

    @property
    def likeness(self) -> object:
        """What layers have in common that differ in the contents of block RAMs alone; None if others do.

        Contents of look-up tables are optimized with the logic around them, so no two are alike.
        """
        if self.layer.thresholds is None or self.in_tables:
            return None
        own = self.comparison
        places, width = len(own.words(0, 0)), self.folding.elements * own.threshold_bits
        if is_shallow(places, width):
            return None
        return (self.folding, self.schedule, self.element, self.thresholds.shape, own.threshold_bits)

    @cached_property
    def thresholds(self) -> Integers:
        """Thresholds of the element's sums ``[row classes, column classes, o, steps]``.

        One below the least sum is always exceeded, one at the largest never.
        """
        assert self.layer.thresholds is not None
        scale = self.operands.scale[:, None]
        exact = (self.layer.thresholds - self.offsets[..., None] * scale) // (scale * self.operands.step)
        least = min(found.low for found in self.ranges) - 1
        return np.clip(exact, least, max(found.high for found in self.ranges))

    @cached_property
    def comparison(self) -> Comparison:
        """How its sums are compared."""
        bits = self.element.accumulator_bits
        return Comparison(self.folding.elements, bits, self.thresholds, self.schedule.place)

    @property
    def numbers(self) -> Numbers:
        """The sums of its elements, or ranks."""
        if self.layer.thresholds is not None:
            return super().numbers
        scale = self.operands.scale
        return Numbers(scale * self.operands.step, scale * self.offsets, self.ranges, self.sum_steps)

    @property
    def sums(self) -> Mapping[str, tuple[Range, int]]:
        """The sums of its elements."""
        found = Range(min(r.low for r in self.ranges), max(r.high for r in self.ranges))
        return {f"sum of {self.name}": (found, self.element.accumulator_bits)}

    def draw(self) -> "wiring.Component":
        """Return the hardware."""
        from lowbit.rtl.array.hardware.units import Unit

        return Unit(self)


def plan_layer(layer: Layer, folding: Folding, target: Target, kind: str | None = None) -> LayerPlan:
    """Return the plan of one layer.

    Raises:
        PlanError: a folding that does not divide the layer; names the node.
        NumericError: a sum wider than any adder.
    """
    if replace(folding, in_blocks=False) not in foldings(layer):
        raise PlanError(
            "the layer cannot be folded like that",
            where=layer.name,
            expected=f"elements that divide {layer.outputs // layer.group}, lanes that divide "
            f"{layer.channels // layer.group}" + ("" if layer.group == 1 else ", or whole groups"),
            found=str(folding),
            remedy="Leave --fold out for this layer.",
        )
    layer = shaped(layer, folding)
    chosen, order = operands(layer, target, kind), order_of(layer, folding)
    element = chosen.fitted(folding.lanes, order.window_words, layer.name)
    return LayerPlan(layer, chosen, folding, order, element)


def foldings(layer: Layer) -> list[Folding]:
    """Return how a layer may be folded."""
    channels, outputs = layer.channels // layer.group, layer.outputs // layer.group
    found = [Folding(elements, lanes) for elements in divisors(outputs) for lanes in divisors(channels)]
    found += [Folding(parts * outputs, channels) for parts in divisors(layer.group) if parts > 1]
    taps = layer.weights[0].size
    return found + [Folding(elements, taps) for elements in divisors(outputs) if can_unroll(layer)]


def is_unrolled(layer: Layer, folding: Folding) -> bool:
    """Return whether all taps of a window are multiplied side by side."""
    return folding.lanes > layer.channels // layer.group


def shaped(layer: Layer, folding: Folding) -> Layer:
    """Return a layer as it is folded: where it is unrolled, one that reads windows as pixels."""
    return unrolled(layer)[1] if is_unrolled(layer, folding) else layer


def order_of(layer: Layer, folding: Folding) -> Schedule:
    """Return the schedule of a layer."""
    layer = shaped(layer, folding)
    parts = max(1, folding.elements // (layer.outputs // layer.group))
    words, folds = layer.channels // (folding.lanes * parts), layer.outputs // folding.elements
    return schedule(layer.window, words, folds, layer.name, groups=layer.group // parts)


def estimate(layer: Layer, chosen: Operands, folding: Folding) -> Budget:
    """Return what a layer takes, roughly.

    Args:
        layer: the layer.
        chosen: its operands.
        folding: how it is laid out.
    """
    element, products = chosen.element, folding.elements * folding.lanes
    folds, order = layer.outputs // folding.elements, order_of(layer, folding)
    lut, dsp = element.cost(folding.elements, products)
    counters = 0 if order.is_direct else order.stored.bits + address_bits(folds * order.window_words)
    lut += folding.elements * ACCUMULATOR_LUT + _LAYER_LUT + _COUNTER_LUT * counters
    found = Budget(lut, dsp, 0)
    if is_unrolled(layer, folding):
        found += WindowsPlan(unrolled(layer)[0]).cost
    found += _ring(order, shaped(layer, folding).channels // order.words * layer.bits)
    depth, width = _weight_memory(layer, element, folding)
    found += Budget(0, 0, blocks(depth, width)) if folding.in_blocks else read_only(depth, width)
    if layer.thresholds is not None:
        places = folds << order.place.bits - order.place.widths["fold"]
        width = folding.elements * element.accumulator_bits
        for stage in range(layer.output_bits):
            found += read_only(places << stage, width)
    return found


def read_only(depth: int, width: int) -> Budget:
    """Return what a read-only memory takes."""
    if is_shallow(depth, width):
        return Budget(tables(depth, width), 0, 0)
    return Budget(0, 0, blocks(depth, width))


_LAYER_LUT, _COUNTER_LUT = 40, 6
"""Look-up tables of ring, sequencer and streams of a layer, and of each bit of their counters."""

_SMALL_RING = 1024
"""Bits up to which rows stand in look-up tables."""

_MANY_TABLES = 128
"""Look-up tables of weights from which on block RAM is a choice."""


def _ring(order: Schedule, width: int) -> Budget:
    if order.is_direct:
        return NOTHING
    depth = order.stored.depth
    small = depth * width <= _SMALL_RING
    return Budget(width * -(-depth // 48), 0, 0) if small else Budget(0, 0, blocks(depth, width))


def choices(layer: Layer, target: Target, kind: str | None) -> "list[Choice]":
    """Return every folding of a layer, what it takes, and its clocks per picture."""
    chosen = operands(layer, target, kind)
    chosen = replace(chosen, element=chosen.fitted(1, layer.weights[0].size, layer.name))
    return [
        Choice(own, estimate(layer, chosen, own), _cycles(layer, folding))
        for folding in foldings(layer)
        for own in _memories(layer, chosen.element, folding)
    ]


def _memories(layer: Layer, element: Element, folding: Folding) -> list[Folding]:
    """Return a folding with its weights in either memory, where there are many of them in look-up tables."""
    depth, width = _weight_memory(layer, element, folding)
    many = is_shallow(depth, width) and tables(depth, width) >= _MANY_TABLES
    return [folding, replace(folding, in_blocks=True)] if many else [folding]


def _weight_memory(layer: Layer, element: Element, folding: Folding) -> tuple[int, int]:
    """Return words and bits of a word."""
    order = order_of(layer, folding)
    return order.folds * order.window_words, folding.elements * folding.lanes * element.weight_bits


def _cycles(layer: Layer, folding: Folding) -> int:
    own = order_of(layer, folding).cycles
    return max(own, WindowsPlan(unrolled(layer)[0]).cycles) if is_unrolled(layer, folding) else own


@dataclass(frozen=True)
class Choice:
    """A folding of a layer, what it takes, and its clocks per picture."""

    folding: Folding
    cost: Budget
    cycles: int
