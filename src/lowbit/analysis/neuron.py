"""The weights of one neuron before quantization, and the levels that it got.

Equalization and restoration give a neuron's weights another scale. For the comparison the levels of learned
bases and powers of two are given the positive factor that brings the coded weights q nearest to the float
weights w:

    g = sum_n w_n q_n / sum_n q_n^2
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lowbit.analysis.weights import all_weights, layer_weights
from lowbit.errors import PlanError
from lowbit.ir import Graph, run_passes
from lowbit.ir.passes import ENGINE_FORM, NORMAL_FORM

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class NeuronLevels:
    """One output of a layer.

    Attributes:
        layer: the layer's name.
        neuron: the output's number.
        scheme: of the encoding.
        bits: of a code.
        weights: before, float64 ``[n]``; after, where there is no network before.
        levels: ascending, distinct.
        counts: how many weights have each level.
        thresholds: midpoints of neighbouring levels.
        factor: by which the levels were multiplied.
    """

    layer: str
    neuron: int
    scheme: str
    bits: int
    weights: Floats
    levels: Floats
    counts: npt.NDArray[np.int64]
    thresholds: Floats
    factor: float


def neuron_levels(after: Graph, layer: str, neuron: int = 0, before: Graph | None = None) -> NeuronLevels:
    """Return a neuron's levels, and its weights before.

    Args:
        after: the low-bit network.
        layer: of it.
        neuron: an output of the layer.
        before: the float network it was made of; None when it is not there.

    Raises:
        PlanError: the layer or the neuron does not exist, or the layer is float.
    """
    coded = layer_weights(after, layer)
    if coded.encoding is None:
        raise PlanError(
            "the layer's weights are float",
            where=layer,
            expected="a layer with codes",
            found="no levels",
        )
    if not 0 <= neuron < len(coded.values):
        raise PlanError(
            "the layer has no such neuron",
            where=layer,
            expected=f"0 to {len(coded.values) - 1}",
            found=str(neuron),
        )
    values = coded.values[neuron].astype(np.float64)
    weights = values if before is None else _row(before, layer, neuron, values)
    above, below = float(weights @ values), float(values @ values)
    rescaled = not coded.encoding.rounds and above > 0
    factor = above / below if rescaled else 1.0
    levels = factor * coded.levels(neuron)
    nearest = np.abs(factor * values[:, None] - levels).argmin(axis=1)
    return NeuronLevels(
        layer,
        neuron,
        coded.encoding.scheme,
        coded.encoding.bits,
        weights,
        levels,
        np.bincount(nearest, minlength=len(levels)),
        (levels[1:] + levels[:-1]) / 2,
        factor,
    )


def _row(before: Graph, layer: str, neuron: int, like: Floats) -> Floats:
    """Return the float weights of the neuron, in whichever form of the network has as many."""
    for passes in (ENGINE_FORM, NORMAL_FORM):
        for weights in all_weights(run_passes(before, passes).graph):
            outputs, inputs = weights.values.shape
            if weights.layer == layer and inputs == len(like) and neuron < outputs:
                return np.asarray(weights.values[neuron], np.float64)
    raise PlanError(
        "the float network has no layer like this",
        where=f"{before.name}/{layer}",
        expected=f"a layer of {len(like)} inputs",
        remedy="Give the network that this one was made of.",
    )
