"""Opens the batch of a network that was exported for one sample.

Exporters fix the batch to 1 because the format has no open dimension or because nobody asked. A network
that treats samples independently computes the same for any number of them; type inference proves it, with a
look at where elements meet (`lowbit.ir.operators.meetings`): a softmax over the batch keeps the shape.
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from lowbit.errors import LowbitError
from lowbit.ir import Graph, Node, infer
from lowbit.ir.graph import Shape
from lowbit.ir.infer import call_of
from lowbit.ir.lengths import Length, length_of
from lowbit.ir.operators.meetings import meet

NOWHERE: Mapping[str, int] = MappingProxyType({})

BATCH = "batch"
"""How an open first dimension is called where a file does not say."""


def open_batch(graph: Graph, *, known: bool = False, axes: Mapping[str, int] = NOWHERE) -> Graph:
    """Return the graph with its leading dimension of 1 open, or the graph itself where that is impossible.

    Args:
        graph: as exported for one sample.
        known: whether it is known to be open, so that types alone are looked at: what lies along it may be
            steps of one sequence, which meet.
        axes: by what Reshapes give, along which the batch lies there, where it is not the first.
    """
    shapes = [graph.value(name).shape for name in graph.inputs]
    if not shapes or any(shape[:1] != (1,) or len(shape) < 2 for shape in shapes):
        return graph
    opened = graph.copy()
    for name in graph.inputs:
        opened.update(name, shape=(BATCH, *graph.value(name).shape[1:]))
    try:
        _open_reshapes(opened, axes)
        infer(opened)
    except LowbitError:
        return graph
    if known:
        return opened
    first = all(opened.value(name).shape[:1] == (BATCH,) for name in opened.outputs)
    return opened if first and not any(combines_samples(opened, node) for node in opened.nodes) else graph


def combines_samples(graph: Graph, node: Node, batch: str = BATCH) -> bool:
    """Return whether elements of several samples may meet in a node, or a value has them along two axes."""
    call = call_of(graph, node)
    for index, name in enumerate(node.inputs):
        open_axes = _open_axes(graph.value(name).shape, batch) if name else []
        if len(open_axes) > 1 or any(meet(call, index, axis) for axis in open_axes):
            return True
    return any(len(_open_axes(graph.value(name).shape, batch)) > 1 for name in node.outputs)


def _open_axes(shape: Shape, batch: str) -> list[int]:
    """Return the axes that depend on the batch."""
    lengths = enumerate(map(length_of, shape))
    return [axis for axis, length in lengths if isinstance(length, Length) and batch in length.names]


def batch_axes(graph: Graph) -> dict[str, int]:
    """Return along which axes Reshapes of a graph have its open batch where one row is the first.

    For one sample ``[1, 1, 10]`` is said of ``[batch, 1, 10]`` and of ``[1, batch, 10]`` alike.
    """
    found = {}
    for node in graph.nodes:
        shape = graph.value(node.outputs[0]).shape
        axes = [axis for axis, length in enumerate(shape) if isinstance(length, str)]
        if node.op == "Reshape" and shape[:1] == (1,) and len(axes) == 1:
            found[node.outputs[0]] = axes[0]
    return found


def _open_reshapes(graph: Graph, axes: Mapping[str, int]) -> None:
    """Let the targets of reshapes that say one row say any number of rows."""
    for node in graph.nodes:
        if node.op == "Reshape":
            target = np.asarray(graph.constant(node.inputs[1]))  # int64, or int32 in TFLite
            shape = graph.value(node.outputs[0]).shape  # as inferred for one sample, so a -1 is worked out
            if target.size and target[0] == 1 and all(isinstance(length, int) for length in shape):
                wanted = np.array(shape, target.dtype)
                wanted[axes.get(node.outputs[0], 0)] = -1
                graph.update(node.inputs[1], data=wanted)
