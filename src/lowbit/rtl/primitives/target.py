"""The families of devices there are mappings for."""

from collections.abc import Mapping
from math import ceil
from pathlib import Path
from typing import Literal

Target = Literal["xc7", "xcup", "ecp5", "ice40", "gowin", "generic"]
"""7-series, UltraScale+, ECP5, iCE40, Gowin; `generic` is behaviour without named blocks, for any tool."""

NAMED_TABLES = frozenset({"xc7", "xcup"})
"""Families whose look-up tables are named, because synthesizers take the structure apart again."""

MULTIPLIERS: Mapping[Target, tuple[int, int]] = {
    "xc7": (25, 18),
    "xcup": (27, 18),
    "ecp5": (18, 18),
    "gowin": (18, 18),
    "generic": (25, 18),
}
"""Bits of both sides of a family's signed multipliers; of others, look-up tables multiply."""

_PRODUCT_LUT = 1.4
"""Look-up tables of a multiplier per bit of one side and bit of the other."""

ECP5_MULTIPLIER_BITS = 18
"""Width of an input of MULT18X18D."""


def multiplier_cost(target: Target, left: int, right: int) -> tuple[int, int]:
    """Return about how many look-up tables and blocks a signed product of so many bits takes."""
    if target not in MULTIPLIERS:
        return ceil(left * right * _PRODUCT_LUT), 0
    wide, narrow = MULTIPLIERS[target]
    ways = ((left, right), (right, left))
    return 0, min(ceil(one / wide) * ceil(other / narrow) for one, other in ways)


DIGIT_BITS = 2
"""Bits of a digit of a multiplier, where shifts and adders multiply."""

_GUARD = 3
"""Bits that the adder of a digit has more than its number."""

_SMALL_TABLES = 3
"""Look-up tables of four inputs that choose a multiple and add it, for a bit; one of six does both."""


def digits_of(bits: int) -> int:
    """Return how many digits a multiplier of so many bits has, its sign among them."""
    return -(-bits // DIGIT_BITS)


def digit_cost(target: Target, bits: int) -> int:
    """Return about how many look-up tables a digit of a multiplier takes, of numbers of so many bits."""
    return (1 if target in NAMED_TABLES else _SMALL_TABLES) * (bits + _GUARD)


_MODELS = Path(__file__).parents[1] / "models"

MODELS: Mapping[Target, tuple[Path, ...]] = {
    "xc7": (_MODELS / "look_up_tables.v",),
    "xcup": (_MODELS / "look_up_tables.v",),
    "ice40": (),
    "gowin": (),
    "generic": (),
    "ecp5": (_MODELS / "mult18x18d.v",),
}
"""Simulation models of the blocks that a family's Verilog names."""
