"""Networks whose trained weights come with lowbit, to try everything on at once."""

from pathlib import Path

import numpy as np

from lowbit.errors import PlanError
from lowbit.ir import Graph
from lowbit.zoo.float_graph import float_graph
from lowbit.zoo.networks import network

TRAINED = ("digits",)
"""Names of trained networks: ``digits``, on the training split of the digits, by recipes/zoo_digits.py."""


def trained(name: str) -> Graph:
    """Return a float network of the zoo with its trained weights.

    Raises:
        PlanError: no such network is trained.
    """
    if name not in TRAINED:
        expected = " or ".join(TRAINED)
        remedy = "Train it: lowbit train."
        raise PlanError("no such trained network", expected=expected, found=repr(name), remedy=remedy)
    with np.load(Path(__file__).with_name(f"{name}.npz"), allow_pickle=False) as weights:
        return float_graph(network(name), dict(weights))
