"""Which layer hurts: accuracy with one layer at few bits and all others float.

The layers' losses are not independent, so they do not add up; their order says where bits are worth most.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from lowbit.data import Dataset, NetworkInput
from lowbit.ir import Graph
from lowbit.quantization import Plan, quantize
from lowbit.quantization.shared import layer_form, layer_names
from lowbit.scores import checked_labels, score, top

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class LayerSensitivity:
    """Accuracy with one layer quantized.

    Attributes:
        layer: which.
        bits: of its weights and input.
        top1: accuracy, a fraction.
        drop: what it lost against the float network, a fraction.
    """

    layer: str
    bits: int
    top1: float
    drop: float


def sensitivity(
    graph: Graph,
    calibration: npt.ArrayLike,
    dataset: Dataset,
    *,
    plan: Plan | None = None,
    bits: Sequence[int] = (4, 3, 2, 1),
    layers: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> tuple[LayerSensitivity, ...]:
    """Return accuracies, layer by layer and for each number of bits.

    Args:
        graph: the float network.
        calibration: unlabelled samples ``[n, ...]``, as the network takes them.
        dataset: labelled samples to measure on.
        plan: scheme and method; its own bits and layers are not used.
        bits: what to try.
        layers: which layers; all when None.
        progress: called with what is done, what there is, and the next layer's name.

    Raises:
        PlanError: a layer does not exist (near names are listed), or bits that the scheme does not have.
        DataError: the data has no labels, or labels that are no classes of the network.
    """
    names = layer_names(layer_form(graph))
    chosen = list(names if layers is None else layers)
    Plan(layers={name: {} for name in chosen}).resolved(names)
    fitted = dataset.fit_to(NetworkInput.of(graph))
    before = _top1(graph, fitted)
    jobs = [(name, count) for name in chosen for count in bits]
    found = []
    for done, (name, count) in enumerate(jobs):
        if progress:
            progress(done, len(jobs), name)
        low, _ = quantize(graph, calibration, _alone(plan or Plan(), name, count, names))
        top1 = _top1(low, fitted)
        found.append(LayerSensitivity(name, count, top1, before - top1))
    return tuple(found)


def _alone(plan: Plan, layer: str, bits: int, names: list[str]) -> Plan:
    """Return the plan with one layer at these bits and the others float."""
    others: dict[str, dict[str, Any]] = {name: {"scheme": "float"} for name in names if name != layer}
    return plan.adjusted(scheme=plan.scheme, bits=bits, layers=others)


def _top1(graph: Graph, dataset: Dataset) -> float:
    labels = checked_labels(dataset, graph)
    return float(top(score(graph, dataset.samples).values, labels, 1).mean())
