"""Which levels are used, and how evenly: of weights, and of what layers pass on.

    entropy = -sum_c p_c log2 p_c        bits, over the codes c of a layer

An encoding of b bits whose codes carry much less than b bits of entropy wastes them; a level that no weight
has is one less to store or to train for.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lowbit.analysis.traces import Samples, trace
from lowbit.analysis.weights import all_weights
from lowbit.calibrate import batches
from lowbit.ir import Graph
from lowbit.schemes import Encoding

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class LevelUse:
    """The codes of one layer's weights, or of one value.

    Attributes:
        name: of the layer, or of the value.
        kind: ``weights`` or ``activations``.
        bits: of a code.
        counts: how many have the level of each rank, lowest level first, over all channels.
        unused: share of levels, channel by channel, that nothing has.
        entropy: bits that a code carries, at most `bits`.
    """

    name: str
    kind: str
    bits: int
    counts: tuple[int, ...]
    unused: float
    entropy: float


def level_use(
    graph: Graph, samples: Samples | None = None, *, backend: str = "reference"
) -> tuple[LevelUse, ...]:
    """Return the use of levels of all coded weights, and with samples of all codes between layers.

    Args:
        graph: a low-bit network; what is float is left out.
        samples: ``[n, ...]``, or None.
        backend: that runs them; only values that it shows are counted.
    """
    found = []
    for weights in all_weights(graph):
        if weights.codes is not None and weights.encoding is not None:
            counts = _ranks_by_channel(weights.codes, weights.encoding)
            found.append(_use(weights.layer, "weights", weights.encoding, counts))
    return (*found, *(() if samples is None else _activations(graph, samples, backend)))


def _activations(graph: Graph, samples: Samples, backend: str) -> list[LevelUse]:
    run = trace(graph, backend)
    counts: dict[str, Counts] = {}
    for batch in batches(samples, graph.value(graph.inputs[0]).shape[0]):
        for name, array in run(batch).items():
            encoding = graph.value(name).encoding
            if encoding is not None:
                codes = array.reshape(1, -1)
                counts[name] = counts.get(name, 0) + _ranks_by_channel(codes, encoding)
    encodings = {name: graph.value(name).encoding for name in counts}
    return [
        _use(name, "activations", encoding, counts[name]) for name, encoding in encodings.items() if encoding
    ]


def _ranks_by_channel(codes: npt.NDArray[np.generic], encoding: Encoding) -> Counts:
    """Return how often each rank occurs in each row of codes, ``[rows, 2**bits]``."""
    size = 1 << encoding.bits
    orders = encoding.code_of_rank()
    rows = [
        np.bincount(row.astype(np.intp), minlength=size)[orders[index % len(orders)]]
        for index, row in enumerate(codes)
    ]
    return np.stack(rows)


def _use(name: str, kind: str, encoding: Encoding, by_channel: Counts) -> LevelUse:
    # One set of levels for all rows is used if any row uses it.
    sets = by_channel if encoding.channels > 1 else by_channel.sum(axis=0, keepdims=True)
    counts = by_channel.sum(axis=0)
    shares = counts[counts > 0] / max(counts.sum(), 1)
    return LevelUse(
        name,
        kind,
        encoding.bits,
        tuple(int(count) for count in counts),
        float((sets == 0).mean()),
        float(-(shares * np.log2(shares)).sum()) + 0.0,
    )
