"""Operators that choose elements and repeat them: parts, rows by number, copies. Codes pass through.

A negative index counts from the end. What lies outside is an error, when the network runs.
"""

from typing import Any

import numpy as np

from lowbit.errors import DataError
from lowbit.ir.graph import Array, Dimension
from lowbit.ir.lengths import Length, dimension_of, length_of
from lowbit.ir.operators.contents import Number, axes_of, axis_of, integers, numbers
from lowbit.ir.operators.registry import Call, TensorType, broadcast, passed, register
from lowbit.ir.operators.traits import Trait

_FAR = 2**31 - 1  # an end at least as far is the end of the axis


def _infer_slice(call: Call) -> list[TensorType]:
    shape = list(call.input(0).shape)
    for axis, start, end, step in _cuts(call):
        shape[axis] = _cut_length(call, shape[axis], start, end, step)
    return passed(call, tuple(shape))


def _slice(
    call: Call,
    array: Array,
    starts: Array,
    ends: Array,
    axes: Array | None = None,
    steps: Array | None = None,
) -> list[Array]:
    """Elements from ``starts`` to before ``ends`` by ``steps``; bounds outside are moved to the next end."""
    parts = [slice(None)] * array.ndim
    named = range(len(starts)) if axes is None else [int(axis) for axis in axes]
    paces = [1] * len(starts) if steps is None else [int(step) for step in steps]
    for axis, start, end, step in zip(named, starts, ends, paces, strict=True):
        last = None if step < 0 and int(end) < -array.shape[axis] else int(end)
        parts[axis] = slice(int(start), last, step)
    return [np.ascontiguousarray(array[tuple(parts)])]


def _cuts(call: Call) -> list[tuple[int, Number, Number, int]]:
    """Return axis, start, end and step of every axis that is cut."""
    rank, starts, ends = len(call.input(0).shape), numbers(call, 1), numbers(call, 2)
    axes = integers(call, 3) if call.optional(3) else list(range(len(starts)))
    steps = integers(call, 4) if call.optional(4) else [1] * len(starts)
    fits = len(starts) == len(ends) == len(axes) == len(steps) and 0 not in steps
    call.require(
        fits, "starts, ends, axes and steps", "as many of each, no step 0", (starts, ends, axes, steps)
    )
    return list(zip(axes_of(call, axes, rank), starts, ends, steps, strict=True))


def _cut_length(call: Call, length: Dimension, start: Number, end: Number, step: int) -> Dimension:
    """Return how many elements are left of an axis."""
    if isinstance(length, int) and isinstance(start, int) and isinstance(end, int):
        return len(range(*slice(start, None if step < 0 and end < -length else end, step).indices(length)))
    whole = length_of(length)
    first, last = (_from_front(call, number, whole) for number in (start, end))
    call.require(step == 1, "a step along an open length", "1", step)
    return dimension_of(last - first)


def _from_front(call: Call, number: Number, whole: Number) -> Number:
    """Return a bound of an open axis counted from the front; an end that may lie outside has no number."""
    if isinstance(number, Length):
        return number
    if number >= _FAR:
        return whole
    if number > 0:
        call.fail("a part of an open length", "a fixed length, or from the start or the end on", str(whole))
    return number if number == 0 else whole + number


def _infer_gather(call: Call) -> list[TensorType]:
    shape, index = call.input(0).shape, call.input(1)
    axis = axis_of(call, len(shape))
    require_indices(call, 1)
    return passed(call, (*shape[:axis], *index.shape, *shape[axis + 1 :]))


def _gather(call: Call, array: Array, index: Array) -> list[Array]:
    """Rows of ``data`` along ``axis``, by number."""
    axis = call.integer("axis") % array.ndim
    taken = np.empty((*array.shape[:axis], *index.shape, *array.shape[axis:][1:]), array.dtype)
    taken[...] = np.take(array, from_zero(call, index, array.shape[axis]), axis=axis)
    return [taken]  # of an object array one element comes without its array


def _infer_gather_elements(call: Call) -> list[TensorType]:
    shape, index = call.input(0).shape, call.input(1)
    axis_of(call, len(shape))
    require_indices(call, 1)
    call.require(len(index.shape) == len(shape), "rank of indices", str(len(shape)), index.shape)
    return passed(call, index.shape)


def _gather_elements(call: Call, array: Array, index: Array) -> list[Array]:
    axis = call.integer("axis") % array.ndim
    places: list[Any] = list(np.indices(index.shape, sparse=True))
    places[axis] = from_zero(call, index, array.shape[axis])
    return [array[tuple(places)]]


def _infer_gather_nd(call: Call) -> list[TensorType]:
    shape, index, batch = call.input(0).shape, call.input(1).shape, call.integer("batch_dims")
    require_indices(call, 1)
    depth = index[-1] if index else 0
    fits = (
        isinstance(depth, int)
        and 1 <= depth <= len(shape) - batch
        and 0 <= batch < min(len(index), len(shape))
    )
    call.require(fits, "indices", f"[..., at most {len(shape) - batch}]", index)
    assert isinstance(depth, int)
    return passed(call, (*index[:-1], *shape[batch + depth :]))


def _gather_nd(call: Call, array: Array, index: Array) -> list[Array]:
    batch, depth = call.integer("batch_dims"), index.shape[-1]
    behind = (1,) * (index.ndim - 1 - batch)
    rows: tuple[Any, ...] = np.indices(index.shape[:batch], sparse=True)
    places = [row.reshape(row.shape + behind) for row in rows]
    places += [from_zero(call, index[..., k], array.shape[batch + k]) for k in range(depth)]
    return [array[tuple(places)]]


def require_indices(call: Call, index: int) -> None:
    """Raise `GraphError` unless an input holds integers that may be indices."""
    call.require(
        call.input(index).dtype in ("int64", "int32"), "indices", "int64 or int32", call.input(index).dtype
    )


def from_zero(call: Call, index: Array, length: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return indices counted from the front."""
    places = np.asarray(index, np.int64)
    if places.size and not -length <= places.min() <= places.max() < length:
        raise DataError(
            "an index lies outside",
            where=call.where,
            expected=f"{-length} to {length - 1}",
            found=f"{places.min()} to {places.max()}",
        )
    return np.where(places < 0, places + length, places)


def _infer_expand(call: Call) -> list[TensorType]:
    wanted = tuple(map(dimension_of, numbers(call, 1)))
    return passed(call, broadcast(call, call.input(0).shape, wanted))


def _expand(call: Call, array: Array, shape: Array) -> list[Array]:
    target = np.broadcast_shapes(array.shape, tuple(int(length) for length in shape))
    return [np.broadcast_to(array, target).copy()]


def _infer_tile(call: Call) -> list[TensorType]:
    shape, times = call.input(0).shape, numbers(call, 1)
    known = all(not isinstance(number, int) or number >= 0 for number in times)
    call.require(len(times) == len(shape) and known, "repeats", f"{len(shape)} numbers from 0 on", times)
    repeated = zip(shape, times, strict=True)
    return passed(call, tuple(dimension_of(length_of(length) * number) for length, number in repeated))


def _tile(call: Call, array: Array, repeats: Array) -> list[Array]:
    return [np.tile(array, tuple(int(number) for number in repeats))]


register("Slice", "data starts ends axes? steps?", infer=_infer_slice, evaluate=_slice, traits=Trait.CARRIES)
register("Gather", "data indices", infer=_infer_gather, evaluate=_gather, traits=Trait.CARRIES, axis=0)
register(
    "GatherElements",
    "data indices",
    infer=_infer_gather_elements,
    evaluate=_gather_elements,
    traits=Trait.CARRIES,
    axis=0,
)
register(
    "GatherND",
    "data indices",
    infer=_infer_gather_nd,
    evaluate=_gather_nd,
    traits=Trait.CARRIES,
    batch_dims=0,
)
register("Expand", "input shape", infer=_infer_expand, evaluate=_expand, traits=Trait.CARRIES)
register("Tile", "input repeats", infer=_infer_tile, evaluate=_tile, traits=Trait.CARRIES)
