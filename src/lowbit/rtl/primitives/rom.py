"""Read-only memory: the word appears a clock after its address.

A block RAM is slow to show its word (5.8 ns in ECP5), so what follows should begin with a register: the input
register of a multiplier does, for free. 7-series: RAMB18E1. ECP5: DP16KD.
"""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Module, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

LATENCY = 1

FEW_BITS = 2048
"""Up to so many bits the synthesizer chooses; above, a memory is a block RAM."""


class Rom(wiring.Component):
    """Words of ``width`` bits; an address beyond the last word reads anything.

    Args:
        words: the content.
        width: of a word.
        tables: whether it is made of look-up tables, whatever its size.
    """

    def __init__(self, words: Sequence[int], width: int, *, tables: bool = False) -> None:
        self._words, self._width, self._tables = list(words), width, tables
        depth = max(2, len(words))
        super().__init__({"address": In((depth - 1).bit_length()), "word": Out(width)})

    def elaborate(self, platform: Any) -> Module:
        """Return a memory with one port."""
        m = Module()
        large = len(self._words) * self._width > FEW_BITS
        style = "logic" if self._tables else "block"
        depth = 1 << len(self.address)  # a power of two: no address is beyond the end
        words = self._words + [0] * (depth - len(self._words))
        m.submodules.words = words_memory = memory.Memory(
            shape=unsigned(self._width),
            depth=depth,
            init=words,
            attrs={"ram_style": style, "rom_style": style} if large or self._tables else {},
        )
        port = words_memory.read_port()
        m.d.comb += [port.addr.eq(self.address), port.en.eq(1), self.word.eq(port.data)]
        return m
