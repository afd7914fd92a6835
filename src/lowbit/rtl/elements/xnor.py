"""XNOR, popcount, threshold: a binary neuron, `lanes` products per clock.

    2 · agreeing − lanes, summed over the clocks of a vector, is the sum of products of signs;
    bit = agreeing bits of the whole vector > threshold

Both words are registered, so a result leaves three clocks after the last word of its vector came in.
"""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from lowbit.rtl.primitives.popcount import agreeing_bits
from lowbit.rtl.primitives.target import Target

LATENCY = 3


class XnorElement(wiring.Component):
    """Ports: words ``x`` and ``w``, ``first`` with the first of a vector, ``threshold``; ``bit``."""

    def __init__(self, lanes: int, longest: int, target: Target) -> None:
        self._target = target
        self._width = longest.bit_length()
        members = {
            "x": In(lanes),
            "w": In(lanes),
            "first": In(1),
            "threshold": In(self._width),
            "bit": Out(1),
        }
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        """Return registers, count, accumulator and comparison."""
        m = Module()
        x, w = Signal(len(self.x), reset_less=True), Signal(len(self.w), reset_less=True)
        first, total = Signal(), Signal(self._width, reset_less=True)
        m.d.sync += [x.eq(self.x), w.eq(self.w), first.eq(self.first)]
        count = agreeing_bits(m, x, w, self._target)
        m.d.sync += [total.eq(Mux(first, 0, total) + count), self.bit.eq(total > self.threshold)]
        return m
