"""What runs a graph, as a function from samples to every value that it shows, by name."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from lowbit.backends import backend_of
from lowbit.ir import Graph
from lowbit.ir.graph import Array
from lowbit.schemes import Encoding

Samples = npt.NDArray[np.float32]
Values = dict[str, Array]
Trace = Callable[[Samples], Values]


def trace(graph: Graph, backend: str = "reference") -> Trace:
    """Return what runs a graph and gives its values.

    Args:
        graph: verified, with one input.
        backend: a key of `lowbit.backends.BACKENDS`.

    Raises:
        PlanError: an unknown backend.
        LowbitError: the backend does not run this graph.
        MissingExtra: the backend is not installed.
    """
    return backend_of(backend).load(graph).trace


def by_level(codes: Array, encoding: Encoding | None) -> Array:
    """Return codes such that equal ones have equal levels: of codes that share a level, the least.

    A basis may reach a level in two ways (2, 3, 7, 8: 3 + 7 - 2 - 8 = 2 + 8 - 3 - 7), and nothing behind it
    can tell them apart. What has no encoding, or one per channel, stays as it is.
    """
    if encoding is None or encoding.channels > 1 or codes.dtype.kind not in "ui":
        return codes
    _, first, same = np.unique(encoding.levels()[0], return_index=True, return_inverse=True)
    return np.asarray(first[same][codes.astype(np.intp)], codes.dtype)
