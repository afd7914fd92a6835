"""Opens the batch of a network that was exported for one sample.

Exporters fix the batch to 1 because the format has no open dimension or because nobody asked. A network
that treats samples independently computes the same for any number of them; type inference proves it, with a
look at where elements meet (`lowbit.ir.operators.meetings`): a softmax over the batch keeps the shape.
"""

import numpy as np

from lowbit.errors import LowbitError
from lowbit.ir import Graph, Node, infer
from lowbit.ir.graph import Shape
from lowbit.ir.infer import call_of
from lowbit.ir.lengths import Length, length_of
from lowbit.ir.operators.meetings import meet

BATCH = "batch"
"""How an open first dimension is called where a file does not say."""


def open_batch(graph: Graph, *, known: bool = False) -> Graph:
    """Return the graph with its leading dimension of 1 open, or the graph itself where that is impossible.

    Args:
        graph: as exported for one sample.
        known: whether it is known to be open, so that types alone are looked at: what lies along it may be
            steps of one sequence, which meet.
    """
    shapes = [graph.value(name).shape for name in graph.inputs]
    if not shapes or any(shape[:1] != (1,) or len(shape) < 2 for shape in shapes):
        return graph
    opened = graph.copy()
    for name in graph.inputs:
        opened.update(name, shape=(BATCH, *graph.value(name).shape[1:]))
    try:
        _open_reshapes(opened)
        infer(opened)
    except LowbitError:
        return graph
    if not all(opened.value(name).shape[:1] == (BATCH,) for name in opened.outputs):
        return graph
    return graph if not known and any(_combines_samples(opened, node) for node in opened.nodes) else opened


def _combines_samples(graph: Graph, node: Node) -> bool:
    """Return whether elements of several samples may meet in a node, or a value has them along two axes."""
    call = call_of(graph, node)
    for index, name in enumerate(node.inputs):
        open_axes = _open_axes(graph.value(name).shape) if name else []
        if len(open_axes) > 1 or any(meet(call, index, axis) for axis in open_axes):
            return True
    return any(len(_open_axes(graph.value(name).shape)) > 1 for name in node.outputs)


def _open_axes(shape: Shape) -> list[int]:
    """Return the axes that depend on the batch."""
    lengths = enumerate(map(length_of, shape))
    return [axis for axis, length in lengths if isinstance(length, Length) and BATCH in length.names]


def _open_reshapes(graph: Graph) -> None:
    """Let the targets of reshapes that say one row say any number of rows."""
    for node in graph.nodes:
        if node.op == "Reshape":
            target = np.asarray(graph.constant(node.inputs[1]))  # int64, or int32 in TFLite
            shape = graph.value(node.outputs[0]).shape  # as inferred for one sample, so a -1 is worked out
            if target.size and target[0] == 1 and all(isinstance(length, int) for length in shape):
                graph.update(node.inputs[1], data=np.array([-1, *shape[1:]], target.dtype))
