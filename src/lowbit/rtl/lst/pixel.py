"""From a byte to the code that goes into the first layer.

Where the table is a byte, shifted and rounded, as (p / 255 − ½) / ½ is for up to seven fraction bits, an
adder does it: code = (p + c + [p ≥ t]) >> s − o. Any other table is a memory in logic.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from amaranth.hdl import Array, Const, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from lowbit.rtl.lst.network import Integers, LstNetwork
from lowbit.rtl.lst.plan import Range


@dataclass(frozen=True)
class Line:
    """code = ((p + rounding + [p ≥ step]) >> shift) − offset."""

    rounding: int
    step: int
    shift: int
    offset: int


def find_line(codes: Integers) -> Line | None:
    """Return the line that a table of 256 codes is, or None."""
    pixels = np.arange(256)
    for shift in range(9):
        for rounding in {0, 1 << shift >> 1}:
            offset = int(rounding >> shift) - int(codes[0])
            for step in (128, 255, 256):
                line = Line(rounding, step, shift, offset)
                if np.array_equal(((pixels + rounding + (pixels >= step)) >> shift) - offset, codes):
                    return line
    return None


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
