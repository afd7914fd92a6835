"""From sums to ranks: how many thresholds of its channel a sum exceeds, by bisection, a bit in two clocks.

Bit by bit, the highest first, a sum is compared with the middle one of the thresholds that are left. Each bit
has a comparator and a memory of its own, so a sum may come in every clock; the memories together hold each
threshold once. (FINN's thresholding unit does the same.)
"""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from lowbit.rtl.array.memory import is_shallow
from lowbit.rtl.array.units.comparison import Comparison
from lowbit.rtl.elements.hardware.component import delayed
from lowbit.rtl.integers import pack
from lowbit.rtl.primitives.address import join
from lowbit.rtl.primitives.rom import Rom


def latency(plan: Comparison) -> int:
    """Return the clocks from a sum to its rank."""
    return 2 * plan.bits - 1


class Thresholds(wiring.Component):
    """Ranks of the sums of all elements.

    Ports: ``place`` of the sums, a clock before ``sums``; ``ranks``, `latency` clocks after them.
    """

    def __init__(self, plan: Comparison) -> None:
        self._plan = plan
        elements, width = plan.elements, plan.width
        super().__init__(
            {
                "place": In(plan.place.bits),
                "sums": In(elements * width),
                "ranks": Out(elements * plan.bits),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Return a comparator per element and bit."""
        m, plan = Module(), self._plan
        elements, width = range(plan.elements), plan.width
        place: Value = self.place
        sums = [self.sums.word_select(element, width).as_signed() for element in elements]
        ranks: list[Value] = [Const(0, 0) for _ in elements]
        for stage in range(plan.bits):
            if stage:
                place = delayed(m, f"place_{stage}", place, 2)
                sums = [delayed(m, f"sum{element}_{stage}", sums[element], 2) for element in elements]
            thresholds = self._thresholds(m, stage, place, ranks)
            if stage:
                ranks = [delayed(m, f"rank{element}_{stage}", ranks[element], 1) for element in elements]
            for element in elements:
                rank = Signal(stage + 1, name=f"rank{element}_{stage}", reset_less=True)
                m.d.sync += rank.eq(Cat(sums[element] > thresholds[element], ranks[element]))
                ranks[element] = rank
        m.d.comb += self.ranks.eq(Cat(*ranks))
        return m

    def _thresholds(self, m: Module, stage: int, place: Value, ranks: list[Value]) -> list[Value]:
        """Return, a clock later, what each element compares with.

        For the highest bit all elements read the same address: their memories stand side by side.
        """
        plan, width = self._plan, self._plan.threshold_bits
        address = plan.address(stage)
        addresses = [join(address, found=rank, place=place) for rank in ranks]
        own = [plan.words(stage, element) for element in range(plan.elements)]
        if stage == 0:
            words = [pack(fields, [width] * len(own)) for fields in zip(*own, strict=True)]
            (at, *_) = addresses
            word = self._memory(m, "thresholds_0", words, width * len(own), at)
            return [word.word_select(element, width).as_signed() for element in range(len(own))]
        return [
            self._memory(m, f"thresholds_{stage}_{element}", words, width, at).as_signed()
            for element, (words, at) in enumerate(zip(own, addresses, strict=True))
        ]

    def _memory(self, m: Module, name: str, words: list[int], width: int, address: Value) -> Value:
        m.submodules[name] = rom = Rom(words, width, tables=is_shallow(len(words), width))
        m.d.comb += rom.address.eq(address)
        return rom.word
