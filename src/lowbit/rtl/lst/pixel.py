"""From a byte to the code that goes into the first layer.

Where the table is a byte, shifted and rounded, as (p / 255 − ½) / ½ is for up to seven fraction bits, an
adder does it: code = (p + c + [p ≥ t]) >> s − o. Any other table is a memory in logic.
"""

from typing import Any

from amaranth.hdl import Array, Const, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from lowbit.rtl.integers import Range
from lowbit.rtl.lst.network import LstNetwork
from lowbit.rtl.lst.pixel_line import find_line


class PixelCode(wiring.Component):
    """Combinational: ``pixel`` to ``code``."""

    def __init__(self, network: LstNetwork) -> None:
        self._codes = network.pixels
        super().__init__({"pixel": In(8), "code": Out(signed(Range.of(network.pixels).bits))})

    def elaborate(self, platform: Any) -> Module:
        """Return the adder or the table."""
        m, line = Module(), find_line(self._codes)
        if line is None:
            table = Array(Const(int(code), self.code.shape()) for code in self._codes)
            m.d.comb += self.code.eq(table[self.pixel])
            return m
        above = self.pixel[7] if line.step == 128 else self.pixel.all() if line.step == 255 else Const(0)
        rounded = Signal(9)
        m.d.comb += rounded.eq(self.pixel + line.rounding + above)
        m.d.comb += self.code.eq((rounded >> line.shift) - line.offset)
        return m
