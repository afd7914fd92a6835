"""Places in the arena: nothing that is still read is written over, also where a map grows into its source."""

import numpy as np
import pytest

from lowbit.c99.arena import ALIGNMENT, Block, distance_of, placed
from lowbit.ir.window import Axis


@pytest.mark.parametrize("seed", range(40))
def test_a_map_that_grows_into_its_source_spares_rows_that_are_read(seed: int) -> None:
    random = np.random.default_rng(seed)
    kernel, stride, before = (
        int(random.integers(1, 5)),
        int(random.integers(1, 4)),
        int(random.integers(0, 3)),
    )
    extent = int(random.integers(kernel, 12))
    rows = Axis(extent, kernel, stride, min(before, kernel - 1))
    source, result = int(random.integers(1, 40)), int(random.integers(1, 40))
    distance = distance_of(rows, source, result)

    def spares(distance: int) -> bool:
        written = 0
        for row in range(rows.outputs):
            written = (row + 1) * result - distance  # ends here, from where the source begins
            if written > max(row * stride - rows.before, 0) * source:
                return False
        return True

    assert spares(distance) and not spares(distance - 1)


@pytest.mark.parametrize("seed", range(20))
def test_blocks_that_live_together_lie_apart(seed: int) -> None:
    random = np.random.default_rng(seed)
    blocks = []
    for index in range(int(random.integers(2, 12))):
        over = f"v{index - 1}" if index and random.random() < 0.7 else ""
        last = index + 1 if random.random() < 0.7 else index + int(random.integers(1, 4))
        distance = int(random.integers(0, 60))
        blocks.append(Block(f"v{index}", int(random.integers(1, 300)), index, last, over, distance))
        if random.random() < 0.5:
            blocks.append(Block(f"s{index}", int(random.integers(1, 50)), index, index))
    blocks = [
        block
        if not block.over or _of(blocks, block.over).last == block.first
        else Block(block.name, block.nbytes, block.first, block.last)
        for block in blocks
    ]
    places, total = placed(blocks)
    for block in blocks:
        assert places[block.name] % ALIGNMENT == 0 and places[block.name] + block.nbytes <= total
        for other in blocks:
            if block is other or other.first > block.last or block.first > other.last:
                continue
            mine, theirs = places[block.name], places[other.name]
            apart = mine + block.nbytes <= theirs or theirs + other.nbytes <= mine
            grows = block.over == other.name and mine + min(block.distance, block.nbytes) <= theirs
            grown = other.over == block.name and theirs + min(other.distance, other.nbytes) <= mine
            assert apart or grows or grown, (block, other)


def _of(blocks: list[Block], name: str) -> Block:
    return next(block for block in blocks if block.name == name)


def test_a_chain_of_maps_takes_less_than_its_two_largest() -> None:
    chain = [
        Block("a", 1728, 0, 1),
        Block("b", 800, 1, 2, "a", 160),
        Block("c", 432, 2, 3, "b", 144),
        Block("patch", 108, 1, 1),
    ]
    assert placed(chain)[1] <= 2048 < 1728 + 800
