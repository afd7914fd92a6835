"""Walks through a schedule, a beat per clock; see `lowbit.rtl.array.schedule` for the order."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from lowbit.rtl.array.hardware.streams import choose
from lowbit.rtl.array.schedule import Schedule
from lowbit.rtl.array.units.unit import address_bits
from lowbit.rtl.primitives.address import join


class Sequencer(wiring.Component):
    """The counters of a unit.

    Ports: ``stored``, rows that are there; ``released``, rows given back in this clock; of this beat, if
    ``valid``: ``row`` of the ring, ``word`` of the row, ``weight``, whether it is ``first`` or ``last`` of
    its sum, and ``place``: fold, column class and row class side by side.
    """

    def __init__(self, plan: Schedule) -> None:
        self._plan = plan
        super().__init__(
            {
                **ring_ports(plan),
                "valid": Out(1),
                "weight": Out(address_bits(plan.folds * plan.window_words)),
                "first": Out(1),
                "last": Out(1),
                "place": Out(plan.place.bits),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Return counters for tap, fold, column and row, the innermost first."""
        m, plan = Module(), self._plan
        if plan.is_direct:
            m.d.comb += [self.valid.eq(self.stored != 0), self.first.eq(1), self.last.eq(1)]
            return m
        y, x = Signal(address_bits(len(plan.rows))), Signal(address_bits(len(plan.columns)))
        x_next, base, start = Signal(len(x)), Signal(len(self.row)), Signal(len(self.row), name="start_row")
        fold, tap = Signal(address_bits(plan.folds)), Signal(address_bits(plan.kernel[0]))
        lengths = [reach.taps * plan.part_words - 1 for reach in plan.columns]
        run = Signal(max(lengths).bit_length())

        run_end, sum_end, pixel_end, row_end = (
            Signal(name=f"{name}_end") for name in ("run", "sum", "pixel", "row")
        )
        m.d.comb += [
            run_end.eq(run == choose(lengths, x)),
            sum_end.eq(run_end & (tap == choose([reach.taps - 1 for reach in plan.rows], y))),
            pixel_end.eq(sum_end & (fold == plan.folds - 1)),
            row_end.eq(pixel_end & (x == len(plan.columns) - 1)),
            x_next.eq(Mux(x == len(plan.columns) - 1, 0, x + 1)),
            self.last.eq(sum_end),
            self.place.eq(self._place(fold, x, y)),
            start.eq(wrapped(base + choose(plan.skipped, y), plan.ring) if any(plan.skipped) else base),
        ]
        with m.If(self.valid):
            m.d.sync += [run.eq(Mux(run_end, 0, run + 1)), self.first.eq(sum_end)]
            with m.If(run_end):
                m.d.sync += tap.eq(Mux(sum_end, 0, tap + 1))
            with m.If(sum_end):
                m.d.sync += fold.eq(Mux(pixel_end, 0, fold + 1))
            with m.If(pixel_end):
                m.d.sync += x.eq(x_next)
        self._row(m, start, run_end, sum_end)
        self._word(m, x, x_next, run_end, sum_end, pixel_end)
        if plan.weighted:
            self._weight(m, y, x, x_next, run_end, sum_end, pixel_end)
        self._start(m, y, base, start, row_end)
        return m

    def _place(self, fold: Signal, x: Signal, y: Signal) -> Value:
        """Return where in the memory of thresholds a sum belongs."""
        plan = self._plan
        column, row = (
            choose([reach.category for reach in reaches], index)
            for reaches, index in ((plan.columns, x), (plan.rows, y))
        )
        return join(plan.place, fold=fold, column=column, row=row)

    def _row(self, m: Module, start: Signal, run_end: Signal, sum_end: Signal) -> None:
        """A row of the ring per row of the window."""
        plan = self._plan
        with m.If(self.valid & run_end):
            m.d.sync += self.row.eq(Mux(sum_end, start, wrapped(self.row + plan.steps[0], plan.ring)))

    def _word(
        self, m: Module, x: Signal, x_next: Signal, run_end: Signal, sum_end: Signal, pixel_end: Signal
    ) -> None:
        """Side by side in a run, but for what other folds read; every fold begins with its own part."""
        plan = self._plan
        starts = [reach.position * plan.words for reach in plan.columns]
        start = Signal(len(self.word), name="run_start")
        following = Mux(pixel_end, choose(starts, x_next), start + self._part_step(m, sum_end))
        with m.If(self.valid):
            m.d.sync += self.word.eq(
                Mux(~run_end, self.word + self._word_step(m, run_end), Mux(sum_end, following, start))
            )
            with m.If(sum_end):
                m.d.sync += start.eq(following)

    def _part_step(self, m: Module, sum_end: Signal) -> Value | int:
        """Return how many words behind this fold's the next fold's are."""
        plan, folds = self._plan, self._plan.folds // self._plan.groups
        if plan.groups == 1 or folds == 1:
            return 0 if plan.groups == 1 else plan.part_words
        inside = Signal(range(folds))
        part_end = inside == folds - 1
        with m.If(self.valid & sum_end):
            m.d.sync += inside.eq(Mux(part_end, 0, inside + 1))
        return Mux(part_end, plan.part_words, 0)

    def _word_step(self, m: Module, run_end: Signal) -> Value | int:
        """Return how many words behind this one the next one of a run is."""
        plan, part = self._plan, self._plan.part_words
        step = plan.steps[1] * plan.words
        if part == 1 or step == part:
            return step if part == 1 else 1
        inside = Signal(range(part), name="part_word")
        tap_end = inside == part - 1
        with m.If(self.valid):
            m.d.sync += inside.eq(Mux(tap_end, 0, inside + 1))
        return Mux(tap_end, step - part + 1, 1)

    def _weight(
        self,
        m: Module,
        y: Signal,
        x: Signal,
        x_next: Signal,
        run_end: Signal,
        sum_end: Signal,
        pixel_end: Signal,
    ) -> None:
        """One after the other; the weights of taps in the padding are passed over."""
        plan, tap_words = self._plan, self._plan.kernel[1] * self._plan.part_words
        skipped = [(plan.kernel[1] - reach.taps) * plan.part_words + 1 for reach in plan.columns]
        above = [reach.tap * tap_words for reach in plan.rows]
        left = [reach.tap * plan.part_words for reach in plan.columns]
        fold_start = Signal(len(self.weight))
        next_fold = Mux(pixel_end, 0, fold_start + plan.window_words)
        with m.If(self.valid):
            m.d.sync += self.weight.eq(self.weight + Mux(run_end, choose(skipped, x), 1))
            with m.If(sum_end):
                column = Mux(pixel_end, choose(left, x_next), choose(left, x))
                m.d.sync += [fold_start.eq(next_fold), self.weight.eq(next_fold + choose(above, y) + column)]

    def _start(self, m: Module, y: Signal, base: Signal, start: Signal, row_end: Signal) -> None:
        """A row of outputs ends, and the next begins when its rows are there."""
        plan = self._plan
        tap_words, left = plan.kernel[1] * plan.part_words, plan.columns[0].tap * plan.part_words
        above = [reach.tap * tap_words + left for reach in plan.rows]
        released = choose(plan.released, y)
        with m.If(self.valid & row_end):
            m.d.comb += self.released.eq(released)
            m.d.sync += [
                self.valid.eq(0),
                y.eq(Mux(y == len(plan.rows) - 1, 0, y + 1)),
                base.eq(wrapped(base + released, plan.ring)),
            ]
        with m.If(~self.valid):
            m.d.sync += [
                self.valid.eq(self.stored >= choose(plan.needed, y)),
                self.first.eq(1),
                self.row.eq(start),
            ]
            if plan.weighted:
                m.d.sync += self.weight.eq(choose(above, y))


def ring_ports(plan: Schedule) -> dict[str, wiring.Member]:
    """Return what a sequencer and its ring tell each other."""
    return {
        "stored": In(range(plan.ring + 1)),
        "released": Out(range(plan.ring + 1)),
        **{name: Out(width) for name, width in plan.stored.widths.items()},
    }


def wrapped(value: Value, length: int) -> Value:
    """Return a position, at most twice the length, in a ring."""
    return Mux(value >= length, value - length, value)
