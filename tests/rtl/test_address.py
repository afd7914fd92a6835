"""Addresses of several numbers: as integers, as contents, and as they are drawn."""

from itertools import product

import numpy as np
import pytest

from lowbit.rtl.address import Address

ADDRESSES = [
    Address({"slot": 5, "row": 3}),
    Address({"slot": 1, "row": 7, "half": 2}),
    Address({"slot": 4, "row": 1, "half": 1}),
    Address({"slot": 1}),
]


@pytest.mark.parametrize("address", ADDRESSES, ids=str)
def test_no_two_words_share_an_address(address: Address) -> None:
    every = [
        dict(zip(address.sizes, values, strict=True))
        for values in product(*map(range, address.sizes.values()))
    ]
    found = [address.of(**numbers) for numbers in every]
    assert len(set(found)) == len(found) and max(found) < address.depth <= 1 << address.bits
    words = address.contents(lambda **numbers: 1 + every.index(numbers))
    assert len(words) == address.depth and [words[at] for at in found] == list(range(1, len(every) + 1))


def test_a_table_has_its_words_where_the_address_says() -> None:
    address = Address({"found": 2, "fold": 3, "row": 5})
    words = np.arange(30).reshape(5, 3, 2)
    table = address.table(words)
    assert len(table) == 1 << address.bits
    for row, fold, found in np.ndindex(5, 3, 2):
        assert table[address.of(found=found, fold=fold, row=row)] == words[row, fold, found]


@pytest.mark.parametrize("address", ADDRESSES, ids=str)
def test_what_is_drawn_is_the_address(address: Address) -> None:
    pytest.importorskip("amaranth")
    from amaranth.hdl import Module, Signal
    from amaranth.sim import Simulator

    from lowbit.rtl.primitives.address import join

    m, found = Module(), Signal(8)
    numbers = {name: Signal(4, name=name) for name in address.sizes}  # wider than some, narrower than none
    m.d.comb += found.eq(join(address, **numbers))

    async def check(context):  # type: ignore[no-untyped-def]
        for values in product(*map(range, address.sizes.values())):
            for signal, value in zip(numbers.values(), values, strict=True):
                context.set(signal, value)
            assert context.get(found) == address.of(**dict(zip(address.sizes, values, strict=True)))

    simulator = Simulator(m)
    simulator.add_testbench(check)
    simulator.run()
