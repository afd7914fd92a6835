"""Products by shifts and adders: small numbers exhaustively, wide ones at the extremes; in several clocks."""

from itertools import product
from random import Random

import pytest

pytest.importorskip("amaranth")
from amaranth.hdl import Module, Signal, signed
from amaranth.sim import Simulator

from lowbit.rtl.primitives.shift_add import ShiftAddProduct, times


def ends(bits: int) -> list[int]:
    """Return numbers of so many bits: the extremes, those beside them, and some by chance."""
    random, most = Random(bits), 1 << (bits - 1)  # noqa: S311
    return [
        -most,
        1 - most,
        -2,
        -1,
        0,
        1,
        2,
        most - 2,
        most - 1,
        *(random.randrange(-most, most) for _ in range(4)),
    ]


@pytest.mark.parametrize("bits", range(1, 5))
@pytest.mark.parametrize("multiplier_bits", range(1, 6))
def test_small_products(bits: int, multiplier_bits: int) -> None:
    left, right = (range(-(1 << (own - 1)), 1 << (own - 1)) for own in (bits, multiplier_bits))
    check_times(bits, multiplier_bits, list(product(left, right)))


def test_wide_products() -> None:
    check_times(11, 14, list(product(ends(11), ends(14))))


def check_times(bits: int, multiplier_bits: int, pairs: list[tuple[int, int]]) -> None:
    m, x, multiplier, found = Module(), Signal(signed(bits)), Signal(signed(multiplier_bits)), []
    made = Signal(signed(bits + multiplier_bits))
    m.d.comb += made.eq(times(x, multiplier))

    async def bench(context):  # type: ignore[no-untyped-def]
        for left, right in pairs:
            context.set(x, left)
            context.set(multiplier, right)
            await context.delay(1e-9)
            found.append(context.get(made))

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()
    assert found == [left * right for left, right in pairs]


@pytest.mark.parametrize(("multiplier_bits", "digits"), [(9, 1), (12, 4), (13, 3)])
def test_products_in_several_clocks(multiplier_bits: int, digits: int) -> None:
    """Each starts in the clock of the last step of the one before."""
    pairs, found = list(product(ends(7), ends(multiplier_bits))), []
    m, x, multiplier, start = Module(), Signal(signed(7)), Signal(signed(multiplier_bits)), Signal()
    parts = ShiftAddProduct("own", 7, multiplier_bits, digits)
    made = Signal(signed(7 + multiplier_bits))
    m.d.comb += made.eq(parts.result)
    m.d.sync += parts.step()
    with m.If(start):
        m.d.sync += parts.start(x, multiplier)

    async def bench(context):  # type: ignore[no-untyped-def]
        for left, right in [*pairs, (0, 0)]:
            context.set(x, left)
            context.set(multiplier, right)
            context.set(start, 1)
            found.append(context.get(made))
            await context.tick()
            context.set(start, 0)
            await context.tick().repeat(parts.steps - 1)

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert found[1:] == [left * right for left, right in pairs]
