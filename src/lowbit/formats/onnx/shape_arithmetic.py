"""Shape arithmetic: what exporters write around a Reshape, worked out while reading.

``x.view(x.size(0), -1)`` arrives as Shape, Gather, Unsqueeze, Concat, Reshape. A shape whose batch is
open is an object array of integers and lengths (`lowbit.ir.lengths`), with which the operators of the graph
count as with numbers (`worked_out`). Besides, constants are transposed, cast and reshaped here, so that
weights arrive as constants.
"""

from collections.abc import Callable, Mapping, Sequence
from math import prod

import numpy as np

from lowbit.errors import ModelFormatError, TooLargeError, UnsupportedError
from lowbit.formats.onnx.tensors import dtype_of
from lowbit.ir import Graph, Node, Value
from lowbit.ir.graph import Array, Attribute, Shape
from lowbit.ir.infer import call_of, infer_node
from lowbit.ir.lengths import Length, as_array, length_of
from lowbit.ir.operators.contents import MOST
from lowbit.ir.operators.logic import CASTS

FIX = "Fix the open lengths."
LARGEST_FILL = 1 << 27  # elements that ConstantOfShape may make

Attributes = Mapping[str, Attribute]
Fold = Callable[[Sequence[Array], Attributes], Array]


def fold(op: str, inputs: Sequence[Array], attributes: Attributes) -> Array | None:
    """Return what an operator gives for constants, or None when it is not folded here.

    Raises:
        ModelFormatError: the operands do not fit each other.
    """
    if not is_folded(op, inputs, attributes):
        return None
    try:
        return _WEIGHTS[op](inputs, attributes)
    except (ValueError, IndexError, TypeError, OverflowError) as error:
        raise ModelFormatError(f"cannot be worked out: {error}", expected="operands that fit") from error


def is_folded(op: str, inputs: Sequence[Array], attributes: Attributes) -> bool:
    """Return whether `fold` works an operator out for these constants."""
    if op == "Cast" and inputs[0].dtype == object:
        return attributes.get("to") in (CASTS["int64"], CASTS["int32"])
    return op in _WEIGHTS


def worked_out(node: Node, inputs: Sequence[Array | None]) -> list[Array] | None:
    """Return what a node gives for constants, as its operator says, or None where it stays a node.

    Args:
        node: of the graph; constants have its names of inputs.
        inputs: an array each, of objects where lengths are open; None where an input is absent.
    """
    arrays = [array for array in inputs if array is not None]
    if node.domain or sum(array.size for array in arrays) > MOST:
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


def filled(shape: Array, value: Array) -> Array:
    """Return ConstantOfShape, its size checked first.

    Raises:
        TooLargeError: more than `LARGEST_FILL` elements.
    """
    if shape.ndim != 1 or shape.dtype.kind != "i":
        raise ModelFormatError(
            "the shape to fill is no row of integers", found=f"{shape.dtype} {shape.shape}"
        )
    lengths = [int(length) for length in shape]
    if any(length < 0 for length in lengths) or prod(lengths) > LARGEST_FILL or len(lengths) > 8:
        raise TooLargeError(
            "ConstantOfShape asks for too much",
            expected=f"at most {LARGEST_FILL} elements",
            found=str(lengths[:8]),
        )
    return np.full(lengths, value.reshape(-1)[0], value.dtype)


def _axes(inputs: Sequence[Array], attributes: Attributes) -> tuple[int, ...] | None:
    """Return axes from the second input (opset 13) or the attribute (before)."""
    if len(inputs) > 1:
        return tuple(int(axis) for axis in inputs[1].reshape(-1))
    axes = attributes.get("axes")
    return axes if isinstance(axes, tuple) else None  # type: ignore[return-value]


def _unsqueeze(inputs: Sequence[Array], attributes: Attributes) -> Array:
    axes = _axes(inputs, attributes)
    return np.expand_dims(inputs[0], () if axes is None else axes)


def _squeeze(inputs: Sequence[Array], attributes: Attributes) -> Array:
    return np.squeeze(inputs[0], _axes(inputs, attributes))


def _cast(inputs: Sequence[Array], attributes: Attributes) -> Array:
    if inputs[0].dtype == object:
        return inputs[0]
    return inputs[0].astype(dtype_of(_integer(attributes, "to", 0), "Cast"))


def _transpose(inputs: Sequence[Array], attributes: Attributes) -> Array:
    order = attributes.get("perm")
    return np.ascontiguousarray(np.transpose(inputs[0], order if isinstance(order, tuple) else None))  # type: ignore[arg-type]


def _reshape(inputs: Sequence[Array], attributes: Attributes) -> Array:
    array = inputs[0]
    wanted = [int(length) or array.shape[axis] for axis, length in enumerate(known_numbers(inputs[1]))]
    return array.reshape(wanted)


def _integer(attributes: Attributes, name: str, default: int) -> int:
    value = attributes.get(name, default)
    if not isinstance(value, int):
        raise TypeError(f"attribute {name} is no integer")
    return value


# Folded for any constant; none makes it larger.
_WEIGHTS: dict[str, Fold] = {
    "Cast": _cast,
    "Identity": lambda inputs, _: inputs[0],
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}

FOLDED = {"Constant", "ConstantOfShape", *_WEIGHTS}
"""Operators that are worked out where their inputs are known."""


def known_numbers(array: Array) -> Array:
    """Return an array that is known now; one with an open length is not."""
    if array.dtype == object:
        raise UnsupportedError(
            "a shape with an open length is used as numbers", found=str(tuple(array.reshape(-1))), remedy=FIX
        )
    return array
