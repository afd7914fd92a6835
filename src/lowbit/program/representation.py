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

PLANE_BITS = 4

# Operators that leave every element of a sample where it is.
MOVES = ("Flatten", "Reshape", "Identity")


def plane_values(graph: Graph, plane_pairs: int) -> frozenset[str]:
    """Return the coded values that lie in planes: those whose every reader takes planes.

    Args:
        graph: verified.
        plane_pairs: up to how many pairs of planes (bits of input times weights) a layer counts bits.
    """
    wanted: dict[str, bool] = {}
    for node in reversed(graph.nodes):  # so that what moves no data can pass on what its readers want
        takes = (
            wanted.get(node.outputs[0], True) if node.op in MOVES else _takes_planes(graph, node, plane_pairs)
        )
        wanted[node.inputs[0]] = wanted.get(node.inputs[0], True) and takes
    return frozenset(name for name, planes in wanted.items() if planes and _fits_planes(graph, name))


def _takes_planes(graph: Graph, node: Node, plane_pairs: int) -> bool:
    if (node.domain, node.op) != ("lowbit", "LQFullyConnected"):
        return node.op == "Decode"
    x, w = (graph.value(name).encoding for name in node.inputs[:2])
    assert x is not None and w is not None  # verified
    return w.bits <= PLANE_BITS and (x.bits * w.bits <= plane_pairs or _has_ties(x))


def _has_ties(encoding: Encoding) -> bool:
    """Return whether two codes have the same level: only planes tell them apart."""
    levels = encoding.integer_levels()[0]
    return len(np.unique(levels)) < len(levels)


def _fits_planes(graph: Graph, name: str) -> bool:
    encoding = graph.value(name).encoding
    return isinstance(encoding, LearnedBasis) and encoding.bits <= PLANE_BITS


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
    return np.asarray(levels - levels.min(), np.uint8)


def lowest_level(encoding: Encoding) -> int:
    """Return the integer level that byte 0 stands for."""
    integers = encoding.integer_levels()[0]
    return int(integers[0] if isinstance(encoding, Affine) else integers.min())
