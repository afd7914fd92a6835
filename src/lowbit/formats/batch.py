"""Opens the batch of a network that was exported for one sample.

Exporters fix the batch to 1 because the format has no open dimension or because nobody asked. A network
that treats samples independently computes the same for any number of them; type inference proves it, with a
look at the nodes that combine elements along an axis: a softmax over the batch keeps the shape of its input.
"""

import numpy as np

from lowbit.errors import LowbitError
from lowbit.ir import Graph, Node, Trait, has, infer
from lowbit.ir.infer import call_of

BATCH = "batch"
"""How an open first dimension is called where a file does not say."""


def open_batch(graph: Graph) -> Graph:
    """Return the graph with its leading dimension of 1 open, or the graph itself where that is impossible."""
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
    if any(_combines_samples(opened, node) for node in opened.nodes):
        return graph
    return opened if all(opened.value(name).shape[:1] == (BATCH,) for name in opened.outputs) else graph


def _combines_samples(graph: Graph, node: Node) -> bool:
    """Return whether a node combines elements along an open axis."""
    call, shape = call_of(graph, node), graph.value(node.inputs[0]).shape
    if has(node, Trait.ENDS_CLASSIFIER):
        return isinstance(shape[call.integer("axis")], str)
    if has(node, Trait.LAYER) and not has(node, Trait.WINDOW):
        return isinstance(shape[0 if node.attributes.get("transA") else -1], str)
    return False


def _open_reshapes(graph: Graph) -> None:
    """Let the targets of reshapes that say one row say any number of rows."""
    for node in graph.nodes:
        if node.op == "Reshape":
            target = np.asarray(graph.constant(node.inputs[1]), np.int64)
            shape = graph.value(node.outputs[0]).shape  # as inferred for one sample, so a -1 is worked out
            if target.size and target[0] == 1 and all(isinstance(length, int) for length in shape):
                graph.update(node.inputs[1], data=np.array([-1, *shape[1:]], np.int64))
