"""What runs a graph, as a function from arrays to every value that it shows, by name."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from lowbit.backends import backend_of
from lowbit.calibrate import batch_slices
from lowbit.errors import DataError
from lowbit.ir import Graph
from lowbit.ir.graph import Array
from lowbit.schemes import Encoding

Samples = npt.NDArray[np.float32]
SeveralSamples = Samples | Sequence[Array] | Mapping[str, Array]
"""Of one input the array, or an array for each, in the order of the graph or by name."""
Values = dict[str, Array]
Trace = Callable[..., Values]
"""Takes an array for each input, in the order of the graph."""


def trace(graph: Graph, backend: str = "reference") -> Trace:
    """Return what runs a graph and gives its values.

    Args:
        graph: verified.
        backend: a key of `lowbit.backends.BACKENDS`.

    Raises:
        PlanError: an unknown backend.
        LowbitError: the backend does not run this graph.
        MissingExtra: the backend is not installed.
    """
    return backend_of(backend).load(graph).trace


def arrays_of(graph: Graph, samples: SeveralSamples) -> list[Array]:
    """Return an array for each input.

    Raises:
        DataError: there are others, or one is missing.
    """
    if isinstance(samples, np.ndarray):
        samples = [samples]
    elif isinstance(samples, Mapping):
        samples = [samples[name] for name in graph.inputs if name in samples]
    if len(samples) != len(graph.inputs) or not all(np.ndim(array) for array in samples):
        expected = f"an array for each input: {', '.join(graph.inputs)}"
        raise DataError("these are not the samples of the network", where=graph.name, expected=expected)
    return [np.asarray(array) for array in samples]


def batches_of(graph: Graph, arrays: list[Array]) -> Iterator[tuple[int, list[Array]]]:
    """Yield where a batch begins, and the batch; all at once where inputs have no batch in common."""
    lengths = {graph.value(name).shape[:1] for name in graph.inputs}
    if len(lengths) > 1 or len({len(array) for array in arrays}) > 1:
        yield 0, arrays
        return
    ((first,),) = lengths
    for part in batch_slices(len(arrays[0]), first):
        yield part.start, [array[part] for array in arrays]


def by_level(codes: Array, encoding: Encoding | None) -> Array:
    """Return codes such that equal ones have equal levels: of codes that share a level, the least.

    A basis may reach a level in two ways (2, 3, 7, 8: 3 + 7 - 2 - 8 = 2 + 8 - 3 - 7), and nothing behind it
    can tell them apart. What has no encoding, or one per channel, stays as it is.
    """
    if encoding is None or encoding.channels > 1 or codes.dtype.kind not in "ui":
        return codes
    _, first, same = np.unique(encoding.levels()[0], return_index=True, return_inverse=True)
    return np.asarray(first[same][codes.astype(np.intp)], codes.dtype)
