"""Where everything is in time: slots, rows, and the two passes over a picture.

Time is counted in slots; `period` slots are a row. The slot counter never waits for a picture: where one may
start, the first slot of the row takes a pixel if there is one, and otherwise the row stays empty. So the tail
of the picture before leaves the chain undisturbed. A row record says what a row is for; `follow` gives slot
and record as they were some clocks ago, without delaying their bits.
"""

from typing import Any

from amaranth.hdl import Const, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from lowbit.rtl.lst.plan import LstPlan


def row_layout(plan: LstPlan) -> data.StructLayout:
    """Return what is known of a row: pass, number, and half of the memory."""
    rows = max(plan.image_rows if plan.variant == "pipelined" else plan.gap, plan.network.rows, plan.output.a)
    return data.StructLayout(
        {"by_rows": 1, "by_columns": 1, "index": max(1, (rows - 1).bit_length()), "half": 1}
    )


def slot_bits(plan: LstPlan) -> int:
    """Return the width of a slot counter."""
    return max(1, (plan.period - 1).bit_length())


class SharedSequencer(wiring.Component):
    """Rows of the picture, `gap` empty rows, then columns, in the same chain.

    ``waiting``: a pixel is there; ``start``: a picture may start now; ``first`` and ``second``: what this row
    is to the pass by rows and to the one by columns.
    """

    def __init__(self, plan: LstPlan) -> None:
        self._plan = plan
        super().__init__(_ports(plan))

    def elaborate(self, platform: Any) -> Module:
        """Return the counters."""
        m, plan = Module(), self._plan
        row = Signal(row_layout(plan), name="row")
        gap, may_start = Signal(name="gap"), Signal(name="may_start")
        m.d.comb += [self.first.eq(row), self.second.eq(row), self.start.eq(may_start)]
        with m.If(may_start):
            m.d.sync += [may_start.eq(0), row.by_rows.eq(self.waiting)]
        row_end = count(m, self.slot, plan.period)
        picture_end = row.by_columns & (row.index == plan.output.a - 1)
        with m.If(row_end):
            m.d.sync += row.index.eq(row.index + 1)
            with m.If(picture_end | ~(row.by_rows | row.by_columns | gap)):
                m.d.sync += [may_start.eq(1), row.by_columns.eq(0), row.index.eq(0)]
            with m.If(row.by_rows & (row.index == plan.network.rows - 1)):
                m.d.sync += [row.by_rows.eq(0), gap.eq(plan.gap > 0), row.by_columns.eq(plan.gap == 0)]
                m.d.sync += row.index.eq(0)
            if plan.gap:
                with m.If(gap & (row.index == plan.gap - 1)):
                    m.d.sync += [gap.eq(0), row.by_columns.eq(1), row.index.eq(0)]
        return m


class PipelinedSequencer(wiring.Component):
    """Rows of a picture in the first chain while the second has the columns of the one before.

    The ports are those of `SharedSequencer`.
    """

    def __init__(self, plan: LstPlan) -> None:
        self._plan = plan
        super().__init__(_ports(plan))

    def elaborate(self, platform: Any) -> Module:
        """Return the counters."""
        m, plan, layout = Module(), self._plan, row_layout(self._plan)
        first, second = Signal(layout, name="row_of_rows"), Signal(layout, name="row_of_columns")
        real = first.index < plan.network.rows if plan.network.rows < plan.image_rows else Const(1)
        m.d.comb += [
            self.first.eq(first),
            self.first.by_rows.eq(first.by_rows & real),
            self.second.eq(second),
        ]
        may_start = Signal()
        m.d.comb += self.start.eq(may_start)
        with m.If(may_start):
            m.d.sync += [
                may_start.eq(0),
                first.by_rows.eq(self.waiting),
                first.half.eq(first.half ^ self.waiting),
            ]
        row_end = count(m, self.slot, plan.period)
        with m.If(row_end):
            m.d.sync += [first.index.eq(first.index + 1), second.index.eq(second.index + 1)]
            with m.If(~first.by_rows | (first.index == plan.image_rows - 1)):
                m.d.sync += [may_start.eq(1), first.by_rows.eq(0), first.index.eq(0)]
            with m.If(~second.by_columns | (second.index == plan.output.a - 1)):
                m.d.sync += [second.by_columns.eq(0), second.index.eq(0)]
            with m.If(first.by_rows & (first.index == plan.network.rows + plan.gap - 1)):
                m.d.sync += [second.by_columns.eq(1), second.index.eq(0), second.half.eq(first.half)]
        return m


def count(m: Module, counter: Signal, period: int) -> Value:
    """Count from 0 to period − 1 and again; return whether this is the last one."""
    last = counter == period - 1
    m.d.sync += counter.eq(counter + 1)
    with m.If(last):
        m.d.sync += counter.eq(0)
    return last


def follow(
    m: Module, name: str, slot: Signal, row: data.View, period: int, clocks: int
) -> tuple[Signal, data.View]:
    """Return slot and row record as they were ``clocks`` ago (at least 1).

    A second slot counter has another phase; the record is taken over at its first slot.
    """
    rows, phase = divmod(clocks, period)
    then_slot = Signal(len(slot), init=(slot.init - clocks) % period, name=f"{name}_slot")
    then_row = Signal(row.shape(), name=f"{name}_row")
    row_end, then_row_end = slot == period - 1, count(m, then_slot, period)
    history = [row]
    for age in range(1, rows + (phase > 0)):
        history.append(Signal(row.shape(), name=f"{name}_row_{age}_ago"))
        with m.If(row_end):
            m.d.sync += history[age].eq(history[age - 1])
    with m.If(then_row_end):
        m.d.sync += then_row.eq(history[-1])
    return then_slot, then_row


def delay(m: Module, name: str, value: Value, clocks: int, *, reset_less: bool = True) -> Signal:
    """Return a value as it was some clocks ago."""
    for age in range(1, clocks + 1):
        later = Signal(value.shape(), name=f"{name}_{age}", reset_less=reset_less)
        m.d.sync += later.eq(value)
        value = later
    return value


def _ports(plan: LstPlan) -> dict[str, wiring.Member]:
    """Return what a sequencer is told and tells; `SharedSequencer` says what each port means."""
    return {
        "waiting": In(1),
        "start": Out(1),
        "slot": Out(slot_bits(plan), init=plan.period - 1),
        "first": Out(row_layout(plan)),
        "second": Out(row_layout(plan)),
    }
