"""What is known of integers before anything runs: shapes are worked out where lengths are open, too.

``x.view(x.size(0), -1)`` computes the shape of a reshape from the shape of a value. Inference follows such
arithmetic back to `Shape`, whose elements are lengths (`lowbit.ir.lengths`), and does with them what the
operators do with numbers.
"""

from collections.abc import Sequence

import numpy as np

from lowbit.ir.graph import Array, Graph, Node
from lowbit.ir.lengths import Length, as_array, length_of, product
from lowbit.ir.operators.registry import Call, operator_of

MOST = 1024
"""Elements of a value that counts as arithmetic on shapes."""

DEEPEST = 100
"""Nodes in a row that are followed back."""

Number = int | Length

# What arithmetic raises that cannot be done on an open length.
_UNKNOWN = (ArithmeticError, TypeError, ValueError, IndexError, AttributeError)


def contents(graph: Graph, name: str) -> Array | None:
    """Return the elements of a value of integers, objects where lengths are open; None if not known."""
    return _contents(graph, name, {}, DEEPEST)


def _contents(graph: Graph, name: str, found: dict[str, Array | None], deepest: int) -> Array | None:
    if name not in found:
        value = graph.value(name)
        small = len(value.shape) <= 1 and product(value.shape) in range(MOST + 1)
        if value.data is not None:
            found[name] = value.data if value.data.size <= MOST and value.data.dtype.kind in "iubO" else None
        else:
            follows = deepest and small and value.dtype in ("int64", "int32", "bool")
            found[name] = _computed(graph, name, found, deepest - 1) if follows else None
    return found[name]


def _computed(graph: Graph, name: str, found: dict[str, Array | None], deepest: int) -> Array | None:
    """Do with what is known of its inputs what a node does."""
    node = graph.producer(name)
    if node is None or len(node.outputs) != 1:
        return None
    call = Call(graph, node, operator_of(node))
    if is_shape(node):
        return shape_of(call)
    given = [_contents(graph, source, found, deepest) if source else None for source in node.inputs]
    if any(array is None and source for array, source in zip(given, node.inputs, strict=True)):
        return None
    try:
        (made,) = call.operator.evaluate(call, *given)
    except _UNKNOWN:
        return None
    return np.asarray(made)


def is_shape(node: Node) -> bool:
    """Return whether a node gives the lengths of a value, whatever that holds."""
    return (node.domain, node.op) == ("", "Shape")


def shape_of(call: Call) -> Array:
    """Return what a Shape gives: integers, or integers and open lengths."""
    lengths = [length_of(dimension) for dimension in call.input(0).shape]
    return as_array(lengths[slice(call.integer("start"), _end(call, len(lengths)))])


def _end(call: Call, rank: int) -> int:
    end = call.integer("end")
    return rank if end == NO_END else end


NO_END = 2**31 - 1
"""What the attribute ``end`` of Shape is where it is absent."""


def numbers(call: Call, index: int) -> list[Number]:
    """Return the elements of an input in a row that has to be known before the network runs.

    Raises:
        GraphError: it is not known, or no row of integers.
    """
    known = contents(call.graph, call.node.inputs[index])
    what = call.operator.inputs[index].rstrip("?")
    if known is None:
        call.fail(what, "integers that are known before the network runs", call.described(index))
    if known.ndim != 1 or known.dtype.kind not in "iO":
        call.fail(what, "a row of constant integers", f"{known.dtype} {known.shape}")
    return [number if isinstance(number, Length) else int(number) for number in known.reshape(-1)]


def integers(call: Call, index: int) -> list[int]:
    """Return `numbers` that are all fixed.

    Raises:
        GraphError: one is open.
    """
    found = numbers(call, index)
    if any(isinstance(number, Length) for number in found):
        call.fail(call.operator.inputs[index].rstrip("?"), "fixed numbers", found)
    return [int(number) for number in found]  # type: ignore[arg-type]


def number(call: Call, index: int) -> Number:
    """Return an input that is one integer, in a row or not, and has to be known before the network runs.

    Raises:
        GraphError: it is not known, or no integer.
    """
    known = contents(call.graph, call.node.inputs[index])
    if known is None or known.size != 1 or known.dtype.kind not in "iO":
        call.fail(call.operator.inputs[index], "one integer that is known now", call.described(index))
    found = known.reshape(-1)[0]
    return found if isinstance(found, Length) else int(found)


def axes_of(call: Call, given: Sequence[int], rank: int) -> tuple[int, ...]:
    """Return axes counted from the front.

    Raises:
        GraphError: one is out of range or named twice.
    """
    axes = tuple(axis + rank if axis < 0 else axis for axis in given)
    fits = all(0 <= axis < rank for axis in axes) and len(set(axes)) == len(axes)
    call.require(fits, "axes", f"different ones from {-rank} to {rank - 1}", tuple(given))
    return axes


def axis_of(call: Call, rank: int, name: str = "axis") -> int:
    """Return an attribute that is one axis, counted from the front."""
    axis = call.integer(name)
    call.require(-rank <= axis < rank, "axis out of range", f"{-rank} to {rank - 1}", axis)
    return axis % rank
