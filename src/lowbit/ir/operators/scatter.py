"""Operators that write elements to places that integers name."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lowbit.ir.graph import Array, Shape
from lowbit.ir.lengths import dimension_of, may_be_equal
from lowbit.ir.operators.contents import axis_of, number
from lowbit.ir.operators.movement import from_zero, require_indices
from lowbit.ir.operators.registry import Call, Parts, TensorType, register
from lowbit.ir.operators.windows import LARGEST


def _infer_scatter_elements(call: Call) -> list[TensorType]:
    shape, index = call.input(0).shape, call.input(1).shape
    axis_of(call, len(shape))
    call.require(len(index) == len(shape), "rank of indices", str(len(shape)), index)
    return _infer_scatter(call, index)


def _infer_scatter_nd(call: Call) -> list[TensorType]:
    shape, index = call.input(0).shape, call.input(1).shape
    depth = index[-1] if index else 0
    if not isinstance(depth, int) or not 1 <= depth <= len(shape):
        call.fail("indices", f"[..., 1 to {len(shape)}]", index)
    return _infer_scatter(call, (*index[:-1], *shape[depth:]))


def _infer_scatter(call: Call, wanted: Shape) -> list[TensorType]:
    """Both scatters write updates, of the type of data, to places of a copy of it."""
    value, updates = call.input(0), call.input(2)
    require_indices(call, 1)
    fits = len(updates.shape) == len(wanted) and all(map(may_be_equal, updates.shape, wanted))
    call.require(fits, "shape of updates", str(wanted), updates.shape)
    call.require(updates.dtype == value.dtype, "updates", value.dtype, updates.dtype)
    call.require(
        call.text("reduction") in _REDUCTIONS, "reduction", ", ".join(_REDUCTIONS), call.text("reduction")
    )
    return [TensorType(value.dtype, value.shape)]


def _scatter_elements(call: Call, array: Array, index: Array, updates: Array) -> list[Array]:
    axis = call.integer("axis") % array.ndim
    places: list[Any] = list(np.indices(index.shape))
    places[axis] = from_zero(call, index, array.shape[axis])
    return [_scattered(call, array, tuple(places), updates)]


def _scatter_nd(call: Call, array: Array, index: Array, updates: Array) -> list[Array]:
    places = tuple(from_zero(call, index[..., k], array.shape[k]) for k in range(index.shape[-1]))
    return [_scattered(call, array, places, updates)]


def _scattered(call: Call, array: Array, places: Sequence[Any], updates: Array) -> Array:
    made, ufunc = array.copy(), _REDUCTIONS[call.text("reduction")]
    if ufunc is None:
        made[tuple(places)] = updates
    else:
        ufunc.at(made, tuple(places), updates)
    return made


def _infer_one_hot(call: Call) -> list[TensorType]:
    shape, depth, values = call.input(0).shape, number(call, 1), call.input(2)
    call.require(isinstance(depth, int) and 0 < depth <= LARGEST, "depth", f"1 to {LARGEST}", depth)
    axis = call.integer("axis")
    axis += len(shape) + 1 if axis < 0 else 0
    call.require(0 <= axis <= len(shape), "axis out of range", f"at most {len(shape)}", axis)
    call.require(values.shape == (2,), "values", "[2]", values.shape)
    return [TensorType(values.dtype, (*shape[:axis], dimension_of(depth), *shape[axis:]))]


def _one_hot(call: Call, index: Array, size: Array, values: Array) -> list[Array]:
    depth, axis = int(size.reshape(-1)[0]), call.integer("axis")
    axis += index.ndim + 1 if axis < 0 else 0
    whole = np.expand_dims(np.floor(index).astype(np.int64), axis)
    whole = np.where(whole < 0, whole + depth, whole)
    places = np.arange(depth).reshape(-1, *[1] * (index.ndim - axis))
    return [np.where(whole == places, values[1], values[0]).astype(values.dtype)]


def _one_hot_parts(call: Call, add: Parts) -> str:
    """Where an index is the place along the new axis, the second of both values, else the first."""
    index, axis = call.node.inputs[0], call.integer("axis")
    depth, rank = int(number(call, 1)), len(call.input(0).shape)  # type: ignore[arg-type]
    axis += rank + 1 if axis < 0 else 0
    whole = index if call.input(0).dtype != "float32" else add.node("Floor", index)
    kind = call.input(0).dtype
    below = add.node("Less", whole, add.constant(0, kind))
    whole = add.node("Where", below, add.node("Add", whole, add.constant(depth, kind)), whole)
    row = add.node("Unsqueeze", whole, add.constant([axis], "int64"))
    places = add.constant(np.arange(depth).reshape(-1, *[1] * (rank - axis)), kind)
    off, on = (add.node("Gather", call.node.inputs[2], add.constant([k], "int64")) for k in (0, 1))
    return add.node("Where", add.node("Equal", row, places), on, off)


_REDUCTIONS: dict[str, Any] = {
    "none": None,
    "add": np.add,
    "mul": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
}

register(
    "ScatterElements",
    "data indices updates",
    infer=_infer_scatter_elements,
    evaluate=_scatter_elements,
    axis=0,
    reduction="none",
)
register("ScatterND", "data indices updates", infer=_infer_scatter_nd, evaluate=_scatter_nd, reduction="none")
register(
    "OneHot", "indices depth values", infer=_infer_one_hot, evaluate=_one_hot, parts=_one_hot_parts, axis=-1
)
