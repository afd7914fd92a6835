"""A recoding, drawn: its place in the map, its constants, and what makes ranks of numbers.

clock 0   a word is taken, and the address of its constants known
clock 1   numbers and constants are in registers
then      by a multiplication: product, sum, rank; or the comparisons, and the table where there is one

Without multipliers a product takes several clocks, in which numbers and constants stay.

One clock enable stops all of it while a word that is ready is not taken.
"""

from typing import Any

from amaranth.hdl import Array, Cat, Const, EnableInserter, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from lowbit.rtl.array.endings import Scaled, Steps
from lowbit.rtl.array.hardware import thresholds
from lowbit.rtl.array.hardware.streams import choose, words
from lowbit.rtl.array.memory import is_shallow
from lowbit.rtl.array.units.recode import RecodePlan
from lowbit.rtl.array.units.unit import address_bits
from lowbit.rtl.elements.hardware.component import delayed
from lowbit.rtl.primitives.address import join
from lowbit.rtl.primitives.rom import Rom
from lowbit.rtl.primitives.shift_add import ShiftAddProduct, times


class RecodeUnit(wiring.Component):
    """Ports: ``input0``, words of numbers; ``output``, words of ranks."""

    def __init__(self, plan: RecodePlan) -> None:
        self._plan = plan
        super().__init__({"input0": In(words(plan.inputs[0].width)), "output": Out(words(plan.output.width))})

    def elaborate(self, platform: Any) -> Module:
        """Return the core behind its clock enable."""
        m, enable = Module(), Signal(name="enable")
        core = RecodeCore(self._plan) if self._plan.steps == 1 else ShiftAddCore(self._plan)
        m.submodules.core = EnableInserter(enable)(core)
        m.d.comb += [
            enable.eq(~self.output.valid | self.output.ready),
            self.input0.ready.eq(enable & core.room),
            core.taken.eq(self.input0.valid & core.room),
            core.numbers.eq(self.input0.payload),
            self.output.valid.eq(core.ready),
            self.output.payload.eq(core.ranks),
        ]
        return m


class _Core(wiring.Component):
    """What moves while it is enabled.

    ``room``: numbers can come; ``taken``: they do; ``ready``: there are ranks.
    """

    def __init__(self, plan: RecodePlan) -> None:
        self._plan = plan
        super().__init__(
            {
                "room": Out(1),
                "taken": In(1),
                "numbers": In(plan.inputs[0].width),
                "ready": Out(1),
                "ranks": Out(plan.output.width),
            }
        )

    def _numbers(self, m: Module) -> list[Signal]:
        """Return registers for the numbers of a word."""
        plan, bits, numbers = self._plan, self._plan.before.bits, []
        for lane in range(plan.lanes):
            number = Signal(signed(plan.width), name=f"number{lane}", reset_less=True)
            word = self.numbers.word_select(lane, bits)
            with m.If(self.taken):
                m.d.sync += number.eq(word.as_signed() if plan.before.signed else word)
            numbers.append(number)
        return numbers

    def _place(self, m: Module, gone: Value) -> Value:
        """Return where the constants of a word are: counters for fold, column and row of those gone."""
        plan, (rows, columns) = self._plan, self._plan.categories
        fold, x, y = (
            Signal(address_bits(length), name=name)
            for name, length in (("fold", plan.folds), ("x", len(columns)), ("y", len(rows)))
        )
        pixel_end, row_end = fold == plan.folds - 1, x == len(columns) - 1
        with m.If(gone):
            m.d.sync += fold.eq(Mux(pixel_end, 0, fold + 1))
            with m.If(pixel_end):
                m.d.sync += x.eq(Mux(row_end, 0, x + 1))
                with m.If(row_end):
                    m.d.sync += y.eq(Mux(y == len(rows) - 1, 0, y + 1))
        return join(plan.place, fold=fold, column=choose(columns, x), row=choose(rows, y))

    def _constants(self, m: Module, place: Value) -> list[tuple[Value, Value]]:
        """Return multiplier and addend of every lane, a clock after their place."""
        plan, (multiplier_bits, addend_bits) = self._plan, self._plan.widths
        each = multiplier_bits + addend_bits
        if len(set(plan.words)) == 1:
            word: Value = Const(plan.words[0], plan.lanes * each)
        else:
            shallow = is_shallow(len(plan.words), plan.lanes * each)
            m.submodules.constants = rom = Rom(plan.words, plan.lanes * each, tables=shallow)
            m.d.comb += rom.address.eq(place)
            word = rom.word
        lanes = [word.word_select(lane, each) for lane in range(plan.lanes)]
        return [(own[:multiplier_bits].as_signed(), own[multiplier_bits:].as_signed()) for own in lanes]


class RecodeCore(_Core):
    """A word per clock."""

    def elaborate(self, platform: Any) -> Module:
        """Return counters, constants and lanes."""
        m, ending = Module(), self._plan.recode.ending
        numbers, place = self._numbers(m), self._place(m, self.taken)
        if isinstance(ending, Scaled):
            ranks, clocks = self._scaled(m, place, numbers, ending), 4
        else:
            ranks, clocks = self._compared(m, place, numbers, ending)
        m.d.comb += [
            self.room.eq(1),
            self.ready.eq(delayed(m, "ready", self.taken, clocks)),
            self.ranks.eq(Cat(*ranks)),
        ]
        return m

    def _scaled(self, m: Module, place: Value, numbers: list[Signal], ending: Scaled) -> list[Value]:
        by_shifts = self._plan.digits > 0
        return [
            scaled_rank(m, f"lane{lane}", number, *own, ending, by_shifts=by_shifts)
            for lane, (number, own) in enumerate(zip(numbers, self._constants(m, place), strict=True))
        ]

    def _compared(
        self, m: Module, place: Value, numbers: list[Signal], ending: Steps
    ) -> tuple[list[Value], int]:
        plan, own = self._plan, self._plan.comparison
        m.submodules.thresholds = stage = thresholds.Thresholds(own)
        # The memory of the first bit is read a clock before its numbers: while they go into their register.
        m.d.comb += [stage.place.eq(place), stage.sums.eq(Cat(*numbers))]
        ranks = [stage.ranks.word_select(lane, own.bits) for lane in range(plan.lanes)]
        clocks = 1 + thresholds.latency(own)
        if ending.table is None:
            return ranks, clocks
        table = [*ending.table.tolist()] + [0] * ((1 << own.bits) - len(ending.table))
        codes = Array(Const(code, plan.output.bits) for code in table)
        found: list[Value] = []
        for lane, rank in enumerate(ranks):
            code = Signal(plan.output.bits, name=f"code{lane}", reset_less=True)
            m.d.sync += code.eq(codes[rank])
            found.append(code)
        return found, clocks + 1


class ShiftAddCore(_Core):
    """A word in several clocks, each of which adds some digits of the multipliers.

    Numbers wait in their registers until the word before them has gone; the address of the constants moves
    on as they go, at least two clocks before it is needed again.
    """

    def elaborate(self, platform: Any) -> Module:
        """Return a counter of steps, and lanes."""
        m, plan, ending = Module(), self._plan, self._plan.recode.ending
        assert isinstance(ending, Scaled)
        waiting, busy, last, start = (Signal(name=name) for name in ("waiting", "busy", "last", "start"))
        left = Signal(range(plan.steps), name="left")
        m.d.comb += [
            last.eq(busy & (left == 0)),
            start.eq(waiting & (~busy | last)),
            self.room.eq(~waiting | start),
        ]
        m.d.sync += [
            waiting.eq(self.taken | (waiting & ~start)),
            busy.eq(start | (busy & ~last)),
            left.eq(Mux(start, plan.steps - 1, left - 1)),
        ]
        numbers, ranks = self._numbers(m), []
        constants = self._constants(m, self._place(m, start))
        for lane, (number, (multiplier, addend)) in enumerate(zip(numbers, constants, strict=True)):
            name = f"lane{lane}"
            parts = ShiftAddProduct(name, len(number), len(multiplier), plan.digits)
            own = Signal(signed(len(addend)), name=f"{name}_own_addend", reset_less=True)
            m.d.sync += parts.step()
            with m.If(start):
                m.d.sync += [*parts.start(number, multiplier), own.eq(addend)]
            ranks.append(_rank(m, name, parts.result, own, ending))
        m.d.comb += [self.ready.eq(delayed(m, "ready", last, 3)), self.ranks.eq(Cat(*ranks))]
        return m


def scaled_rank(
    m: Module,
    name: str,
    number: Value,
    multiplier: Value,
    addend: Value,
    ending: Scaled,
    *,
    by_shifts: bool = False,
) -> Signal:
    """Return, three clocks later, ``clip((number * multiplier + addend) >> shift, low, top)``."""
    product = times(number, multiplier) if by_shifts else number * multiplier
    return _rank(m, name, product, addend, ending)


def _rank(m: Module, name: str, exact: Value, addend: Value, ending: Scaled) -> Signal:
    """Return the rank of a product, three clocks later."""
    product = Signal(signed(len(exact)), name=f"{name}_product", reset_less=True)
    held = Signal(signed(len(addend)), name=f"{name}_addend", reset_less=True)
    total = Signal(signed(max(len(product), len(held)) + 1), name=f"{name}_total", reset_less=True)
    rank = Signal(ending.bits, name=f"{name}_rank", reset_less=True)
    m.d.sync += [product.eq(exact), held.eq(addend), total.eq(product + held)]
    level = (total >> ending.shift).as_signed()
    m.d.sync += rank.eq(Mux(level < ending.low, ending.low, Mux(level > ending.top, ending.top, level)))
    return rank
