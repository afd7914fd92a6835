"""Calibrated layers that learn on: which do, by which method, and what stands in the way.

What learns (`lowbit.reconstruction`) needs torch, and is imported when a plan asks for it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lowbit.errors import PlanError
from lowbit.ir import Graph, Node
from lowbit.quantization.plan import Plan

Samples = Mapping[str, npt.NDArray[np.generic]]


class Learner(Protocol):
    """What lets calibrated layers learn on; see `lowbit.reconstruction.learn`."""

    @property
    def steps(self) -> tuple[str, ...]:
        """What it does, one after another."""

    def seconds(self) -> float:
        """Return about how long all of it takes on one processor."""

    def done(self, done: Sequence[str]) -> list[str]:
        """Return the steps among what is done with."""

    def learn(
        self, network: Graph, low: Graph, after: str, done: list[str], say: Callable[[str], None]
    ) -> Iterator[str]:
        """Let the layers of `low` learn that may behind a layer, in place; yield the steps that are done."""


def learner_of(
    network: Graph, layers: Mapping[str, Sequence[Node]], plan: Plan, samples: Samples
) -> Learner | None:
    """Return what lets layers learn on as a plan says; None where none is to.

    Args:
        network: the float one, in the form that is calibrated.
        layers: that are quantized, by name, with those that share their weights.
        plan: of every layer.
        samples: that they learn from.

    Raises:
        MissingExtra: it needs torch.
        PlanError: layers are to learn by different methods, or have a scheme that nothing learns.
        TooLargeError: what is held of the samples takes more memory than `lowbit.budget` allows.
        UnsupportedError: the network has operators that have no gradient here; all are named.
    """
    plans = {name: plan.for_layer(name) for name in layers}
    methods = {name: found.method for name, found in plans.items() if found.learns}
    if not methods:
        return None
    if len(set(methods.values())) > 1:
        found = "; ".join(f"{method}: {_first(methods, method)}" for method in sorted(set(methods.values())))
        raise PlanError("layers are to learn by different methods", expected="one", found=found)
    made: Any = import_module("lowbit.reconstruction")
    each = {node.name: plans[name] for name, team in layers.items() for node in team}
    teams = [[node.name for node in team] for team in layers.values()]
    learner: Learner = made.Learner(network, each, teams, samples)
    return learner


def _first(methods: Mapping[str, str], method: str) -> str:
    return ", ".join([name for name, found in methods.items() if found == method][:4])
