"""How codes lie in memory between steps: as bit planes, or as bytes.

Planes hold the bits of codes. A byte holds the integer level less the lowest one (learned basis), so
that int8 dot products sum levels directly, or the code itself (affine).
"""

import numpy as np
import numpy.typing as npt

from lowbit.errors import EngineError
from lowbit.ir import Graph, Node
from lowbit.schemes import Affine, Encoding, LearnedBasis

Bytes = npt.NDArray[np.uint8]

POPCOUNT_BITS = 4


def runs_on_planes(graph: Graph, node: Node) -> bool:
    """Return whether a layer is run by popcount: at most four planes on both sides."""
    if (node.domain, node.op) != ("lowbit", "LQFullyConnected"):
        return False
    encodings = [graph.value(name).encoding for name in node.inputs[:2]]
    return all(isinstance(e, LearnedBasis) and e.bits <= POPCOUNT_BITS for e in encodings)


def lies_in_planes(graph: Graph, name: str) -> bool:
    """Return whether a coded value lies in planes: when every reader is run by popcount."""
    readers = graph.consumers(name)
    return bool(readers) and all(runs_on_planes(graph, node) for node in readers)


def byte_of_code(encoding: Encoding, where: str) -> Bytes:
    """Return the byte of every code, uint8 ``[2**bits]``.

    Raises:
        EngineError: the levels do not fit a byte.
    """
    if isinstance(encoding, Affine):
        return np.arange(1 << encoding.bits, dtype=np.uint8)
    levels = encoding.integer_levels()[0]
    span = int(levels.max()) - int(levels.min())
    if span > 255:
        raise EngineError(
            "integer levels do not fit a byte",
            where=where,
            expected="a span of at most 255",
            found=str(span),
            remedy="Use fewer bits, or run it with the reference evaluator.",
        )
    return (levels - levels.min()).astype(np.uint8)


def lowest_level(encoding: Encoding) -> int:
    """Return the integer level that byte 0 stands for."""
    integers = encoding.integer_levels()[0]
    return int(integers[0] if isinstance(encoding, Affine) else integers.min())
