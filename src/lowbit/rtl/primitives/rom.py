"""Read-only memory with an output register: the word appears two clocks after its address.

7-series: the synthesizer maps it to RAMB18E1 and moves the second register into what follows (the input
register of a DSP48E1). ECP5: DP16KD.
"""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

LATENCY = 2

FEW_BITS = 2048
"""Up to so many bits a memory is cheaper in logic."""


class Rom(wiring.Component):
    """Words of ``width`` bits; an address beyond the last word reads anything."""

    def __init__(self, words: Sequence[int], width: int) -> None:
        self._words, self._width = list(words), width
        depth = max(2, len(words))
        super().__init__({"address": In((depth - 1).bit_length()), "word": Out(width)})

    def elaborate(self, platform: Any) -> Module:
        """Return a memory and a register."""
        m = Module()
        style = "distributed" if len(self._words) * self._width <= FEW_BITS else "block"
        depth = 1 << len(self.address)  # a power of two: no address is beyond the end
        words = self._words + [0] * (depth - len(self._words))
        m.submodules.words = words_memory = memory.Memory(
            shape=unsigned(self._width), depth=depth, init=words, attrs={"rom_style": style, "ram_style": style}
        )
        port = words_memory.read_port()
        latch = Signal(self._width)
        m.d.comb += [port.addr.eq(self.address), port.en.eq(1), latch.eq(port.data)]
        m.d.sync += self.word.eq(latch)
        return m
