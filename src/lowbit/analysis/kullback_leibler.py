"""Kullback-Leibler divergence of a network's weights before and after quantization.

    KL(p || q) = sum_x p(x) log(p(x) / q(x))        natural logarithm

p and q are shares per bin of one histogram: equal bins from the smallest to the largest weight before; what
lies outside is counted in the end bins; a floor is added to every share, and both are scaled to sum to one.

It is a diagnostic, not a measure of accuracy: where the levels are wider apart than the bins, bins between
levels are empty and the divergence jumps, whatever the network makes of it.

Source: Vashkevich and Krivalcevich, the analysis of LST-1's weights (2025), which does not state its bins.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lowbit.analysis.weights import all_weights
from lowbit.errors import DataError
from lowbit.ir import Graph, run_passes
from lowbit.ir.passes import NORMAL_FORM

BINS, FLOOR = 64, 1e-3

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class WeightDivergence:
    """The divergence of one layer, or of all layers together.

    Attributes:
        layer: its name; empty for all together.
        divergence: KL(before || after), not negative.
        bins: of the histogram.
        low, high: its ends.
    """

    layer: str
    divergence: float
    bins: int
    low: float
    high: float


def weight_divergence(before: Graph, after: Graph, bins: int = BINS) -> tuple[WeightDivergence, ...]:
    """Return the divergence of all weights together, then of every layer that both networks have.

    Args:
        before: the float network; batch normalization is folded into the layers first.
        after: the same network quantized. Equalized channels have other scales and count as divergence.
        bins: of each histogram.

    Raises:
        DataError: the networks have no layer in common.
    """
    pairs = _common(before, after)
    every = {"": _together(pairs), **pairs}
    return tuple(_row(name, *pair, bins) for name, pair in every.items())


@dataclass(frozen=True)
class WeightDistribution:
    """Histograms of all weights of a network before and after.

    Attributes:
        edges: of the bins, one more than there are bins.
        before, after: weights in each bin; what lies outside is counted in the end bins.
        divergence: KL(before || after), not negative.
    """

    edges: Floats
    before: Counts
    after: Counts
    divergence: float


def weight_distribution(before: Graph, after: Graph, bins: int = BINS) -> WeightDistribution:
    """Return the histograms of all weights together; arguments and errors: as of `weight_divergence`."""
    return _distribution(*_together(_common(before, after)), bins)


def divergence(p: npt.ArrayLike, q: npt.ArrayLike, floor: float = FLOOR) -> float:
    """Return KL(p || q) of two histograms' counts, a floor added to every share."""
    shares = [np.asarray(counts, np.float64) / max(np.sum(counts), 1) + floor for counts in (p, q)]
    one, other = (share / share.sum() for share in shares)
    return float((one * np.log(one / other)).sum())


def _common(before: Graph, after: Graph) -> dict[str, tuple[Floats, Floats]]:
    """Return the weights of every layer that both networks have."""
    folded = run_passes(before, NORMAL_FORM).graph
    found = {weights.layer: weights.values.astype(np.float64) for weights in all_weights(after)}
    pairs = {
        weights.layer: (weights.values.astype(np.float64), found[weights.layer])
        for weights in all_weights(folded)
        if weights.layer in found
    }
    if not pairs:
        raise DataError("the networks have no layer of the same name", where=f"{before.name}, {after.name}")
    return pairs


def _together(pairs: Mapping[str, tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    one, other = (np.concatenate([np.ravel(pair[side]) for pair in pairs.values()]) for side in (0, 1))
    return one, other


def _distribution(before: Floats, after: Floats, bins: int) -> WeightDistribution:
    low, high = float(before.min()), float(before.max())
    edges = np.linspace(low, high, bins + 1)
    p, q = (np.histogram(values.clip(low, high), edges)[0] for values in (before, after))
    return WeightDistribution(edges, p, q, divergence(p, q))


def _row(name: str, before: Floats, after: Floats, bins: int) -> WeightDivergence:
    found = _distribution(before, after, bins)
    return WeightDivergence(name, found.divergence, bins, float(found.edges[0]), float(found.edges[-1]))
