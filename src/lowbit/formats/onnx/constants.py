"""Nodes that state a tensor: Constant, and the element that ConstantOfShape repeats."""

from collections.abc import Mapping

import numpy as np

from lowbit.errors import ModelFormatError, UnsupportedError
from lowbit.formats.onnx.tensors import array_of, plain
from lowbit.ir.graph import Array


def constant_of(attributes: Mapping[str, object]) -> Array:
    """Return the tensor of a Constant node, however it is written."""
    match attributes:
        case {"value": tensor} if not plain({"value": tensor}):
            return array_of(tensor, "value")  # type: ignore[arg-type]
        case {"value_int": int(number)}:
            return np.array(number, np.int64)
        case {"value_ints": tuple(numbers)}:
            return np.array(numbers, np.int64)
        case {"value_float": float(number)}:
            return np.array(number, np.float32)
        case {"value_floats": tuple(numbers)}:
            return np.array(numbers, np.float32)
    raise UnsupportedError(
        "a Constant of this kind", expected="numbers", found=", ".join(attributes) or "nothing"
    )


def fill_of(attributes: Mapping[str, object]) -> Array:
    """Return the element that ConstantOfShape repeats."""
    value = attributes.get("value")
    if value is None:
        return np.zeros(1, np.float32)
    if plain({"value": value}):
        raise ModelFormatError("attribute value is of another kind", expected="a tensor", found=repr(value))
    return array_of(value, "value")  # type: ignore[arg-type]
