"""Whole networks by tiles, where there are some or an emulation (scripts/tiles); elsewhere, a refusal."""

import numpy as np
import pytest

from lowbit.engine import Program, kernel_levels
from lowbit.errors import EngineError
from lowbit.ir import Graph
from tests.ir.networks import Convolution, lowbit_convnet, lowbit_mlp

TILES = "amx_int8"
HERE = TILES in kernel_levels()
PAIRS = [(inputs, weights) for inputs in range(1, 5) for weights in range(1, 5)]
needs_tiles = pytest.mark.skipif(not HERE, reason="this machine has no tiles; scripts/tiles emulates them")


@pytest.mark.skipif(HERE, reason="this machine has tiles")
def test_a_level_of_tiles_that_is_asked_for_is_an_error_that_names_it() -> None:
    with pytest.raises(EngineError, match="level") as caught:
        Program(lowbit_mlp((65, 33, 10), 3, 2), kernels=TILES)
    assert f"{TILES}, which needs" in caught.value.found


@needs_tiles
@pytest.mark.parametrize(("inputs", "weights"), PAIRS)
@pytest.mark.parametrize("path", ["", "tiles"])
def test_networks_of_every_pair_give_the_same_numbers(inputs: int, weights: int, path: str) -> None:
    layers = (Convolution(40, kernel=(3, 2), strides=(2, 1)), Convolution(33))
    check(lowbit_mlp((97, 70, 33, 10), inputs, weights, seed=inputs), (97,), path)
    shape = (20, 7, 5)
    check(lowbit_convnet(shape, layers, inputs, weights, seed=weights, classes=5), shape, path)


def check(graph: Graph, shape: tuple[int, ...], path: str) -> None:
    """Compare batches that fill no block, several, and parts of one."""
    tiles = Program(graph, kernels=TILES, path=path)
    plain, threads = Program(graph, kernels="portable"), Program(graph, kernels=TILES, path=path, threads=2)
    assert not path or TILES in {level for _, level, _ in tiles.kernels}
    for rows in (1, 5, 40, 70):
        x = np.random.default_rng(rows).normal(size=(rows, *shape)).astype(np.float32)
        expected = plain.run(x)
        np.testing.assert_array_equal(tiles.run(x), expected)
        np.testing.assert_array_equal(threads.run(x), expected)
