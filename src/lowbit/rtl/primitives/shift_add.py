"""Products by shifts and adders, some digits of the multiplier in a clock: for devices without multipliers.

    x * multiplier = sum_j d_j x 4^j,    d_j = b_(2j-1) + b_(2j) - 2 b_(2j+1)  in -2 … 2

of the bits b of the multiplier in two's complement (A. D. Booth, "A signed binary multiplication technique",
1951; in base 4: O. L. MacSorley, "High-speed arithmetic in binary computers", 1961). A digit takes an adder
of the bits of x alone: the two lowest bits of each sum are those of the product, and are put aside.
"""

from typing import Any

from amaranth.hdl import Cat, Const, Mux, Signal, Value, signed

from lowbit.rtl.primitives.target import DIGIT_BITS, digits_of


def add_digits(x: Value, digits: Value, total: Value) -> tuple[list[Value], Value]:
    """Return ``total + x * digits``: its lower bits, two for each digit, and what stands above them.

    Args:
        x: signed.
        digits: bits of a multiplier, with the bit below them as the lowest.
        total: signed, of the bits of x; it stays within them.
    """
    lower: list[Value] = []
    for at in range(0, len(digits) - 1, DIGIT_BITS):
        below, low, high = digits[at], digits[at + 1], digits[at + 2]
        twice = (low == below) & (high != low)
        size = Mux(twice, x << 1, Mux(low ^ below, x, 0)).as_signed()
        own = (size ^ high.replicate(len(size)).as_signed()).as_signed()
        # A negative digit lacks a one, which goes into the carry.
        added = (Cat(high, own).as_signed() + Cat(high, total).as_signed())[1:].as_signed()
        lower.append(added[:DIGIT_BITS])
        total = added[DIGIT_BITS:].as_signed()[: len(x)].as_signed()
    return lower, total


def times(x: Value, multiplier: Value) -> Value:
    """Return a product in one clock; both are signed."""
    digits = Cat(Const(0, 1), multiplier, multiplier[-1].replicate(len(multiplier) % DIGIT_BITS))
    lower, total = add_digits(x, digits, Const(0, signed(len(x))))
    return Cat(*lower, total).as_signed()


class ShiftAddProduct:
    """Registers of one product; `start` it, then `step` it so many clocks as it takes.

    Args:
        name: that of its registers begin with.
        bits: of the number.
        multiplier_bits: of the multiplier.
        digits: that are added in a clock.
    """

    def __init__(self, name: str, bits: int, multiplier_bits: int, digits: int) -> None:
        self.steps = -(-digits_of(multiplier_bits) // digits)
        self._width = DIGIT_BITS * digits
        self._x = Signal(signed(bits), name=f"{name}_x", reset_less=True)
        self._total = Signal(signed(bits), name=f"{name}_part", reset_less=True)
        self._digits = Signal(self._width * self.steps + 1, name=f"{name}_digits", reset_less=True)
        self._lower = Signal(self._width * self.steps, name=f"{name}_lower", reset_less=True)
        own, total = add_digits(self._x, self._digits[: self._width + 1], self._total)
        self._next = Cat(self._lower[self._width :], *own), total

    @property
    def result(self) -> Value:
        """The product, in the clock of the last step."""
        return Cat(*self._next).as_signed()

    def start(self, x: Value, multiplier: Value) -> list[Any]:
        """Return what happens in the clock before the first step; both are signed."""
        more = len(self._digits) - 1 - len(multiplier)
        given = Cat(Const(0, 1), multiplier, multiplier[-1].replicate(more))
        return [self._x.eq(x), self._total.eq(0), self._digits.eq(given)]

    def step(self) -> list[Any]:
        """Return what happens in a clock."""
        lower, total = self._next
        return [self._lower.eq(lower), self._total.eq(total), self._digits.eq(self._digits >> self._width)]
