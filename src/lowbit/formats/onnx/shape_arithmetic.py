"""Shape arithmetic: what exporters write around a Reshape, worked out while reading.

``x.view(x.size(0), -1)`` arrives as Shape, Gather, Unsqueeze, Concat, Reshape. A shape whose batch is
open is an object array of integers and names, on which moving elements works as on numbers. Besides,
constants are transposed, cast and reshaped here, so that weights arrive as constants.
"""

from collections.abc import Callable, Mapping, Sequence
from math import prod

import numpy as np

from lowbit.errors import ModelFormatError, TooLargeError, UnsupportedError
from lowbit.formats.onnx.tensors import dtype_of
from lowbit.ir.graph import Array, Attribute, Dimension, Shape

LARGEST_SHAPE = 1024  # elements of an array that counts as a shape
LARGEST_FILL = 1 << 27  # elements that ConstantOfShape may make

Attributes = Mapping[str, Attribute]
Fold = Callable[[Sequence[Array], Attributes], Array]


def fold(op: str, inputs: Sequence[Array], attributes: Attributes) -> Array | None:
    """Return what an operator gives for constants, or None when it is not folded here.

    Raises:
        ModelFormatError: the operands do not fit each other.
    """
    if not is_folded(op, inputs):
        return None
    try:
        return (_SHAPES | _WEIGHTS)[op](inputs, attributes)
    except (ValueError, IndexError, TypeError, OverflowError) as error:
        if any(array.dtype == object for array in inputs):
            raise UnsupportedError(
                "arithmetic on an open length", expected="fixed lengths", found=f"{op}: {error}"
            ) from error
        raise ModelFormatError(f"cannot be worked out: {error}", expected="operands that fit") from error


def is_folded(op: str, inputs: Sequence[Array]) -> bool:
    """Return whether `fold` works an operator out for these constants."""
    if op in _SHAPES:
        return all(array.size <= LARGEST_SHAPE and array.dtype.kind in "iO" for array in inputs)
    return op in _WEIGHTS


def shape_array(shape: Shape) -> Array:
    """Return a shape as an array: integers, or integers and names."""
    symbolic = any(isinstance(length, str) for length in shape)
    return np.array(shape, object if symbolic else np.int64)


def resolve_shape(wanted: Array, data: Shape) -> Array:
    """Return the shape of a Reshape as numbers: a name becomes 0 (copied) or -1 (the rest).

    Raises:
        UnsupportedError: two lengths are open.
    """
    lengths: list[Dimension] = list(wanted)
    copied = [axis < len(data) and data[axis] == length for axis, length in enumerate(lengths)]
    numbers = [
        (0 if copied[axis] else -1) if isinstance(length, str) else int(length)
        for axis, length in enumerate(lengths)
    ]
    if numbers.count(-1) > 1:
        raise UnsupportedError(
            "a shape with two open lengths", expected="at most one", found=str(tuple(lengths))
        )
    return np.array(numbers, np.int64)


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


def _gather(inputs: Sequence[Array], attributes: Attributes) -> Array:
    array, index = inputs[0], inputs[1].astype(np.int64)
    axis = range(array.ndim)[_integer(attributes, "axis", 0)]
    if max(array.size, 1) * max(index.size, 1) > LARGEST_SHAPE**2:
        raise ValueError("too many elements")
    taken = np.empty(array.shape[:axis] + index.shape + array.shape[axis:][1:], array.dtype)
    taken[...] = np.take(array, index, axis=axis)  # of an object array, one element comes without its array
    return taken


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


def _concat(inputs: Sequence[Array], attributes: Attributes) -> Array:
    return np.concatenate([np.atleast_1d(array) for array in inputs], axis=_integer(attributes, "axis", 0))


def _slice(inputs: Sequence[Array], attributes: Attributes) -> Array:
    given = [tuple(int(number) for number in array.reshape(-1)) for array in inputs[1:]]
    if not given:
        given = [attributes.get(name, ()) for name in ("starts", "ends", "axes")]  # type: ignore[misc]
    starts, ends = given[0], given[1]
    axes = given[2] if len(given) > 2 and given[2] else tuple(range(len(starts)))
    steps = given[3] if len(given) > 3 else (1,) * len(starts)
    cut = [slice(None)] * inputs[0].ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        cut[axis] = slice(start, end if end > -(2**31) else None, step)
    return inputs[0][tuple(cut)]


def _arithmetic(function: Callable[[Array, Array], Array]) -> Fold:
    def apply(inputs: Sequence[Array], _: Attributes) -> Array:
        if any(array.dtype == object for array in inputs):
            raise UnsupportedError(
                "arithmetic on an open length", expected="fixed lengths", found="a named length"
            )
        return np.asarray(function(inputs[0], inputs[1]), np.int64)

    return apply


def _cast(inputs: Sequence[Array], attributes: Attributes) -> Array:
    if inputs[0].dtype == object:
        return inputs[0]
    return inputs[0].astype(dtype_of(_integer(attributes, "to", 0), "Cast"))


def _transpose(inputs: Sequence[Array], attributes: Attributes) -> Array:
    order = attributes.get("perm")
    return np.ascontiguousarray(np.transpose(inputs[0], order if isinstance(order, tuple) else None))  # type: ignore[arg-type]


def _reshape(inputs: Sequence[Array], attributes: Attributes) -> Array:
    array = inputs[0]
    wanted = [int(length) or array.shape[axis] for axis, length in enumerate(inputs[1])]
    return array.reshape(wanted)


def _integer(attributes: Attributes, name: str, default: int) -> int:
    value = attributes.get(name, default)
    if not isinstance(value, int):
        raise TypeError(f"attribute {name} is no integer")
    return value


# Folded for small integer arrays only.
_SHAPES: dict[str, Fold] = {
    "Add": _arithmetic(np.add),
    "Concat": _concat,
    "Gather": _gather,
    "Mul": _arithmetic(np.multiply),
    "Slice": _slice,
    "Sub": _arithmetic(np.subtract),
}
# Folded for any constant; none makes it larger.
_WEIGHTS: dict[str, Fold] = {
    "Cast": _cast,
    "Identity": lambda inputs, _: inputs[0],
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}

FOLDED = {"Constant", "ConstantOfShape", "Shape", *_SHAPES, *_WEIGHTS}
"""Operators that are worked out where their inputs are known."""


def known_numbers(array: Array) -> Array:
    """Return an array that is known now; one with an open length is not."""
    if array.dtype == object:
        raise UnsupportedError(
            "a shape with an open length is used as numbers", found=str(tuple(array.reshape(-1)))
        )
    return array
