"""A few samples of a network: of data, or random ones where there is none."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit import api
from lowbit.data import Dataset, Normalize
from lowbit.data.dataset import Choose
from lowbit.ir import Graph
from lowbit.ir.graph import DTYPES, Array

Data = str | npt.ArrayLike | Dataset | Mapping[str, npt.ArrayLike] | None

RANDOM = "random pixels"

_PIXELS = 256


def samples_of(
    graph: Graph,
    data: Data,
    count: int,
    split: str = "test",
    normalize: Normalize = None,
    scale: float | None = None,
    choose: Choose | None = None,
) -> dict[str, Array]:
    """Return at most so many samples, an array for each input.

    Args:
        graph: the network.
        data, split, normalize, scale: as of `lowbit.api.load_inputs`; without data, random pixels from a
            fixed seed.
        count: how many.
        choose: which of those that there are; the first ones when None.

    Raises:
        DataError: samples do not fit.
    """
    if data is None:
        given = api.load_inputs(graph, _random(graph, count), split, normalize)
    else:
        given = api.load_inputs(graph, data, split, normalize, scale, choose=choose)
    return {name: np.asarray(array[:count]) for name, array in given.arrays.items()}


def scattered(count: int, seed: int = 0) -> Choose:
    """Return what chooses so many samples from all over, since files may be sorted by class."""

    def choose(there: int) -> npt.NDArray[np.intp]:
        return np.sort(np.random.default_rng(seed).permutation(there)[:count])

    return choose


def _random(graph: Graph, count: int) -> Any:
    """Return bytes for one input of reals, normalized as its file remembers; else small integers."""
    random = np.random.default_rng(0)
    made = {}
    for name in graph.inputs:
        value = graph.value(name)
        lengths = [length if isinstance(length, int) else 1 for length in value.shape]
        shape = [count, *lengths[1:]]
        if value.dtype == "float32":
            made[name] = random.integers(0, _PIXELS, shape).astype(np.uint8)
        else:
            made[name] = random.integers(0, 2, shape).astype(DTYPES[value.dtype])
    if len(made) == 1:
        return next(iter(made.values()))
    return {
        name: array.astype(np.float32) / (_PIXELS - 1) if array.dtype == np.uint8 else array
        for name, array in made.items()
    }
