"""What memories take, in blocks of 18 Kbit or in look-up tables, and which of the two a memory becomes.

A block RAM of 7-series has one of the shapes below; a look-up table of six inputs holds 64 bits.
"""

from math import ceil

LUT_DEPTH = 64
SHALLOW = 128
"""Memories of at most so many words become look-up tables: they would fill less than a quarter of a block."""

_SHAPES = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))
_FEW_BITS = 2048


def is_shallow(depth: int, width: int) -> bool:
    """Return whether a read-only memory becomes look-up tables."""
    return depth <= SHALLOW or depth * width <= _FEW_BITS


def blocks(depth: int, width: int) -> int:
    """Return how many blocks of 18 Kbit a memory takes."""
    return min(ceil(depth / words) * ceil(width / bits) for words, bits in _SHAPES)


def tables(depth: int, width: int) -> int:
    """Return how many look-up tables a read-only memory takes."""
    return width * ceil(depth / LUT_DEPTH) if depth > 1 else 0
