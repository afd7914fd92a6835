"""Comparisons, truth values, and casts between types of numbers."""

from collections.abc import Callable
from typing import Any

import numpy as np

from lowbit.ir.graph import DTYPES, Array
from lowbit.ir.operators.registry import Call, TensorType, broadcast, register
from lowbit.ir.operators.traits import Trait

Binary = Callable[[Array, Array], Array]

CASTS = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "bool": 9}
"""Types that values are cast to, and their numbers in ONNX."""


def _register(name: str, function: Binary, *, truth: bool = False) -> None:
    """Declare what gives truth values of two operands of one type, or of two truth values."""

    def infer(call: Call) -> list[TensorType]:
        left, right = call.input(0), call.input(1)
        if left.dtype != right.dtype or left.encoding is not None or (truth and left.dtype != "bool"):
            call.fail("operand types", "bool twice" if truth else "one type", f"{left.dtype}, {right.dtype}")
        return [TensorType("bool", broadcast(call, left.shape, right.shape))]

    def evaluate(call: Call, left: Array, right: Array) -> list[Array]:
        return [np.asarray(function(left, right), np.bool_)]

    register(name, "A B", infer=infer, evaluate=evaluate, traits=Trait.BROADCASTS)


def _infer_not(call: Call) -> list[TensorType]:
    value = call.input(0)
    call.require(value.dtype == "bool", "input type", "bool", value.dtype)
    return [TensorType("bool", value.shape)]


def _infer_test(call: Call) -> list[TensorType]:
    value = call.input(0)
    call.require(value.dtype == "float32", "input type", "float32", value.dtype)
    return [TensorType("bool", value.shape)]


def _infer_cast(call: Call) -> list[TensorType]:
    value = call.input(0)
    call.require(value.encoding is None, "codes are cast", "numbers; Decode gives them", value.dtype)
    return [TensorType(_target(call), value.shape)]


def _cast(call: Call, array: Array) -> list[Array]:
    """Floats are cut off towards zero; what an integer cannot hold has no meaning. Truth is "not zero"."""
    kind = DTYPES[_target(call)]
    if array.dtype != object:
        return [array.astype(kind)]
    if kind.kind != "i":
        raise TypeError(f"an open length as {kind}")
    return [array]


def _target(call: Call) -> str:
    number = call.integer("to")
    found = next((name for name, known in CASTS.items() if known == number), None)
    return found or call.refuse("a cast to this type", ", ".join(CASTS), str(number))


def _is_infinite(call: Call, array: Any) -> list[Array]:
    below, above = (bool(call.integer(name)) for name in ("detect_negative", "detect_positive"))
    return [(np.isneginf(array) & below) | (np.isposinf(array) & above)]


def _infer_where(call: Call) -> list[TensorType]:
    condition, left, right = (call.input(index) for index in range(3))
    call.require(condition.dtype == "bool", "condition", "bool", condition.dtype)
    if left.dtype != right.dtype or left.encoding is not None:
        call.fail("operand types differ", call.described(1), call.described(2))
    return [TensorType(left.dtype, broadcast(call, condition.shape, left.shape, right.shape))]


_register("Equal", np.equal)
_register("Greater", np.greater)
_register("GreaterOrEqual", np.greater_equal)
_register("Less", np.less)
_register("LessOrEqual", np.less_equal)
_register("And", np.logical_and, truth=True)
_register("Or", np.logical_or, truth=True)
_register("Xor", np.logical_xor, truth=True)
register("Not", "X", infer=_infer_not, evaluate=lambda _, x: [np.logical_not(x)])
register("IsNaN", "X", infer=_infer_test, evaluate=lambda _, x: [np.isnan(x)])
register("IsInf", "X", infer=_infer_test, evaluate=_is_infinite, detect_negative=1, detect_positive=1)
register("Cast", "input", infer=_infer_cast, evaluate=_cast, to=0)
register(
    "Where",
    "condition X Y",
    infer=_infer_where,
    evaluate=lambda call, condition, x, y: [np.asarray(np.where(condition, x, y))],
    traits=Trait.BROADCASTS,
)
