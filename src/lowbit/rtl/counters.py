"""Counters behind AXI-Lite: pictures done, and clocks in which a picture was inside.

    0x0  identity, "LBIT"
    0x4  pictures whose class was taken
    0x8  clocks from a picture's first pixel to its class, counted once where pictures overlap
    0xC  clocks per picture, as planned

A write to any address clears both counters.
"""

from typing import Any

from amaranth.hdl import Array, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

IDENTITY = int.from_bytes(b"LBIT", "big")

AXI_LITE = {
    "s_axi_0_awaddr": In(4),
    "s_axi_0_awvalid": In(1),
    "s_axi_0_awready": Out(1),
    "s_axi_0_wdata": In(32),
    "s_axi_0_wstrb": In(4),
    "s_axi_0_wvalid": In(1),
    "s_axi_0_wready": Out(1),
    "s_axi_0_bresp": Out(2),
    "s_axi_0_bvalid": Out(1),
    "s_axi_0_bready": In(1),
    "s_axi_0_araddr": In(4),
    "s_axi_0_arvalid": In(1),
    "s_axi_0_arready": Out(1),
    "s_axi_0_rdata": Out(32),
    "s_axi_0_rresp": Out(2),
    "s_axi_0_rvalid": Out(1),
    "s_axi_0_rready": In(1),
}
"""The ports; every answer is OKAY."""


class Counters(wiring.Component):
    """``started``: a picture begins in this clock; ``finished``: its class is taken."""

    def __init__(self, cycles_per_picture: int) -> None:
        self._planned = cycles_per_picture
        super().__init__({"started": In(1), "finished": In(1), **AXI_LITE})

    def elaborate(self, platform: Any) -> Module:
        """Return counters and both channels."""
        m, inside = Module(), Signal(3)
        pictures, cycles = Signal(32), Signal(32)
        written = self.s_axi_0_awvalid & self.s_axi_0_wvalid & ~self.s_axi_0_bvalid
        m.d.sync += inside.eq(inside + self.started - self.finished)
        with m.If(self.finished):
            m.d.sync += pictures.eq(pictures + 1)
        with m.If(self.started | (inside != 0)):
            m.d.sync += cycles.eq(cycles + 1)
        with m.If(written):
            m.d.sync += [pictures.eq(0), cycles.eq(0), self.s_axi_0_bvalid.eq(1)]
        with m.If(self.s_axi_0_bvalid & self.s_axi_0_bready):
            m.d.sync += self.s_axi_0_bvalid.eq(0)
        m.d.comb += [self.s_axi_0_awready.eq(written), self.s_axi_0_wready.eq(written)]

        registers = Array([Const(IDENTITY, 32), pictures, cycles, Const(self._planned, 32)])
        m.d.comb += self.s_axi_0_arready.eq(~self.s_axi_0_rvalid)
        with m.If(self.s_axi_0_rvalid & self.s_axi_0_rready):
            m.d.sync += self.s_axi_0_rvalid.eq(0)
        with m.If(self.s_axi_0_arvalid & self.s_axi_0_arready):
            m.d.sync += self.s_axi_0_rdata.eq(registers[self.s_axi_0_araddr[2:]])
            m.d.sync += self.s_axi_0_rvalid.eq(1)
        return m
