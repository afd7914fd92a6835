"""Places in a static arena: values that live at the same time do not overlap, but for maps made of maps.

A layer makes a map row by row and is done with what it reads row by row. So its result may begin a distance
below its source and grow into it: the smallest distance at which no row is written over that is still read.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lowbit.ir.window import Axis

ALIGNMENT = 4


@dataclass(frozen=True)
class Block:
    """What needs memory from one statement to another.

    Attributes:
        name: what it is called.
        nbytes: its size.
        first, last: statements, both included.
        over: the name of the block that its first statement is the last to read, which it may grow into.
        distance: bytes that it has to begin below that block.
    """

    name: str
    nbytes: int
    first: int
    last: int
    over: str = ""
    distance: int = 0


def distance_of(rows: Axis, source: int, result: int) -> int:
    """Return how far below its source a map may begin that is made row by row of windows on rows.

    Args:
        rows: the windows.
        source, result: bytes of a row of both.
    """
    return max(
        (row + 1) * result - max(row * rows.stride - rows.before, 0) * source for row in range(rows.outputs)
    )


def placed(blocks: Iterable[Block]) -> tuple[dict[str, int], int]:
    """Return the place of each block, and the bytes of all: of several orders the one that takes least.

    Each block lies as low as it can: the largest first; or the last that is made, so that results lie below
    what they are made of, with what one statement alone uses in the gaps.
    """
    given = list(blocks)
    orders = (
        sorted(given, key=lambda each: (-each.nbytes, each.first)),
        sorted(given, key=lambda each: (-each.first, -each.nbytes)),
        sorted(given, key=lambda each: (each.first == each.last, -each.first, -each.nbytes)),
    )
    return min((_placed(order) for order in orders), key=lambda found: found[1])


def _placed(order: Sequence[Block]) -> tuple[dict[str, int], int]:
    done: list[tuple[Block, int]] = []
    for block in order:
        beside = [
            (_below(block, other), at, at + _below(other, block))
            for other, at in done
            if other.first <= block.last and block.first <= other.last
        ]
        free = (
            place
            for place in sorted({0, *(end for _, _, end in beside)})
            if all(place + length <= begin or place >= end for length, begin, end in beside)
        )
        done.append((block, next(free)))
    total = max((at + _rounded(block.nbytes) for block, at in done), default=0)
    return {block.name: at for block, at in done}, total


def _below(block: Block, other: Block) -> int:
    """Return how far below another a block has to begin that lies below it."""
    return _rounded(min(block.distance, block.nbytes) if block.over == other.name else block.nbytes)


def _rounded(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT
