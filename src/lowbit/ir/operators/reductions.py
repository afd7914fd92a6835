"""Operators that make one element of all along some axes: sums, means, extremes, where the extreme is.

Floats are summed and multiplied in float64 and rounded once; integers stay what they are. Axes come as the
second input; without it all axes are reduced, or none with ``noop_with_empty_axes``.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from lowbit.ir.graph import Array, Dimension
from lowbit.ir.operators.contents import axes_of, axis_of, integers, number
from lowbit.ir.operators.registry import Call, TensorType, register

_NUMBERS = ("float32", "int64", "int32")
_ORDERED = (*_NUMBERS, "uint8", "int8", "bool")


def reduced_axes(call: Call) -> tuple[int, ...]:
    """Return the axes that a reduction takes together, counted from the front, in order."""
    rank = len(call.input(0).shape)
    given = integers(call, 1) if call.optional(1) is not None else []
    if not given:
        return () if call.integer("noop_with_empty_axes") else tuple(range(rank))
    return tuple(sorted(axes_of(call, given, rank)))


def _register(name: str, function: Callable[..., Any], types: tuple[str, ...] = _NUMBERS) -> None:
    """Declare a reduction by what NumPy makes of an array, axes and keepdims."""

    def infer(call: Call) -> list[TensorType]:
        value, axes = call.input(0), reduced_axes(call)
        call.require(value.dtype in types, "input type", ", ".join(types), value.dtype)
        return [TensorType(value.dtype, _left(call, value.shape, axes))]

    def evaluate(call: Call, array: Array, _: Array | None = None) -> list[Array]:
        axes, keep = reduced_axes(call), bool(call.integer("keepdims"))
        if not axes:
            return [array]
        wide = array.astype(np.float64) if array.dtype.kind == "f" else array
        made = np.asarray(function(wide, axis=axes, keepdims=keep))
        return [made if made.dtype == object else made.astype(array.dtype)]

    register(name, "data axes?", infer=infer, evaluate=evaluate, keepdims=1, noop_with_empty_axes=0)


def _left(call: Call, shape: tuple[Dimension, ...], axes: tuple[int, ...]) -> tuple[Dimension, ...]:
    """Return the shape that is left of one that loses these axes, or keeps them with length 1."""
    if call.integer("keepdims"):
        return tuple(1 if axis in axes else length for axis, length in enumerate(shape))
    return tuple(length for axis, length in enumerate(shape) if axis not in axes)


def _mean(wide: Any, *, axis: tuple[int, ...], keepdims: bool) -> Array:
    """The mean; of integers cut off towards zero."""
    made = np.mean(wide, axis=axis, keepdims=keepdims)
    return np.asarray(made if wide.dtype.kind == "f" else np.trunc(made))


def _extreme(function: Callable[..., Any], sign: int) -> Callable[..., Any]:
    """Return what takes the largest or smallest; of nothing it is the last number there is."""

    def reduce(wide: Array, *, axis: tuple[int, ...], keepdims: bool) -> Array:
        if wide.size or wide.dtype == object:
            return np.asarray(function(wide, axis=axis, keepdims=keepdims))
        if wide.dtype.kind in "fb":
            none: Any = sign * np.inf if wide.dtype.kind == "f" else sign > 0
        else:
            limits = np.iinfo(wide.dtype)  # type: ignore[type-var]
            none = limits.max if sign > 0 else limits.min
        return np.asarray(function(wide, axis=axis, keepdims=keepdims, initial=none))

    return reduce


def _register_place(name: str, place: Callable[..., Any]) -> None:
    """Declare where along one axis the extreme is: the first, or the last with ``select_last_index``."""

    def infer(call: Call) -> list[TensorType]:
        value = call.input(0)
        call.require(value.dtype in _ORDERED, "input type", ", ".join(_ORDERED), value.dtype)
        return [TensorType("int64", _left(call, value.shape, (axis_of(call, len(value.shape)),)))]

    def evaluate(call: Call, array: Array) -> list[Array]:
        axis = axis_of(call, array.ndim)
        if call.integer("select_last_index"):
            found = array.shape[axis] - 1 - place(np.flip(array, axis), axis=axis)
        else:
            found = place(array, axis=axis)
        kept = np.expand_dims(found, axis) if call.integer("keepdims") else found
        return [np.asarray(kept, np.int64)]

    register(name, "data", infer=infer, evaluate=evaluate, axis=0, keepdims=1, select_last_index=0)


def _infer_top_k(call: Call) -> list[TensorType]:
    value, count = call.input(0), integers(call, 1)
    call.require(value.dtype in _NUMBERS, "input type", ", ".join(_NUMBERS), value.dtype)
    call.require(len(count) == 1 and count[0] >= 0, "K", "one number", count)
    axis = axis_of(call, len(value.shape))
    length = value.shape[axis]
    if isinstance(length, int) and length < count[0]:
        call.fail("K", f"at most {length}", count[0])
    shape = (*value.shape[:axis], count[0], *value.shape[axis + 1 :])
    return [TensorType(value.dtype, shape), TensorType("int64", shape)]


def _top_k(call: Call, array: Array, _: Array) -> list[Array]:
    """The K largest (or smallest) along an axis in order, and their places; equals in order of place."""
    (count,), axis = integers(call, 1), axis_of(call, array.ndim)
    keys = np.negative(array) if call.integer("largest") else array
    order = np.argsort(keys, axis=axis, kind="stable").take(range(count), axis=axis)
    return [np.take_along_axis(array, order, axis), order.astype(np.int64)]


def _infer_cum_sum(call: Call) -> list[TensorType]:
    value = call.input(0)
    call.require(value.dtype in ("float32", "int64", "int32"), "input type", "numbers", value.dtype)
    _summed_axis(call)
    return [TensorType(value.dtype, value.shape)]


def _summed_axis(call: Call) -> int:
    given, rank = number(call, 1), len(call.input(0).shape)
    call.require(isinstance(given, int), "axis", "a fixed number", given)
    return axes_of(call, [int(given)], rank)[0]  # type: ignore[arg-type]


def _cum_sum(call: Call, array: Array, _: Array) -> list[Array]:
    """The sum up to each element; ``exclusive`` without it, ``reverse`` from the end on."""
    axis = _summed_axis(call)
    wide: Any = array.astype(np.float64) if array.dtype.kind == "f" else array
    wide = np.flip(wide, axis) if call.integer("reverse") else wide
    total = np.cumsum(wide, axis=axis)
    if call.integer("exclusive"):
        total = total - wide
    return [(np.flip(total, axis) if call.integer("reverse") else total).astype(array.dtype)]


_register("ReduceSum", np.sum)
_register("ReduceMean", _mean)
_register("ReduceProd", np.prod)
_register("ReduceMax", _extreme(np.max, -1), _ORDERED)
_register("ReduceMin", _extreme(np.min, 1), _ORDERED)
_register_place("ArgMax", np.argmax)
_register_place("ArgMin", np.argmin)
register("TopK", "X K", infer=_infer_top_k, evaluate=_top_k, axis=-1, largest=1, sorted=1)
register("CumSum", "x axis", infer=_infer_cum_sum, evaluate=_cum_sum, exclusive=0, reverse=0)
