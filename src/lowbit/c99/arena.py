"""Places in a static arena: values that live at the same time do not overlap."""

from collections.abc import Iterable
from dataclasses import dataclass

ALIGNMENT = 4


@dataclass(frozen=True)
class Block:
    """What needs memory from one statement to another.

    Attributes:
        name: what it is called.
        nbytes: its size.
        first, last: statements, both included.
    """

    name: str
    nbytes: int
    first: int
    last: int


def placed(blocks: Iterable[Block]) -> tuple[dict[str, int], int]:
    """Return the place of each block, and the bytes of all: the largest first, each as low as it can lie."""
    done: list[tuple[Block, int]] = []
    for block in sorted(blocks, key=lambda each: (-each.nbytes, each.first)):
        beside = sorted(
            (at, at + _rounded(other.nbytes))
            for other, at in done
            if other.first <= block.last and block.first <= other.last
        )
        place = 0
        for begin, end in beside:
            if place + block.nbytes <= begin:
                break
            place = max(place, end)
        done.append((block, place))
    total = max((at + _rounded(block.nbytes) for block, at in done), default=0)
    return {block.name: at for block, at in done}, total


def _rounded(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT
