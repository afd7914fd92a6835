"""What a network has inside for single inputs: hidden codes as pictures, and t-SNE of them.

t-SNE places samples in the plane so that near neighbours stay near (van der Maaten and Hinton, Visualizing
Data using t-SNE, 2008); distances between groups mean little. It comes from scikit-learn.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.analysis.traces import Samples, trace
from lowbit.analysis.weights import unknown_name
from lowbit.calibrate import batches
from lowbit.errors import DataError, MissingExtra
from lowbit.ir import Graph, Trait, has
from lowbit.ir.layers import layers_of


@dataclass(frozen=True, eq=False)
class Hidden:
    """A value of a network for some samples.

    Attributes:
        value: its name.
        bits: of its codes; None for floats.
        reals: what it holds, decoded, float32 ``[n, ...]``.
        labels: classes ``[n]``, or None.
    """

    value: str
    bits: int | None
    reals: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64] | None

    def pictures(self) -> npt.NDArray[np.float32]:
        """Return it as pictures ``[n, rows, columns]``: maps side by side, vectors in blocks."""
        n, *shape = self.reals.shape
        if len(shape) == 3:
            channels, height, width = shape
            down, across = _block(channels)
            tiles = self.reals.reshape(n, down, across, height, width)
            return np.ascontiguousarray(tiles.swapaxes(2, 3)).reshape(n, down * height, across * width)
        rows, columns = _block(int(np.prod(shape))) if len(shape) != 2 else shape
        return self.reals.reshape(n, rows, columns)


@dataclass(frozen=True, eq=False)
class Embedding:
    """Samples in the plane.

    Attributes:
        value: what was embedded.
        points: float64 ``[n, 2]``.
        labels: classes ``[n]``, or None.
        perplexity: how many neighbours count, roughly.
        seed: of the start.
        divergence: what t-SNE minimizes, at the end.
    """

    value: str
    points: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int64] | None
    perplexity: float
    seed: int
    divergence: float


def hidden(
    graph: Graph,
    samples: Samples,
    name: str | None = None,
    *,
    labels: npt.NDArray[np.int64] | None = None,
    backend: str = "reference",
) -> Hidden:
    """Return a value of the network for these samples.

    Args:
        graph: the network.
        samples: ``[n, ...]``, as it takes them.
        name: of a value, or of a node, whose result it then is; when None, what the last layer reads.
        labels: classes, kept beside it.
        backend: see `lowbit.backends.BACKENDS`.

    Raises:
        PlanError: there is no such value or node (near names are listed), or the backend does not show it.
    """
    value, run = _resolved(graph, name), trace(graph, backend)
    parts = []
    for batch in batches(samples, graph.value(graph.inputs[0]).shape[0]):
        values = run(batch)
        if value not in values:
            raise unknown_name(f"value shown by the {backend}", value, sorted(values), graph)
        parts.append(values[value])
    array, encoding = np.concatenate(parts), graph.value(value).encoding
    reals = array if encoding is None else encoding.decode(array)
    return Hidden(value, None if encoding is None else encoding.bits, np.asarray(reals, np.float32), labels)


def tsne(found: Hidden, *, perplexity: float = 30.0, seed: int = 0) -> Embedding:
    """Return a value's samples in the plane; equal arguments give equal points on one machine.

    Raises:
        DataError: fewer samples than the perplexity needs.
        MissingExtra: scikit-learn is not installed.
    """
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise MissingExtra("scikit-learn", "data") from error
    if not 0 < perplexity < len(found.reals):
        raise DataError(
            "t-SNE needs more samples than its perplexity",
            where=found.value,
            expected=f"more than {perplexity:g} samples",
            found=str(len(found.reals)),
            remedy="Give more samples, or a smaller perplexity.",
        )
    model: Any = TSNE(perplexity=perplexity, init="pca", random_state=seed)
    points = model.fit_transform(found.reals.reshape(len(found.reals), -1))
    return Embedding(
        found.value, points.astype(np.float64), found.labels, perplexity, seed, float(model.kl_divergence_)
    )


def _resolved(graph: Graph, name: str | None) -> str:
    """Return the name of the value that is meant."""
    computed = [output for node in graph.nodes for output in node.outputs]
    if name is None:
        return _before_moves(graph, _last_input(graph))
    if name in computed or name in graph.inputs:
        return name
    outputs = {node.name: node.outputs[0] for node in graph.nodes}
    if name not in outputs:
        raise unknown_name("value or node", name, [*outputs, *computed], graph)
    return outputs[name]


def _last_input(graph: Graph) -> str:
    names = [layer.name for layer in layers_of(graph)]
    if not names:
        raise unknown_name("layer with weights", "", [], graph)
    return next(node.inputs[0] for node in graph.nodes if node.name == names[-1])


def _before_moves(graph: Graph, name: str) -> str:
    """Return the value that was only given another shape: a map says more than a vector."""
    maker = graph.producer(name)
    while maker is not None and has(maker, Trait.KEEPS_ORDER):
        name = maker.inputs[0]
        maker = graph.producer(name)
    return name


def _block(elements: int) -> tuple[int, int]:
    """Return the two factors that are nearest to each other, the smaller first."""
    rows = next(rows for rows in range(int(elements**0.5), 0, -1) if elements % rows == 0)
    return rows, elements // rows
