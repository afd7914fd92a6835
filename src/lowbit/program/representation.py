"""How codes lie in memory between steps as bit planes or bytes.

Planes hold the bits of codes. A byte holds the integer level less the lowest one, so that int8 dot products
sum levels directly. Where that does not fit a byte, it is divided by what all differences of levels have in
common: ``X = X_min + step * u``. What fits neither lies in words: see `lowbit.program.layout`.
"""

from math import prod

import numpy as np
import numpy.typing as npt

from lowbit.errors import EngineError
from lowbit.ir import Graph, Node, Trait, Value, has
from lowbit.ir.deployed import INT32_MAX, row_length
from lowbit.ir.graph import Shape
from lowbit.ir.layers import is_low_bit
from lowbit.schemes import Encoding

Bytes = npt.NDArray[np.uint8]

PLANE_BITS = 4
PLANE_PAIRS = PLANE_BITS * PLANE_BITS
"""Pairs of planes, of an input and of weights, that a layer counts at most."""

WORD_BITS = 32
GROUP_CHANNELS = 16


def plane_values(
    graph: Graph, same: dict[str, str], pairs: int = PLANE_PAIRS, *, batched: bool = True
) -> frozenset[str]:
    """Return the coded values that can lie in planes: those whose every reader takes planes.

    Args:
        graph: verified.
        same: what lies alike, see `alike`.
        pairs: the most pairs of planes that a layer takes.
        batched: the form of the program.
    """
    refused = {same[name] for name in same if not _fits_planes(graph, name)}
    for node in graph.nodes:
        if node.inputs and node.inputs[0] in same and not _takes_planes(graph, node, pairs, batched=batched):
            refused.add(same[node.inputs[0]])
        if node.domain != "lowbit" and not has(node, Trait.CARRIES) and node.outputs[0] in same:
            refused.add(same[node.outputs[0]])  # made by a table of bytes
        if reads_rows(graph, node, batched=batched):
            refused.add(same.get(node.outputs[0], ""))
    return frozenset(name for name in same if same[name] not in refused)


def reads_rows(graph: Graph, node: Node, *, batched: bool = True) -> bool:
    """Return whether a low-bit layer works on several rows of a sample, ``[n, ..., features]``."""
    if not is_low_bit(node):
        return False
    source, weights = (graph.value(name).shape for name in node.inputs[:2])
    if not batched and len(weights) == 2:
        return rows_of(source, batched=batched) != 1
    return len(source) != len(weights)


def rows_of(shape: Shape, *, batched: bool) -> int:
    """Return how many rows of features a row of a run has, of ``[n, ..., features]``."""
    return prod(int(length) for length in shape[1 if batched else 0 : -1])


def alike(graph: Graph) -> dict[str, str]:
    """Return, for every computed value of codes, one name for all that operators only pass on."""
    coded = (value for value in graph.values.values() if value.encoding is not None and value.data is None)
    same = {value.name: value.name for value in coded}
    for node in graph.nodes:
        if has(node, Trait.CARRIES) and node.outputs[0] in same:
            for name in node.inputs:
                if name in same:
                    same[_first(same, name)] = _first(same, node.outputs[0])
    return {name: _first(same, name) for name in same}


def _first(same: dict[str, str], name: str) -> str:
    while same[name] != name:
        name = same[name]
    return name


def _takes_planes(graph: Graph, node: Node, pairs: int, *, batched: bool) -> bool:
    if node.op == "Concat":
        shapes = [graph.value(name).shape for name in node.inputs]
        of_maps = len(shapes[0]) == 4 and node.attributes.get("axis") in (1, -3)
        return of_maps and all(int(shape[1]) % WORD_BITS == 0 for shape in shapes)
    if node.op == "Transpose":
        return False
    if not (is_low_bit(node) and graph.value(node.inputs[1]).dtype == "planes"):
        return node.op == "Decode" or (has(node, Trait.CARRIES) and _keeps_pixels(graph, node))
    x, weights = graph.value(node.inputs[0]).encoding, graph.value(node.inputs[1])
    assert x is not None and weights.encoding is not None  # verified
    if reads_rows(graph, node, batched=batched) or not _planes_of_group(graph, node):
        return False
    if graph.value(node.inputs[2]).dtype != "float32":
        return False
    few = x.bits * weights.encoding.bits <= pairs or _has_equal_levels(x)
    return few and weights.encoding.bits <= PLANE_BITS and _sums_fit(x, weights)


def _has_equal_levels(x: Encoding) -> bool:
    """Return whether codes have one level and so one byte: planes alone tell them apart."""
    return x.snapped and len(np.unique(x.integer_levels())) < 1 << x.bits


def _sums_fit(x: Encoding, weights: Value) -> bool:
    """Return whether sums of counted bits stay within int32, by the largest levels alone."""
    assert weights.encoding is not None
    if not (x.snapped and weights.encoding.snapped):
        return True  # the node is refused for what it is
    levels = (np.abs(each).max() for each in (x.integer_levels(), weights.encoding.integer_levels()))
    offset = np.abs(weights.encoding.integer_offset() / weights.encoding.integer_scale()).max()
    largest, most = levels
    return int(largest) * row_length(weights) * (int(most) + int(np.ceil(offset))) <= INT32_MAX


def _keeps_pixels(graph: Graph, node: Node) -> bool:
    """Return whether nothing becomes a map with other pixels: their bits lie in words of their own."""
    if not has(node, Trait.KEEPS_ORDER) and not has(node, Trait.POOL):
        return False
    before, after = (graph.value(name).shape for name in (node.inputs[0], node.outputs[0]))
    return not has(node, Trait.KEEPS_ORDER) or len(after) != 4 or before == after


def _planes_of_group(graph: Graph, node: Node) -> bool:
    """Return whether the groups of a convolution are whole words of channels."""
    group = node.attributes.get("group", 1)
    if group == 1:
        return True
    outputs, _, _, depth = graph.value(node.inputs[1]).shape
    encoding = graph.value(node.inputs[1]).encoding
    assert isinstance(group, int) and encoding is not None
    whole = int(depth) % WORD_BITS == 0 and int(outputs) // group % GROUP_CHANNELS == 0
    return whole and not encoding.integer_offset().any()


def _fits_planes(graph: Graph, name: str) -> bool:
    encoding = graph.value(name).encoding
    return encoding is not None and encoding.storage == "planes" and encoding.bits <= PLANE_BITS


def byte_of_code(encoding: Encoding, where: str) -> Bytes:
    """Return the byte of every code, uint8 ``[2**bits]``.

    Raises:
        EngineError: the levels do not fit a byte.
    """
    levels = encoding.integer_levels()[0]
    units = (levels - levels.min()) // level_step(encoding)
    if int(units.max()) > 255:
        raise EngineError(
            "integer levels do not fit a byte",
            where=where,
            expected="a span of at most 255 steps",
            found=str(int(units.max())),
            remedy="Use fewer bits, or evaluate it with the reference.",
        )
    return np.asarray(units, np.uint8)


def level_step(encoding: Encoding) -> int:
    """Return how many integer levels one unit of a byte stands for."""
    levels = encoding.integer_levels()[0].astype(np.int64)
    span = int(levels.max() - levels.min())
    return 1 if span <= 255 else int(np.gcd.reduce(levels - levels.min()))


def lowest_level(encoding: Encoding) -> int:
    """Return the integer level that byte 0 stands for."""
    return int(encoding.integer_levels()[0].min())


def fits_byte(encoding: Encoding) -> bool:
    """Return whether every level has a byte."""
    return int(np.ptp(encoding.integer_levels()[0].astype(np.int64))) // level_step(encoding) <= 255
