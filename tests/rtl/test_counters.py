"""Counters behind AXI-Lite: what they count, with both channels as slow as they like."""

import pytest

pytest.importorskip("amaranth")
from amaranth.sim import Simulator

from lowbit.rtl.counters import IDENTITY, Counters
from lowbit.rtl.lst.engine import LstEngine
from lowbit.rtl.lst.plan import plan_lst
from tests.rtl.networks import network_and_bench


async def read(context, ports, address, patience=0):  # type: ignore[no-untyped-def]
    context.set(ports.s_axi_0_araddr, address)
    context.set(ports.s_axi_0_arvalid, 1)
    await context.tick().until(ports.s_axi_0_arready)
    context.set(ports.s_axi_0_arvalid, 0)
    await context.tick().repeat(patience + 1)
    context.set(ports.s_axi_0_rready, 1)
    (found,) = await context.tick().sample(ports.s_axi_0_rdata).until(ports.s_axi_0_rvalid)
    context.set(ports.s_axi_0_rready, 0)
    return found


async def clear(context, ports):  # type: ignore[no-untyped-def]
    context.set(ports.s_axi_0_awvalid, 1)
    await context.tick()
    assert not context.get(ports.s_axi_0_bvalid), "the address alone is no write"
    context.set(ports.s_axi_0_wvalid, 1)
    await context.tick().until(ports.s_axi_0_awready & ports.s_axi_0_wready)
    context.set(ports.s_axi_0_awvalid, 0)
    context.set(ports.s_axi_0_wvalid, 0)
    context.set(ports.s_axi_0_bready, 1)
    await context.tick().until(ports.s_axi_0_bvalid)
    context.set(ports.s_axi_0_bready, 0)


def simulate(design, bench) -> None:  # type: ignore[no-untyped-def]
    simulator = Simulator(design)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def test_pictures_and_busy_clocks() -> None:
    counters = Counters(1568)

    async def bench(context):  # type: ignore[no-untyped-def]
        for started, finished in ((1, 0), (0, 0), (1, 0), (0, 1), (0, 1), (0, 0), (1, 0), (0, 1), (0, 0)):
            context.set(counters.started, started)
            context.set(counters.left, finished)
            await context.tick()
        assert [await read(context, counters, address, patience=address) for address in (0, 4, 8, 12)] == [
            *(IDENTITY, 3, 7, 1568)
        ]
        await clear(context, counters)
        assert await read(context, counters, 4) == await read(context, counters, 8) == 0

    simulate(counters, bench)


def test_an_engine_counts_its_pictures() -> None:
    network, pictures = network_and_bench(3)
    plan = plan_lst(network)
    engine = LstEngine(plan, counters=True)

    async def bench(context):  # type: ignore[no-untyped-def]
        context.set(engine.m_axis_0_tready, 1)
        context.set(engine.s_axis_0_tvalid, 1)
        for pixel in pictures.pictures.ravel().tolist():
            context.set(engine.s_axis_0_tdata, pixel)
            await context.tick().until(engine.s_axis_0_tready)
        context.set(engine.s_axis_0_tvalid, 0)
        await context.tick().repeat(3 * plan.cycles_per_image)
        done, clocks = [await read(context, engine, address) for address in (4, 8)]
        assert done == 3
        assert 3 * plan.cycles_per_image < clocks < 4 * plan.cycles_per_image

    simulate(engine, bench)
