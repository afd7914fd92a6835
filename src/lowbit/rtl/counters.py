"""An engine behind AXI-Lite: start and stop, what is inside, errors, and counters.

    0x00  identity, "LBIT"
    0x04  pictures whose class was taken
    0x08  clocks from a picture's first pixel to its class, counted once where pictures overlap
    0x0C  clocks per picture, as planned
    0x10  bit 0: whether pictures are taken; 1 after a reset. One that is inside is finished all the same.
    0x14  pictures inside
    0x18  errors: packets that were cut inside a picture; see `lowbit.rtl.packets`

A write to 0x10 sets its bit; a write to any other address clears the counters.
"""

from typing import Any

from amaranth.hdl import Array, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

IDENTITY = int.from_bytes(b"LBIT", "big")

RUN = 4
"""The register of bit 0: whether pictures are taken."""

AXI_LITE = {
    "s_axi_0_awaddr": In(5),
    "s_axi_0_awvalid": In(1),
    "s_axi_0_awready": Out(1),
    "s_axi_0_wdata": In(32),
    "s_axi_0_wstrb": In(4),
    "s_axi_0_wvalid": In(1),
    "s_axi_0_wready": Out(1),
    "s_axi_0_bresp": Out(2),
    "s_axi_0_bvalid": Out(1),
    "s_axi_0_bready": In(1),
    "s_axi_0_araddr": In(5),
    "s_axi_0_arvalid": In(1),
    "s_axi_0_arready": Out(1),
    "s_axi_0_rdata": Out(32),
    "s_axi_0_rresp": Out(2),
    "s_axi_0_rvalid": Out(1),
    "s_axi_0_rready": In(1),
}
"""The ports; every answer is OKAY."""


class Counters(wiring.Component):
    """The registers.

    ``started``: a picture begins in this clock; ``left``: its last result leaves; ``cut``: a packet is cut.
    ``run``: whether pictures may begin.

    Args:
        cycles_per_picture: as planned.
        most_inside: pictures.
    """

    def __init__(self, cycles_per_picture: int, most_inside: int = 7) -> None:
        self._planned, self._inside = cycles_per_picture, most_inside
        super().__init__({"started": In(1), "left": In(1), "cut": In(1), "run": Out(1, init=1), **AXI_LITE})

    def elaborate(self, platform: Any) -> Module:
        """Return counters and both channels."""
        m, inside = Module(), Signal(range(self._inside + 1))
        pictures, cycles, errors, running = Signal(32), Signal(32), Signal(32), Signal(init=1)
        written = self.s_axi_0_awvalid & self.s_axi_0_wvalid & ~self.s_axi_0_bvalid
        m.d.sync += [
            inside.eq(inside + self.started - self.left),
            pictures.eq(pictures + self.left),
            errors.eq(errors + self.cut),
            cycles.eq(cycles + (self.started | (inside != 0))),
        ]
        with m.If(written):
            m.d.sync += self.s_axi_0_bvalid.eq(1)
            with m.If(self.s_axi_0_awaddr[2:] == RUN):
                m.d.sync += running.eq(self.s_axi_0_wdata[0])
            with m.Else():
                m.d.sync += [pictures.eq(0), cycles.eq(0), errors.eq(0)]
        with m.If(self.s_axi_0_bvalid & self.s_axi_0_bready):
            m.d.sync += self.s_axi_0_bvalid.eq(0)
        m.d.comb += [self.run.eq(running), self.s_axi_0_awready.eq(written), self.s_axi_0_wready.eq(written)]

        registers = Array(
            [
                Const(IDENTITY, 32),
                pictures,
                cycles,
                Const(self._planned, 32),
                running,
                inside,
                errors,
                Const(0, 32),
            ]
        )
        m.d.comb += self.s_axi_0_arready.eq(~self.s_axi_0_rvalid)
        with m.If(self.s_axi_0_rvalid & self.s_axi_0_rready):
            m.d.sync += self.s_axi_0_rvalid.eq(0)
        with m.If(self.s_axi_0_arvalid & self.s_axi_0_arready):
            m.d.sync += self.s_axi_0_rdata.eq(registers[self.s_axi_0_araddr[2:]])
            m.d.sync += self.s_axi_0_rvalid.eq(1)
        return m
