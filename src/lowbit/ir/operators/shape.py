"""Operators that only move elements; codes pass through them."""

from math import prod

import numpy as np

from lowbit.ir.graph import Array, Dimension, Shape
from lowbit.ir.operators.registry import Call, TensorType, register


def _infer_flatten(call: Call) -> list[TensorType]:
    shape, axis = call.input(0).shape, call.integer("axis")
    call.require(-len(shape) <= axis <= len(shape), "axis out of range", f"at most {len(shape)}", axis)
    axis += len(shape) if axis < 0 else 0
    return [TensorType(call.input(0).dtype, (_product(call, shape[:axis]), _product(call, shape[axis:])))]


def _flatten(call: Call, array: Array) -> list[Array]:
    axis = call.integer("axis")
    axis += array.ndim if axis < 0 else 0
    return [array.reshape(prod(array.shape[:axis]), prod(array.shape[axis:]))]


def _infer_reshape(call: Call) -> list[TensorType]:
    value = call.input(0)
    target = call.graph.constant(call.node.inputs[1])
    call.require(target.ndim == 1 and target.dtype.kind == "i", "shape", "integers in a row", target)
    wanted = [int(length) for length in target]
    call.require(call.integer("allowzero") == 0 or 0 not in wanted, "a zero in the shape", "no zero", wanted)
    shape: list[Dimension] = []
    for axis, length in enumerate(wanted):
        call.require(
            length != 0 or axis < len(value.shape), "a copied axis", f"below {len(value.shape)}", axis
        )
        shape.append(length or value.shape[axis])
    return [TensorType(value.dtype, _with_inferred(call, value.shape, shape))]


def _reshape(call: Call, array: Array, shape: Array) -> list[Array]:
    wanted = [int(length) or array.shape[axis] for axis, length in enumerate(np.asarray(shape))]
    return [array.reshape(wanted)]


def _infer_concat(call: Call) -> list[TensorType]:
    values = [call.input(index) for index in range(len(call.node.inputs))]
    first, axis = values[0], call.integer("axis")
    rank = len(first.shape)
    call.require(-rank <= axis < rank, "axis out of range", f"{-rank} to {rank - 1}", axis)
    axis %= rank
    for value in values:
        call.require(value.encoding is None, "codes cannot be joined", "float32", value.dtype)
        call.require(value.dtype == first.dtype, "operand types differ", first.dtype, value.dtype)
        others = (*value.shape[:axis], *value.shape[axis + 1 :])
        call.require(
            others == (*first.shape[:axis], *first.shape[axis + 1 :]),
            "shapes differ",
            str(first.shape),
            value.shape,
        )
    lengths = [value.shape[axis] for value in values]
    call.require(
        all(isinstance(length, int) for length in lengths),
        "an open length is joined",
        "fixed lengths",
        lengths,
    )
    total = sum(length for length in lengths if isinstance(length, int))
    return [TensorType(first.dtype, (*first.shape[:axis], total, *first.shape[axis + 1 :]))]


def _concat(call: Call, *arrays: Array) -> list[Array]:
    return [np.concatenate(arrays, axis=call.integer("axis"))]


def _with_inferred(call: Call, source: Shape, shape: list[Dimension]) -> Shape:
    """Return ``shape`` with its -1 worked out; one named dimension may stand on both sides."""
    call.require(shape.count(-1) <= 1, "two inferred lengths", "at most one -1", shape)
    names = [length for length in source if isinstance(length, str)]
    known = prod(length for length in source if isinstance(length, int))
    given = prod(length for length in shape if isinstance(length, int) and length != -1)
    open_names = [name for name in names if name not in shape]
    call.require(len(open_names) <= 1, "several unknown lengths", "at most one", names)
    if open_names and -1 in shape and known == given:
        return tuple(open_names[0] if length == -1 else length for length in shape)
    call.require(not open_names or bool(shape), "element counts differ", str(source), shape)
    if open_names:  # a fixed batch in the shape of a network whose batch is open: keep it open
        fixed = shape[0] if isinstance(shape[0], int) and shape[0] > 0 else 1
        call.require(-1 not in shape and given == known * fixed, "element counts differ", str(source), shape)
        return (open_names[0], *shape[1:])
    call.require(given > 0 and known % given == 0, "element counts differ", str(source), shape)
    call.require(-1 in shape or known == given, "element counts differ", str(source), shape)
    return tuple(known // given if length == -1 else length for length in shape)


def _product(call: Call, shape: Shape) -> Dimension:
    names = [length for length in shape if isinstance(length, str)]
    known = prod(length for length in shape if isinstance(length, int))
    call.require(not names or (len(names) == 1 and known == 1), "a named length is merged", "it alone", shape)
    return names[0] if names else known


register("Flatten", "input", infer=_infer_flatten, evaluate=_flatten, axis=1)
register("Reshape", "data shape", infer=_infer_reshape, evaluate=_reshape, allowzero=0)
register("Concat", "inputs*", infer=_infer_concat, evaluate=_concat, axis=0)
