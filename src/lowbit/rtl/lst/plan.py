"""The plan of an LST engine: schedule, widths and memory contents, all computed from the network.

A *transform* is a chain of multipliers. Multiplier c keeps element c of the current row; sums move down
the chain, so one sum leaves per clock. A row takes `period` clocks, and output o of a row that starts
at clock 0 leaves the last adder at clock ``length + 4 + o``. In clock s of a row, multiplier c works on
output s − 1 − c: of this row, or if that is negative, still of the previous one. So all multipliers read
one memory word per clock, whose content is rotated here, once.

``shared``     one chain: rows of the picture, then columns of H.      (rows + a) · period clocks
``pipelined``  two chains, a picture in each.                          max(rows, a) · period clocks

Sums cannot overflow: their widths come from the codes of the weights and the range of the inputs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Literal

import numpy as np

from lowbit.errors import PlanError
from lowbit.rtl.address import Address
from lowbit.rtl.integers import Range, pack
from lowbit.rtl.lst.network import Layer, LstNetwork

Variant = Literal["shared", "pipelined"]

WIDEST_SUM = 48
"""Bits of the adder behind a multiplier in 7-series devices; ECP5 adders are made of logic."""

SUM_DELAY = 4
"""Clocks from a row's first slot to its first sum, besides the length of the chain; see the transform."""

TABLE_DELAY = 1
"""Clocks from a sum to its activation."""

WEIGHT_LAG, BIAS_LAG = 1, 3
"""Clocks from a slot to the address of its first weight, and of its bias."""


@dataclass(frozen=True, eq=False)
class TransformPlan:
    """One chain and what it is used for.

    Attributes:
        name: in messages and in Verilog.
        layers: what it computes, one after the other (`bank` in the memory).
        ranges: of the inputs of each layer.
        period: clocks per row.
        fraction_bits: n of Qm.n.
        half: what is added to a sum so that cutting its fraction rounds it.
    """

    name: str
    layers: tuple[Layer, ...]
    ranges: tuple[Range, ...]
    period: int
    fraction_bits: int
    half: int

    @property
    def length(self) -> int:
        """How many multipliers it has."""
        return max(layer.inputs for layer in self.layers)

    @property
    def inputs(self) -> Range:
        """The range of everything that goes in."""
        return reduce(Range.__or__, self.ranges)

    @cached_property
    def lanes(self) -> tuple[Range, ...]:
        """The range of the weights of each multiplier."""
        columns = (
            [layer.weights[:, lane] for layer in self.layers if lane < layer.inputs]
            for lane in range(self.length)
        )
        return tuple(Range.of(np.concatenate(found)) | Range(0, 0) for found in columns)

    @cached_property
    def bias(self) -> Range:
        """The range of the biases."""
        return Range.of(np.concatenate([layer.bias for layer in self.layers])) | Range(0, 0)

    @cached_property
    def sums(self) -> tuple[Range, ...]:
        """The exact range of the sum behind each multiplier, over all inputs in range."""
        per_layer = [
            partial_sums(layer, inputs, self.fraction_bits, self.half)
            for layer, inputs in zip(self.layers, self.ranges, strict=True)
        ]
        joined = []
        for lane in range(self.length):
            known = [sums[min(lane, len(sums) - 1)] for sums in per_layer]
            joined.append(Range(min(r.low for r in known), max(r.high for r in known)))
        return tuple(joined)

    @property
    def address(self) -> Address:
        """Of the memory: slot, and the layers of this row (`bank`) and of the row before."""
        banks = len(self.layers)
        return Address({"slot": self.period, "bank": banks, "bank_before": banks})

    @cached_property
    def words(self) -> list[int]:
        """The memory: bias and weights of all multipliers."""
        return self.address.contents(self._word)

    def _word(self, *, slot: int, bank: int, bank_before: int) -> int:
        before, now = self.layers[bank_before], self.layers[bank]
        fields = [self._weight(before, now, slot - WEIGHT_LAG - lane, lane) for lane in range(self.length)]
        layer, output = self._at(before, now, slot - BIAS_LAG)
        fields.append(int(layer.bias[output]) if output < layer.outputs else 0)
        return pack(fields, [lane.bits for lane in (*self.lanes, self.bias)])

    def _weight(self, before: Layer, now: Layer, clock: int, lane: int) -> int:
        layer, output = self._at(before, now, clock)
        return int(layer.weights[output, lane]) if output < layer.outputs and lane < layer.inputs else 0

    def _at(self, before: Layer, now: Layer, clock: int) -> tuple[Layer, int]:
        """Return layer and output that a clock of this row belongs to; a negative one to the row before."""
        return (now, clock) if clock >= 0 else (before, clock + self.period)


@dataclass(frozen=True, eq=False)
class OutputPlan:
    """The output layer: one multiplier with accumulator per class.

    Attributes:
        layer: its inputs in the order in which the chain delivers them.
        skew: 1 where each class starts a clock after the one before, 0 where all start together.
    """

    layer: Layer
    inputs: Range
    a: int
    b: int
    period: int
    skew: int
    fraction_bits: int

    @cached_property
    def lanes(self) -> tuple[Range, ...]:
        """The range of the weights of each class."""
        return tuple(Range.of(row) | Range(0, 0) for row in self.layer.weights)

    @cached_property
    def sums(self) -> Range:
        """The exact range of every partial sum of every class, over all inputs in range."""
        ranges = partial_sums(self.layer, self.inputs, self.fraction_bits, half=0)
        return Range(min(r.low for r in ranges), max(r.high for r in ranges))

    @property
    def address(self) -> Address:
        """Of the memory: slot, and row of the second pass."""
        return Address({"slot": self.period, "row": self.a})

    @cached_property
    def words(self) -> list[int]:
        """The memory: the weights of all classes."""
        return self.address.contents(self._word)

    @property
    def read_out_bits(self) -> int:
        """Bits of what is sent: a sum, or the number of a class."""
        return (self.sums | Range(0, len(self.lanes) - 1)).bits

    def _word(self, *, slot: int, row: int) -> int:
        fields = [
            self._weight(row * self.period + slot - lane * self.skew, lane) for lane in range(len(self.lanes))
        ]
        return pack(fields, [lane.bits for lane in self.lanes])

    def _weight(self, clock: int, lane: int) -> int:
        row, output = divmod(clock % (self.a * self.period), self.period)
        return int(self.layer.weights[lane, output * self.a + row]) if output < self.b else 0


@dataclass(frozen=True, eq=False)
class LstPlan:
    """Everything that the generator needs to know; make one with `plan_lst`."""

    network: LstNetwork
    variant: Variant
    period: int
    gap: int
    transforms: tuple[TransformPlan, ...]
    output: OutputPlan
    table: Range

    @property
    def image_rows(self) -> int:
        """Rows of `period` clocks from one picture to the next."""
        first = self.network.rows + self.gap
        second = self.network.by_rows.outputs
        return first + second if self.variant == "shared" else max(first, second)

    @property
    def hidden(self) -> Address:
        """Of the memory of H: written output by output, row after row, and read row by row of one output."""
        halves = 1 if self.variant == "shared" else 2
        return Address({"output": self.network.by_rows.outputs, "row": self.network.rows, "half": halves})

    @property
    def cycles_per_image(self) -> int:
        """Clocks from one picture to the next, when pixels come and scores go without a pause."""
        return self.image_rows * self.period

    @property
    def multipliers(self) -> int:
        """How many there are."""
        return sum(transform.length for transform in self.transforms) + self.network.classes

    @property
    def proof(self) -> list[tuple[str, str, int, int]]:
        """What is stored and summed: name, range, bits it takes, bits of the number format or adder."""
        bits = self.network.encoding.bits
        rows = []
        for transform in self.transforms:
            lanes = transform.lanes
            widest = max(lanes, key=lambda lane: lane.bits)
            total = sum(lane.bits for lane in lanes)
            rows.append(
                (f"{transform.name}: weights, widest of {len(lanes)} lanes", str(widest), widest.bits, bits)
            )
            rows.append((f"{transform.name}: weights, one word", "", total, bits * len(lanes)))
            rows.append((f"{transform.name}: bias", str(transform.bias), transform.bias.bits, bits))
            rows.append((f"{transform.name}: inputs", str(transform.inputs), transform.inputs.bits, bits))
            rows.append(
                (f"{transform.name}: sum", str(transform.sums[-1]), transform.sums[-1].bits, WIDEST_SUM)
            )
        lanes = self.output.lanes
        widest = max(lanes, key=lambda lane: lane.bits)
        rows.append((f"output: weights, widest of {len(lanes)} lanes", str(widest), widest.bits, bits))
        rows.append(("output: weights, one word", "", sum(lane.bits for lane in lanes), bits * len(lanes)))
        rows.append(("output: sum", str(self.output.sums), self.output.sums.bits, WIDEST_SUM))
        rows.append(("activation table: index", str(self.table), self.table.bits, bits))
        return rows


def score_bits(plan: LstPlan) -> int:
    """Return the width of a score in a stream: 32, or 64 where sums are wider."""
    return 32 if plan.output.sums.bits <= 32 else 64


def plan_lst(network: LstNetwork, variant: Variant = "shared") -> LstPlan:
    """Return the plan of an engine.

    Raises:
        PlanError: a sum wider than the adders, or more classes than a pipelined schedule can read out.
    """
    network.check()
    first, second = network.by_rows, network.by_columns
    a, b = first.outputs, second.outputs
    period = max(network.rows, network.columns, a, b, BIAS_LAG)
    pixels, hidden = Range.of(network.pixels), Range.of(network.activation)
    fraction = network.encoding.fraction_bits
    common = (period, fraction, network.half)
    transforms: tuple[TransformPlan, ...]
    if variant == "shared":
        transforms = (TransformPlan("transform", (first, second), (pixels, hidden), *common),)
    else:
        transforms = (
            TransformPlan("by_rows", (first,), (pixels,), *common),
            TransformPlan("by_columns", (second,), (hidden,), *common),
        )
    skew = int(variant == "pipelined")
    output = OutputPlan(network.output, hidden, a, b, period, skew, fraction)
    # H[rows − 1][o] is written length + 5 + o clocks after its row began, and read o · period + rows − 1
    # clocks after the second pass began; `gap` rows between the passes keep the write first.
    late = transforms[0].length + SUM_DELAY + TABLE_DELAY + 2 - network.rows - period
    plan = LstPlan(
        network, variant, period, max(0, -(-late // period)), transforms, output, _used_table(network)
    )
    _check_plan(plan)
    return plan


def partial_sums(layer: Layer, inputs: Range, fraction_bits: int, half: int) -> list[Range]:
    """Return the exact range of bias + w0 x0 + … + wc xc over all outputs, for every c."""
    low = np.minimum(layer.weights * inputs.low, layer.weights * inputs.high)
    high = np.maximum(layer.weights * inputs.low, layer.weights * inputs.high)
    bias = (layer.bias[:, None] << fraction_bits) + half
    lows, highs = bias + np.cumsum(low, axis=1), bias + np.cumsum(high, axis=1)
    return [Range(int(lo), int(hi)) for lo, hi in zip(lows.min(axis=0), highs.max(axis=0), strict=True)]


def _used_table(network: LstNetwork) -> Range:
    """Return the codes outside of which the activation table is constant."""
    table, least = network.activation, network.encoding.least
    changes = np.flatnonzero(np.diff(table))
    if not len(changes):
        return Range(0, 0)
    return Range(int(changes[0]) + least, int(changes[-1]) + 1 + least)


def _check_plan(plan: LstPlan) -> None:
    sums: Sequence[tuple[str, Range]] = [
        *((transform.name, transform.sums[-1]) for transform in plan.transforms),
        ("output", plan.output.sums),
    ]
    for name, found in sums:
        if found.bits > WIDEST_SUM:
            raise PlanError(
                "a sum would overflow its adder",
                where=name,
                expected=f"at most {WIDEST_SUM} bits",
                found=f"{found.bits} bits, for sums in {found}",
                remedy="Use fewer fraction bits or smaller weights.",
            )
    room = plan.cycles_per_image - 2  # the class needs a clock, and another to be known
    room = min(room, plan.period) if plan.variant == "pipelined" else room
    if plan.network.classes > room:
        raise PlanError(
            "there are more classes than clocks to read them out",
            where=plan.network.output.name,
            expected=f"at most {room} classes for {plan.variant}",
            found=str(plan.network.classes),
            remedy="Use the shared variant." if plan.variant == "pipelined" else "Use fewer classes.",
        )
