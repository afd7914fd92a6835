"""Weights by name: random ones that keep signals alive, or given ones, checked."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from lowbit.errors import GraphError
from lowbit.zoo.architecture import Architecture, Shape, parameters

Weights = Mapping[str, npt.NDArray[np.float32]]


def weights_of(
    architecture: Architecture, given: Mapping[str, npt.ArrayLike] | None, seed: int
) -> dict[str, npt.NDArray[np.float32]]:
    """Return the given weights as float32 of the right shapes, or random ones when there are none.

    Raises:
        GraphError: a weight is missing or has another shape.
    """
    if given is None:
        return random_weights(architecture, seed)
    arrays = {}
    for name, shape in parameters(architecture).items():
        arrays[name] = np.asarray(given.get(name, ()), np.float32)
        if arrays[name].shape != shape:
            found = f"float32 {arrays[name].shape}" if name in given else "nothing of that name"
            where = f"{architecture.name}/{name}"
            raise GraphError(
                "weights do not fit the network", where=where, expected=f"float32 {shape}", found=found
            )
    return arrays


def random_weights(architecture: Architecture, seed: int = 0) -> dict[str, npt.NDArray[np.float32]]:
    """Return an array for every name of `parameters`; the same seed gives the same numbers.

    Matrices have variance 2 / fan-in (He et al. 2015, eq. 10), and statistics lie near those that such
    layers have, so that signals neither vanish nor grow.
    """
    random = np.random.default_rng(seed)
    return {name: _draw(random, name, shape) for name, shape in parameters(architecture).items()}


def _draw(random: np.random.Generator, name: str, shape: Shape) -> npt.NDArray[np.float32]:
    kind = name.rpartition(".")[2]
    if kind == "weight" and len(shape) > 1:
        values = random.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))
    elif kind in ("weight", "running_var"):
        values = random.uniform(0.5, 1.5, shape)
    else:
        values = random.normal(size=shape) * 0.1
    return np.asarray(values, np.float32)
