"""MEAN and REDUCE_MAX as pools over the whole map that their axes make; all other reductions as such."""

from collections.abc import Callable
from math import prod

import numpy as np

from lowbit.formats.circle.file_tensors import lengths_of, unsupported
from lowbit.formats.circle.foreign_options import CumsumOptions
from lowbit.formats.circle.functions import only_operand, operand
from lowbit.formats.circle.importer import Importer, options_of
from lowbit.formats.circle.moving import axis_of, numbers, there
from lowbit.formats.circle.schema import Operator, ReducerOptions
from lowbit.formats.circle.structure import require
from lowbit.ir.graph import Attribute, Shape
from lowbit.ir.infer import infer_node
from lowbit.ir.operators.logic import CASTS

Import = Callable[[Importer, Operator, str], None]

REDUCTIONS = {
    "REDUCE_ALL": "ReduceMin",
    "REDUCE_ANY": "ReduceMax",
    "REDUCE_MIN": "ReduceMin",
    "REDUCE_PROD": "ReduceProd",
    "SUM": "ReduceSum",
}
"""Reductions that are no pools; of truth values the smallest says all, the largest any."""


def pooled(op: str, reduce: str) -> Import:
    """Return what imports a reduction: over axes behind the batch a pool, else ``reduce``."""

    def run(importer: Importer, operator: Operator, place: str) -> None:
        found, source = importer.constant(operator.inputs[1]), operator.inputs[0]
        shape = importer.shape(source)
        axes = (
            [] if found is None else sorted({int(axis) % max(len(shape), 1) for axis in np.atleast_1d(found)})
        )
        fixed = not any(isinstance(length, str) for length in shape[1:])
        real = importer.constant(source) is None and importer.is_real(source)
        maps = axes == [*range(1, len(axes) + 1)] and len(axes) + 2 == len(shape)
        if not maps or not fixed or not real:
            reduction(reduce)(importer, operator, place)
            return
        keeps = options_of(operator, ReducerOptions()).keep_dims
        if len(shape) == 4 and axes == [1, 2]:
            _of_map(importer, op, operator, keeps)
        else:
            _of_any(importer, op, operator, axes, shape)

    return run


def reduction(op: str) -> Import:
    """Return what imports a reduction over any axes, all of them where none is named."""

    def run(importer: Importer, operator: Operator, place: str) -> None:
        source, as_map = only_operand(importer, operator)
        keeps = int(options_of(operator, ReducerOptions()).keep_dims)
        rank, stem = len(importer.shape(operator.inputs[0])), importer.name(operator.outputs[0])
        axes = [int(axis) for axis in numbers(importer, operator.inputs[1], "axes", place)] or range(rank)
        inside = all(-rank <= axis < rank for axis in axes)
        require(inside, "an axis is out of range", place, f"below {rank}", list(axes))
        if as_map and not keeps:
            source, as_map = importer.real(operator.inputs[0]), False
        row = importer.integers([there(axis % rank, as_map) for axis in axes], f"{stem}_axes")
        attributes: dict[str, Attribute] = {"keepdims": keeps}
        if not rank:
            importer.compute("Identity", (source,), operator.outputs[0])
            return
        importer.compute(op, (source, row), operator.outputs[0], as_map=as_map, attributes=attributes)

    return run


def place_of(op: str) -> Import:
    """Return what imports ARG_MAX or ARG_MIN."""

    def run(importer: Importer, operator: Operator, place: str) -> None:
        source, output = operator.inputs[0], operator.outputs[0]
        axis = axis_of(importer, source, numbers(importer, operator.inputs[1], "an axis", place)[0], place)
        name = operand(importer, source, False, place)
        if importer.type(output) == "int64":
            importer.compute(op, (name,), output, attributes={"axis": axis, "keepdims": 0})
            return
        found = importer.insert(op, (name,), importer.name(output), axis=axis, keepdims=0)
        importer.compute("Cast", (found,), output, attributes={"to": CASTS[importer.type(output)]})

    return run


def largest(importer: Importer, operator: Operator, place: str) -> None:
    """TOPK_V2: the largest along the last axis, and their places."""
    source, stem = operand(importer, operator.inputs[0], False, place), importer.name(operator.outputs[0])
    count = importer.integers(numbers(importer, operator.inputs[1], "a count", place), f"{stem}_count")
    if importer.encoding_of(operator.outputs[0]) is not None:
        raise unsupported("the largest of codes", place, "floats", "8 bits")
    names = (importer.value(operator.outputs[0]), importer.fresh(f"{stem}_places"))
    importer.nodes("TopK", (source, count), names, "", {"axis": -1})
    infer_node(importer.graph, importer.graph.nodes[-1])
    index = operator.outputs[1]
    importer.compute("Cast", (names[1],), index, attributes={"to": CASTS[importer.type(index)]})


def cumulative(importer: Importer, operator: Operator, place: str) -> None:
    """CUMSUM."""
    options, source = options_of(operator, CumsumOptions()), operator.inputs[0]
    axis = axis_of(importer, source, numbers(importer, operator.inputs[1], "an axis", place)[0], place)
    name, as_map = only_operand(importer, operator)
    row = importer.integers([there(axis, as_map)], f"{importer.name(operator.outputs[0])}_axis")
    attributes: dict[str, Attribute] = {
        "exclusive": int(options.exclusive),
        "reverse": int(options.reverse),
    }
    importer.compute("CumSum", (name, row), operator.outputs[0], as_map=as_map, attributes=attributes)


def _of_map(importer: Importer, op: str, operator: Operator, keeps: bool) -> None:
    source, output = operator.inputs[0], operator.outputs[0]
    passes = op == "GlobalMaxPool" and importer.encoding_of(source) == importer.encoding_of(output)
    operand = importer.map(source) if passes else importer.real(source, as_map=True)
    if keeps and passes:
        importer.node(op, (operand,), importer.map_output(output))
        return
    if keeps:
        importer.compute(op, (operand,), output, as_map=True)
        return
    value = importer.graph.value(operand)
    pooled = importer.add_computed(
        f"{importer.name(output)}_pooled", value.dtype, (*value.shape[:2], 1, 1), value.encoding
    )
    importer.node(op, (operand,), pooled)
    _reshaped(importer, pooled, output, passes)


def _of_any(importer: Importer, op: str, operator: Operator, axes: list[int], shape: Shape) -> None:
    """The axes move behind the others, which become one."""
    source, output = importer.real(operator.inputs[0]), operator.outputs[0]
    stem, kept = importer.name(output), [axis for axis in range(1, len(shape)) if axis not in axes]
    order = (0, *kept, *axes)
    if order != tuple(range(len(shape))):
        moved = importer.add_computed(f"{stem}_moved", "float32", tuple(shape[axis] for axis in order))
        importer.node("Transpose", (source,), moved, perm=order)
        source = moved
    lengths = (shape[0], *(prod(int(shape[axis]) for axis in group) for group in (kept, axes)))
    if len(kept) != 1 or len(axes) != 1:
        target = importer.add_constant(f"{stem}_rows_shape", np.array(lengths_of(lengths), np.int64), "int64")
        rows = importer.add_computed(f"{stem}_rows", "float32", lengths)
        importer.node("Reshape", (source, target), rows)
        source = rows
    pooled = importer.add_computed(f"{stem}_pooled", "float32", (*lengths[:2], 1))
    importer.node(op, (source,), pooled)
    _reshaped(importer, pooled, output, False)


def _reshaped(importer: Importer, source: str, output: int, passes: bool) -> None:
    """Append the reshape to what the file says of the result."""
    shape = np.array(lengths_of(importer.shape(output)), np.int64)
    target = importer.add_constant(f"{importer.name(output)}_shape", shape, "int64")
    if passes:
        importer.node("Reshape", (source, target), importer.value(output))
    else:
        importer.compute("Reshape", (source, target), output)
