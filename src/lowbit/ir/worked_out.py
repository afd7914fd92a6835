"""Nodes of constants worked out while a file is read, where lengths may be open (`lowbit.ir.lengths`).

A shape whose batch is open is an object array of integers and lengths, with which operators count as with
numbers.
"""

from collections.abc import Sequence
from math import prod

import numpy as np

from lowbit.ir.graph import Array, Graph, Node, Shape, Value
from lowbit.ir.infer import call_of, infer_node
from lowbit.ir.lengths import Length, as_array, length_of
from lowbit.ir.operators.contents import MOST


def worked_out(node: Node, inputs: Sequence[Array | None], most: int = MOST) -> list[Array] | None:
    """Return what a node gives for constants, as its operator says, or None where it stays a node.

    Args:
        node: of the graph; constants have its names of inputs.
        inputs: an array each, of objects where lengths are open; None where an input is absent.
        most: elements that all inputs may have together; the results may have its square.
    """
    arrays = [array for array in inputs if array is not None]
    if node.domain or sum(array.size for array in arrays) > most:
        return None
    values = {
        name: Value(name, "int64" if array.dtype == object else array.dtype.name, array.shape, array)
        for name, array in zip(node.inputs, inputs, strict=True)
        if array is not None
    }
    graph = Graph("constants", values=values)
    infer_node(graph, node)
    lengths = [length for name in node.outputs for length in graph.value(name).shape]
    if any(isinstance(length, str) for length in lengths) or prod(map(int, lengths)) > MOST**2:
        return None
    call = call_of(graph, node)
    try:
        with np.errstate(all="ignore"):
            made = [np.asarray(array) for array in call.operator.evaluate(call, *inputs)]
    except (ArithmeticError, TypeError, ValueError):
        if all(array.dtype != object for array in arrays):
            raise
        return None  # what cannot be said of an open length is computed when the network runs
    made = [_settled(array) for array in made]
    finite = all(array.dtype.kind != "f" or np.isfinite(array).all() for array in made)
    return made[: len(node.outputs)] if finite else None


def _settled(array: Array) -> Array:
    """Return objects that are integers, none of them open, as int64: such as a channel count of a shape."""
    if array.dtype != object or not all(isinstance(each, int | np.integer) for each in array.flat):
        return array
    return array.astype(np.int64)


def shape_array(shape: Shape) -> Array:
    """Return a shape as an array: integers, or integers and open lengths."""
    return as_array(map(length_of, shape))


def resolve_shape(wanted: Array, data: Shape) -> Array:
    """Return the shape of a Reshape as numbers, if one open length is left: 0 is copied, -1 the rest."""
    lengths = list(wanted)
    copied = [axis < len(data) and data[axis] == str(length) for axis, length in enumerate(lengths)]
    numbers = [
        (0 if copied[axis] else -1) if isinstance(length, Length) else int(length)
        for axis, length in enumerate(lengths)
    ]
    return wanted if numbers.count(-1) > 1 else np.array(numbers, np.int64)
