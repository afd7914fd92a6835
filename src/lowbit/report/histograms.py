"""Levels over what they stand for: the weights of one neuron of every layer, and the values between layers.

Where the float network is given, its weights and values are the histogram behind the levels. Equalization and
training give other scales, hence factors: the levels of a neuron have one (`lowbit.analysis.neuron_levels`),
float values have one for each channel, which brings them nearest to the coded ones.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lowbit.analysis import LevelUse, all_weights, level_use, neuron_levels, trace
from lowbit.analysis.layer_error import plain_name
from lowbit.analysis.weights import LayerWeights
from lowbit.errors import PlanError
from lowbit.ir import Graph, run_passes
from lowbit.ir.passes import ENGINE_FORM
from lowbit.schemes import Encoding

Floats = npt.NDArray[np.floating]

MOST_LEVELS = 64
"""Encodings of more are drawn as a histogram alone."""

_BINS = 48
_BEYOND = 1.5  # times the levels' span: values further out are not drawn, so that the levels are seen


@dataclass(frozen=True, eq=False)
class LevelPicture:
    """One drawing.

    Attributes:
        use: the layer or value, and how its levels are used.
        neuron: whose weights these are, and
        neurons: how many there are; None for values.
        counts, edges: histogram of the float network, or of what codes stand for; empty without either.
        levels: ascending; empty where there are too many.
        thresholds: between them.
        shares: of codes that have each level; for weights, of this neuron.
        factor: of the levels of weights, or of the float values.
    """

    use: LevelUse
    neuron: int | None
    neurons: int | None
    counts: Floats
    edges: Floats
    levels: Floats
    thresholds: Floats
    shares: Floats
    factor: float


def level_pictures(
    graph: Graph, origin: Graph | None, samples: Floats, backend: str = "reference"
) -> tuple[LevelPicture, ...]:
    """Return a picture of every coded layer, then of every value that is encoded.

    Args:
        graph: the low-bit network.
        origin: the float one, or None.
        samples: to find values with.
        backend: that runs the low-bit network; only values that it shows are drawn.
    """
    batch = np.asarray(samples, np.float32)
    uses = level_use(graph, batch, backend=backend)
    weights = {each.layer: each for each in all_weights(graph)}
    drawn = [_of_weights(graph, origin, weights[use.name], use) for use in uses if use.kind == "weights"]
    encoded = _encoded(graph)
    values = [use for use in uses if use.kind == "activations" and use.name in encoded]
    return (*drawn, *_of_values(graph, origin, batch, values, backend))


def _encoded(graph: Graph) -> set[str]:
    """Return the values that a node encodes, rather than passing on codes that it reads, as pools do."""
    found: set[str] = set()
    for node in graph.nodes:
        read = [graph.value(name) for name in node.inputs if name]
        moves = all(value.data is None or value.dtype == "int64" for value in read)  # a shape, an axis
        if not moves or all(value.encoding is None for value in read):
            found.update(node.outputs)
    return found


def _of_weights(graph: Graph, origin: Graph | None, weights: LayerWeights, use: LevelUse) -> LevelPicture:
    """Return the picture of the neuron whose weights are neither the largest nor the smallest."""
    sizes = (weights.values.astype(np.float64) ** 2).sum(axis=1)
    neuron = int(np.argsort(sizes, kind="stable")[len(sizes) // 2])
    try:
        found = neuron_levels(graph, weights.layer, neuron, origin)
    except PlanError:  # the float network has no such layer
        found = neuron_levels(graph, weights.layer, neuron)
    few = len(found.levels) <= MOST_LEVELS and use.bits < MOST_LEVELS.bit_length()
    levels = found.levels if few else np.zeros(0)
    known = origin is not None or not few
    counts = found.counts / max(found.counts.sum(), 1)
    return LevelPicture(
        use,
        neuron,
        len(sizes),
        *_histogram(found.weights if known else np.zeros(0), levels),
        levels,
        found.thresholds if few else np.zeros(0),
        counts if few else np.zeros(0),
        found.factor,
    )


def _of_values(
    graph: Graph, origin: Graph | None, batch: npt.NDArray[np.float32], uses: list[LevelUse], backend: str
) -> list[LevelPicture]:
    if not uses:
        return []
    coded, floats = trace(graph, backend)(batch), _float_values(graph, origin, batch)
    return [
        _of_value(
            use, graph.value(use.name).encoding, np.asarray(coded[use.name]), floats.get(plain_name(use.name))
        )
        for use in uses
    ]


def _of_value(
    use: LevelUse, encoding: Encoding | None, codes: npt.NDArray[np.generic], exact: Floats | None
) -> LevelPicture:
    assert encoding is not None
    few = use.bits < MOST_LEVELS.bit_length()
    levels = encoding.levels()[0][encoding.code_of_rank()[0]] if few else np.zeros(0)
    mass, factor = (np.zeros(0) if few else encoding.decode(codes).ravel()), 1.0
    if exact is not None and exact.size == codes.size:
        mass, factor = _by_channel(exact, encoding, codes.reshape(exact.shape))
    if few:
        span = _BEYOND * float(np.ptp(levels))
        mass = mass[(mass >= levels[0] - span) & (mass <= levels[-1] + span)]
    shares = np.asarray(use.counts, np.float64) / max(sum(use.counts), 1)
    thresholds = encoding.thresholds()[0] if few else np.zeros(0)
    drawn = levels, thresholds, shares if few else np.zeros(0)
    return LevelPicture(use, None, None, *_histogram(mass, levels), *drawn, factor)


def _float_values(graph: Graph, origin: Graph | None, batch: npt.NDArray[np.float32]) -> dict[str, Floats]:
    """Return the float network's values, in the form that shares most of their names."""
    if origin is None:
        return {}
    wanted = {plain_name(name) for node in graph.nodes for name in node.outputs}
    forms = origin, run_passes(origin, ENGINE_FORM).graph
    values = trace(max(forms, key=lambda form: len(wanted & form.values.keys())))(batch)
    return {name: np.asarray(array) for name, array in values.items() if array.dtype.kind == "f"}


def _by_channel(exact: Floats, encoding: Encoding, codes: npt.NDArray[np.generic]) -> tuple[Floats, float]:
    """Return float values by the factor of each channel, and the median factor."""
    if encoding.rounds or exact.ndim < 2:
        return exact.ravel(), 1.0
    y, x = encoding.decode(codes).astype(np.float64), exact.astype(np.float64)
    axes = tuple(axis for axis in range(x.ndim) if axis != 1)
    both, own = (x * y).sum(axis=axes, keepdims=True), (y * y).sum(axis=axes, keepdims=True)
    factor = np.where((both > 0) & (own > 0), own / np.where(both > 0, both, 1), 1.0)
    return (x * factor).ravel(), float(np.median(factor))


def _histogram(values: Floats, levels: Floats) -> tuple[Floats, Floats]:
    """Return counts and edges; the outermost thousandth of values is left out so that the rest is seen."""
    if not values.size:
        return np.zeros(0), np.zeros(0)
    low, high = (float(end) for end in np.quantile(values, [0.0005, 0.9995]))
    if len(levels):
        low, high = min(low, float(levels[0])), max(high, float(levels[-1]))
    bins = int(min(_BINS, max(8, 2 * values.size**0.5)))
    counts, edges = np.histogram(values, bins, (low, high))
    return counts.astype(np.float64), edges
