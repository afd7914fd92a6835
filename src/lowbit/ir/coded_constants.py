"""Constants of codes behind what moves them: a decoder of foreign weights, transposed or reshaped."""

from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from lowbit.ir.graph import Array, Graph, Node, Value
from lowbit.ir.operators import Trait, has
from lowbit.ir.reference import evaluate_node
from lowbit.schemes import Encoding
from lowbit.schemes.encoding import Codes


@dataclass(frozen=True, eq=False)
class CodedConstant:
    """A constant of codes.

    Attributes:
        codes: two axes or more.
        encoding: of one channel, or one for each index of the axis, or with groups of what follows it.
        axis: the first or the last; 0 where there is one channel.
    """

    codes: Codes
    encoding: Encoding
    axis: int

    def outputs_first(self, outputs_last: bool) -> "CodedConstant | None":
        """Return it with its outputs along the first axis; None where channels are not those of outputs."""
        codes, axis = self.codes, self.axis
        if outputs_last:
            codes, axis = np.ascontiguousarray(np.moveaxis(codes, -1, 0)), codes.ndim - 1 - axis
        alone = self.encoding.channels == 1 and not self.encoding.group
        fits = alone or (axis == 0 and (self.encoding.group or self.encoding.channels == len(codes)))
        return CodedConstant(codes, self.encoding, 0) if fits else None


def is_decoder(node: Node | None) -> bool:
    """Return whether a node makes floats of codes."""
    return node is not None and (node.domain, node.op) == ("lowbit", "Decode")


def coded_constant(graph: Graph, name: str) -> CodedConstant | None:
    """Return the codes of a float that is a decoded constant, moved as what reads it has it; else None."""
    path, node = [], graph.producer(name)
    while node is not None and has(node, Trait.MOVES) and len(node.outputs) == 1:
        path.append(node)
        node = graph.producer(node.inputs[0])
    source = graph.value(node.inputs[0]) if node is not None and is_decoder(node) else None
    if source is None or source.data is None or source.encoding is None or source.dtype == "planes":
        return None
    codes, channels = source.data, _channels(source)
    for mover in reversed(path):
        if any(graph.value(other).data is None for other in filter(None, mover.inputs[1:])):
            return None
        codes, channels = _moved(graph, mover, codes), _moved(graph, mover, channels)
    return _located(codes, channels, source.encoding)


def _channels(value: Value) -> Array:
    """Return the channel of every element."""
    assert value.data is not None and value.encoding is not None
    if value.encoding.group:
        return _sets(value.data.shape, value.encoding)
    rows = np.arange(len(value.data)) if value.encoding.channels > 1 else np.zeros(1, np.int64)
    return np.broadcast_to(rows.reshape(-1, *[1] * (value.data.ndim - 1)), value.data.shape)


def _sets(shape: tuple[int, ...], encoding: Encoding) -> npt.NDArray[np.int64]:
    """Return the set of every element of rows with groups."""
    numbers = np.arange(prod(shape[1:])) // encoding.group
    first = np.arange(shape[0])[:, None] * (encoding.channels // shape[0])
    return (first + numbers).reshape(shape)


def _moved(graph: Graph, mover: Node, array: Array) -> Array:
    arrays = {name: graph.value(name).data for name in mover.inputs[1:] if name}
    known = {name: data for name, data in arrays.items() if data is not None}
    return evaluate_node(graph, mover, {mover.inputs[0]: array, **known})[0]


def _located(codes: Array, channels: Array, encoding: Encoding) -> CodedConstant | None:
    """Return codes whose channels are along the first or the last axis."""
    if codes.ndim < 2 or not codes.size:
        return None
    if encoding.channels == 1 and not encoding.group:
        return CodedConstant(codes, encoding, 0)  # type: ignore[arg-type]
    for axis in (0, codes.ndim - 1):
        if encoding.group:
            front = np.moveaxis(np.moveaxis(channels, axis, 0), 1, -1)  # groups lie along rows, channels last
            if encoding.channels % len(front) == 0 and np.array_equal(front, _sets(front.shape, encoding)):
                return CodedConstant(codes, encoding, axis)  # type: ignore[arg-type]
            continue
        rows = np.moveaxis(channels, axis, 0).reshape(codes.shape[axis], -1)
        if (rows == np.arange(len(rows))[:, None]).all() and len(rows) == encoding.channels:
            return CodedConstant(codes, encoding, axis)  # type: ignore[arg-type]
    return None
