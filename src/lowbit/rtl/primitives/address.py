"""Addresses of memories as they are drawn."""

from amaranth.hdl import Cat, Const, Value

from lowbit.rtl.address import Address


def join(address: Address, **numbers: Value) -> Value:
    """Return the address of numbers, each with the bits that are its own.

    Wider numbers lose their upper bits: what is out of range addresses another word, which must not count.
    """
    assert numbers.keys() == address.sizes.keys()
    return Cat(*(Cat(numbers[name], Const(0, width))[:width] for name, width in address.widths.items()))


def part(address: Address, value: Value, name: str) -> Value:
    """Return one of the numbers in an address."""
    at = 0
    for other, width in address.widths.items():
        if other == name:
            return value[at : at + width]
        at += width
    raise KeyError(name)
