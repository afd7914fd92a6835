"""Shape arithmetic: what exporters write around a Reshape, worked out while reading.

``x.view(x.size(0), -1)`` arrives as Shape, Gather, Unsqueeze, Concat, Reshape. A shape whose batch is
open is an object array of integers and lengths (`lowbit.ir.lengths`), with which the operators of the graph
count as with numbers (`lowbit.ir.worked_out`). Besides, constants are transposed, cast and reshaped here, so
that weights arrive as constants.
"""

from collections.abc import Callable, Mapping, Sequence
from math import prod

import numpy as np

from lowbit.errors import ModelFormatError, TooLargeError, UnsupportedError
from lowbit.formats.onnx.tensors import dtype_of
from lowbit.ir.graph import Array, Attribute
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
