"""What each layer loses at each setting: the network's output, with this layer low-bit and all others float.

    delta(l, s) = y(network with layer l at setting s) - y(float network)
    error       = sum delta^2 / sum (y - mean y)^2

A plan's error is the sum of its layers', and classes are counted in y + sum over layers of ± delta(l, s_l),
with signs by chance: errors of different layers are taken to have nothing to do with each other. It is what
`lowbit.analysis.sensitivity` measures with labels and many samples, from a few that have none.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lowbit.forecast.outline import SAMPLES, Samples, outline
from lowbit.forecast.settings import Setting
from lowbit.ir import Graph
from lowbit.plan import Plan
from lowbit.scores import score

Progress = Callable[[int, int, str], None]
Key = tuple[str, Setting]

_DRAWS = 16

_LARGEST = 1 << 24
"""Outputs of all samples beyond which only powers are kept, not the differences themselves."""


@dataclass(frozen=True)
class Risks:
    """Outputs of the float network, and what single layers change in them.

    Attributes:
        layers: names, in order.
        settings: that were tried.
        outputs: of the float network ``[n, ...]``.
        errors: by layer and setting, relative to the outputs' variance.
        deltas: differences ``[n, ...]`` by layer and setting; empty where outputs are too many to keep.
        samples: how many measured.
    """

    layers: tuple[str, ...]
    settings: tuple[Setting, ...]
    outputs: npt.NDArray[np.float32]
    errors: Mapping[Key, float]
    deltas: Mapping[Key, npt.NDArray[np.float32]]
    samples: int

    def error(self, chosen: Mapping[str, Setting]) -> float:
        """Return the expected error of the output with a setting for each layer, relative to its variance."""
        return sum(self.errors[key] for key in chosen.items())

    def agreement(self, chosen: Mapping[str, Setting]) -> float | None:
        """Return the expected share of samples that keep their class; None where there are no classes."""
        if not self.deltas or self.outputs.ndim < 2 or self.outputs.shape[1] < 2:
            return None
        random, right = np.random.default_rng(0), self.outputs.argmax(axis=1)
        shape = len(self.outputs), *[1] * (self.outputs.ndim - 1)
        kept = 0.0
        for _ in range(_DRAWS):
            signs = (random.choice([-1, 1], shape) for _ in chosen)
            changes = (sign * self.deltas[key] for sign, key in zip(signs, chosen.items(), strict=True))
            kept += float(((self.outputs + sum(changes)).argmax(axis=1) == right).mean())
        return kept / _DRAWS


def risks(
    graph: Graph,
    layers: Sequence[str],
    settings: Sequence[Setting],
    plan: Plan,
    samples: Samples,
    progress: Progress | None = None,
) -> Risks:
    """Return what each layer loses at each setting.

    Args:
        graph: the float network.
        layers: names of those that are quantized.
        settings: to try.
        plan: everything but bits.
        samples: by input; quick fits see the first ones, the others measure (all of a single one).
        progress: called with what is done, what there is, and the next layer's name.
    """
    count = len(next(iter(samples.values())))
    fitted = min(SAMPLES, -(-count // 2))
    few = {name: array[:fitted] for name, array in samples.items()}
    others = {name: array[fitted:] if count > fitted else array for name, array in samples.items()}
    outputs = np.asarray(score(graph, others).values, np.float32)
    kept = outputs.size * len(layers) * len(settings) <= _LARGEST
    errors: dict[Key, float] = {}
    deltas: dict[Key, npt.NDArray[np.float32]] = {}
    jobs = [(layer, setting) for layer in layers for setting in settings]
    for done, (layer, setting) in enumerate(jobs):
        if progress:
            progress(done, len(jobs), layer)
        low = outline(graph, alone(plan, layer, setting, layers), few)
        delta = np.asarray(score(low, others).values, np.float32).reshape(outputs.shape) - outputs
        errors[layer, setting] = _error(outputs, delta)
        if kept:
            deltas[layer, setting] = delta
    measured = len(next(iter(others.values())))
    return Risks(tuple(layers), tuple(settings), outputs, errors, deltas, measured)


def alone(plan: Plan, layer: str, setting: Setting, layers: Sequence[str]) -> Plan:
    """Return the plan with one layer at a setting and all others float, as they are."""
    kept = {"weights": "float", "activations": "float", "method": "rtn"}
    others = {name: kept for name in layers if name != layer}
    return plan.adjusted(**setting.table, layers={**others, layer: setting.table})


def _error(outputs: npt.NDArray[np.float32], delta: npt.NDArray[np.float32] | int) -> float:
    exact = outputs.astype(np.float64)
    spread = float(((exact - exact.mean(axis=0)) ** 2).sum()) or float((exact**2).sum()) or 1.0
    return float((np.asarray(delta, np.float64) ** 2).sum()) / spread
