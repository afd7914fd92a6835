"""LST engines in Amaranth's simulator, fed and read clock by clock."""

from random import Random

import numpy as np
import numpy.typing as npt
from amaranth.hdl import Cat, Module, ResetInserter, Signal, Value
from amaranth.sim import Simulator

from lowbit.rtl.address import Address
from lowbit.rtl.lst.engine import LstEngine
from lowbit.rtl.lst.plan import LstPlan, score_bits


def stream(
    plan: LstPlan,
    pictures: npt.NDArray[np.uint8],
    *,
    gap: float = 0.0,
    stall: float = 0.0,
    reset_after: int | None = None,
    packet: int = 1,
) -> tuple[list[list[int]], list[int]]:
    """Return scores and class of each picture, and the clock in which each was complete."""
    random, network = Random(1), plan.network  # noqa: S311
    engine, reset, m, bits = LstEngine(plan), Signal(), Module(), score_bits(plan)
    m.submodules.engine = ResetInserter(reset)(engine)
    results: list[list[int]] = []
    finished: list[int] = []

    async def send(context):  # type: ignore[no-untyped-def]
        pixels = pictures.ravel().tolist()
        if reset_after is not None:
            await feed(context, pixels[:reset_after])  # the reset forgets the packet, too
            context.set(reset, 1)
            await context.tick()
            context.set(reset, 0)
            results.clear(), finished.clear(), beats.clear()
        await feed(context, pixels)

    async def feed(context, pixels):  # type: ignore[no-untyped-def]
        for number, pixel in enumerate(pixels, 1):
            while random.random() < gap:
                await context.tick()
            context.set(engine.s_axis_0_tdata, pixel)
            context.set(engine.s_axis_0_tlast, number % (packet * pictures[0].size) == 0)
            context.set(engine.s_axis_0_tvalid, 1)
            await context.tick().until(engine.s_axis_0_tready)
            context.set(engine.s_axis_0_tvalid, 0)

    beats: list[int] = []

    async def receive(context):  # type: ignore[no-untyped-def]
        sampled = (reset, engine.m_axis_0_tvalid, engine.m_axis_0_tdata, engine.m_axis_0_tlast)
        for clock in range(60 * (len(pictures) + 3) * plan.cycles_per_image):
            ready = random.random() >= stall
            context.set(engine.m_axis_0_tready, ready)
            _, _, in_reset, valid, beat, last = await context.tick().sample(*sampled)
            if in_reset:
                continue
            if valid and ready:
                beats.append(beat - (1 << bits) if beat >> bits - 1 else beat)
            if len(beats) > network.classes:
                assert last == (len(results) % packet == packet - 1)
                results.append(beats.copy()), finished.append(clock), beats.clear()
            else:
                assert not (valid and ready and last)
            if len(results) == len(pictures):
                return

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(send, background=True)
    simulator.add_testbench(receive)
    simulator.run()
    return results, finished


def swapped(address: Address, **numbers: Value) -> Value:
    """Stand in for `lowbit.rtl.primitives.address.join`: numbers keep the bits that their side gives them.

    So writer and reader of the hidden memory disagree wherever a slot and a row number differ in width.
    """
    return Cat(*(numbers[name] for name in address.sizes))
