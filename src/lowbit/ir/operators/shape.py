"""Operators that only move elements; codes pass through them."""

from collections.abc import Sequence
from math import prod

import numpy as np

from lowbit.ir.graph import Array, Dimension, Shape
from lowbit.ir.lengths import Length, dimension_of, length_of, product
from lowbit.ir.operators.contents import axes_of, integers, numbers
from lowbit.ir.operators.registry import Call, TensorType, passed, register
from lowbit.ir.operators.traits import Trait
from lowbit.ir.operators.windows import LARGEST


def _infer_flatten(call: Call) -> list[TensorType]:
    shape, axis = call.input(0).shape, call.integer("axis")
    call.require(-len(shape) <= axis <= len(shape), "axis out of range", f"at most {len(shape)}", axis)
    axis += len(shape) if axis < 0 else 0
    return passed(call, (dimension_of(product(shape[:axis])), dimension_of(product(shape[axis:]))))


def _flatten(call: Call, array: Array) -> list[Array]:
    axis = call.integer("axis")
    axis += array.ndim if axis < 0 else 0
    return [array.reshape(prod(array.shape[:axis]), prod(array.shape[axis:]))]


def _infer_reshape(call: Call) -> list[TensorType]:
    value = call.input(0)
    wanted = [dimension_of(length) for length in numbers(call, 1)]
    call.require(call.integer("allowzero") == 0 or 0 not in wanted, "a zero in the shape", "no zero", wanted)
    shape: list[Dimension] = []
    for axis, length in enumerate(wanted):
        call.require(
            length != 0 or axis < len(value.shape), "a copied axis", f"below {len(value.shape)}", axis
        )
        shape.append(length or value.shape[axis])
    return passed(call, _with_inferred(call, value.shape, shape))


def _reshape(call: Call, array: Array, shape: Array) -> list[Array]:
    """A batch that the shape fixes, but inference keeps open, is that of the array."""
    wanted = [int(length) or array.shape[axis] for axis, length in enumerate(np.asarray(shape))]
    inferred = call.output().shape
    if -1 not in wanted and inferred and isinstance(inferred[0], str):
        wanted[0] = -1
    return [array.reshape(wanted)]


def _infer_concat(call: Call) -> list[TensorType]:
    values = [call.input(index) for index in range(len(call.node.inputs))]
    first, axis = values[0], call.integer("axis")
    rank = len(first.shape)
    call.require(-rank <= axis < rank, "axis out of range", f"{-rank} to {rank - 1}", axis)
    axis %= rank
    for index, value in enumerate(values):
        same = (value.dtype, value.encoding, len(value.shape)) == (first.dtype, first.encoding, rank)
        others = (*value.shape[:axis], *value.shape[axis + 1 :])
        if not same or others != (*first.shape[:axis], *first.shape[axis + 1 :]):
            call.fail("joined parts differ", call.described(0), call.described(index))
    lengths = [value.shape[axis] for value in values]
    total = dimension_of(sum(map(length_of, lengths)))
    return passed(call, (*first.shape[:axis], total, *first.shape[axis + 1 :]))


def _concat(call: Call, *arrays: Array) -> list[Array]:
    return [np.concatenate(arrays, axis=call.integer("axis"))]


def _infer_transpose(call: Call) -> list[TensorType]:
    shape, order = call.input(0).shape, _order(call)
    call.require(sorted(order) == list(range(len(shape))), "perm", f"the axes of {shape} once each", order)
    return passed(call, tuple(shape[axis] for axis in order))


def _transpose(call: Call, array: Array) -> list[Array]:
    return [np.asarray(array.transpose(_order(call)), order="C")]


def _order(call: Call) -> tuple[int, ...]:
    return call.integers("perm") or tuple(range(len(call.input(0).shape)))[::-1]


def _infer_squeeze(call: Call) -> list[TensorType]:
    shape, dropped = call.input(0).shape, _dropped(call)
    if any(shape[axis] != 1 for axis in dropped):
        call.fail("an axis to drop is not 1", f"1 in axes {dropped}", call.described(0))
    return passed(call, tuple(length for axis, length in enumerate(shape) if axis not in dropped))


def _squeeze(call: Call, array: Array, axes: Array | None = None) -> list[Array]:
    return [np.squeeze(array, tuple(_dropped(call)))]


def _dropped(call: Call) -> Sequence[int]:
    """Return the axes to drop: those given, else all that are known to have length 1."""
    shape = call.input(0).shape
    if call.optional(1) is None:
        return [axis for axis, length in enumerate(shape) if length == 1]
    return axes_of(call, integers(call, 1), len(shape))


def _infer_unsqueeze(call: Call) -> list[TensorType]:
    shape = call.input(0).shape
    count = len(shape) + len(integers(call, 1))
    call.require(count <= _MOST_AXES, "axes", f"at most {_MOST_AXES}", count)
    added, rest = axes_of(call, integers(call, 1), count), iter(shape)
    return passed(call, tuple(1 if axis in added else next(rest) for axis in range(count)))


def _unsqueeze(call: Call, array: Array, axes: Array) -> list[Array]:
    return [np.expand_dims(array, tuple(int(axis) for axis in np.asarray(axes)))]


def _infer_pad(call: Call) -> list[TensorType]:
    value, fill, mode = call.input(0), call.optional(2), call.text("mode")
    call.require(
        value.encoding is None, "codes cannot be padded", "float32; pads of the next layer", value.dtype
    )
    call.require(mode in _PAD_MODES, "mode", ", ".join(_PAD_MODES), mode)
    if fill is not None and (fill.dtype != value.dtype or fill.shape not in ((), (1,))):
        call.fail("the value to pad with", f"one {value.dtype}", call.described(2))
    edges = _edges(call)
    call.require(
        mode == "constant" or all(edge >= 0 for pair in edges for edge in pair),
        "negative pads",
        "mode constant",
        mode,
    )
    shape: list[Dimension] = []
    for length, pair in zip(value.shape, edges, strict=True):
        left = length + min(pair[0], 0) + min(pair[1], 0) if isinstance(length, int) else 0
        if any(pair) and left < 1:
            call.fail(f"pads {pair}", "a fixed length with something left", call.described(0))
        shape.append(length + sum(pair) if isinstance(length, int) else length)
    return [TensorType(value.dtype, tuple(shape))]


def _pad(call: Call, array: Array, pads: Array, fill: Array | None = None) -> list[Array]:
    """Positive pads add elements, negative ones take them away."""
    edges = _edges(call)
    kept = array[
        tuple(slice(max(-b, 0), n - max(-e, 0)) for (b, e), n in zip(edges, array.shape, strict=True))
    ]
    grown = [(max(b, 0), max(e, 0)) for b, e in edges]
    if call.text("mode") == "constant":
        return [np.pad(kept, grown, constant_values=0 if fill is None else np.asarray(fill).reshape(-1)[0])]
    return [np.pad(kept, grown, mode=call.text("mode"))]  # type: ignore[call-overload]


def _edges(call: Call) -> list[tuple[int, int]]:
    rank, pads = len(call.input(0).shape), integers(call, 1)
    call.require(len(pads) == 2 * rank, "pads", f"{2 * rank} numbers", pads)
    call.require(max(map(abs, pads), default=0) <= LARGEST, "pads", f"at most {LARGEST}", pads)
    return list(zip(pads[:rank], pads[rank:], strict=True))


def _with_inferred(call: Call, source: Shape, shape: list[Dimension]) -> Shape:
    """Return ``shape`` with its -1 worked out; lengths may be open."""
    call.require(shape.count(-1) <= 1, "two inferred lengths", "at most one -1", shape)
    known, given = product(source), product(length for length in shape if length != -1)
    if -1 in shape:
        try:
            rest = dimension_of(known // given)
            exact = given != 0 and known == given * (known // given)
        except ArithmeticError:
            exact = False
        call.require(exact, "element counts differ", str(source), shape)
        return tuple(rest if length == -1 else length for length in shape)
    if known == given or not isinstance(known, Length) or isinstance(given, Length) or not shape:
        call.require(known == given, "element counts differ", str(source), shape)
        return tuple(shape)
    # A fixed batch in the shape of a network whose batch is open: keep it open.
    names = [length for length in source if isinstance(length, str)]
    fixed = shape[0] if isinstance(shape[0], int) and shape[0] > 0 else 1
    call.require(known * fixed == given * length_of(names[0]), "element counts differ", str(source), shape)
    return (names[0], *shape[1:])


_MOST_AXES = 8
_PAD_MODES = ("constant", "edge", "reflect", "wrap")

_RESHAPES = Trait.MOVES | Trait.KEEPS_ORDER | Trait.CARRIES
_REGROUPS = _RESHAPES | Trait.REGROUPS

register("Flatten", "input", infer=_infer_flatten, evaluate=_flatten, traits=_REGROUPS, axis=1)
register("Reshape", "data shape", infer=_infer_reshape, evaluate=_reshape, traits=_REGROUPS, allowzero=0)
register("Concat", "inputs*", infer=_infer_concat, evaluate=_concat, traits=Trait.CARRIES, axis=0)
register(
    "Transpose",
    "data",
    infer=_infer_transpose,
    evaluate=_transpose,
    traits=Trait.MOVES | Trait.CARRIES,
    perm=(),
)
register("Squeeze", "data axes?", infer=_infer_squeeze, evaluate=_squeeze, traits=_RESHAPES)
register("Unsqueeze", "data axes", infer=_infer_unsqueeze, evaluate=_unsqueeze, traits=_RESHAPES)
register("Pad", "data pads constant_value?", infer=_infer_pad, evaluate=_pad, mode="constant")
