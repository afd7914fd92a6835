"""Shapes as numbers, and axes of length 1 that come and go."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.formats.circle.file_tensors import lengths_of
from lowbit.formats.circle.importer import Importer, options_of
from lowbit.formats.circle.moving import axis_of, moved, numbers
from lowbit.formats.circle.schema import Operator, SqueezeOptions
from lowbit.formats.circle.structure import require
from lowbit.ir.graph import Shape
from lowbit.ir.lengths import Length
from lowbit.ir.worked_out import shape_array


def shape(importer: Importer, operator: Operator, place: str) -> None:
    """SHAPE: known while the file is read, but for open lengths, which count on as such."""
    importer.folded[operator.outputs[0]] = shape_array(importer.shape(operator.inputs[0]))


def rank(importer: Importer, operator: Operator, place: str) -> None:
    """RANK."""
    importer.folded[operator.outputs[0]] = np.array(len(importer.shape(operator.inputs[0])), np.int64)


def broadcast_shape(importer: Importer, operator: Operator, place: str) -> None:
    """BROADCAST_ARGS: the shape to which two shapes broadcast."""
    rows = [numbers(importer, index, "a shape", place) for index in operator.inputs]
    rank = max(map(len, rows))
    padded = [[1] * (rank - len(row)) + row for row in rows]
    result = [
        second if not isinstance(first, Length) and first == 1 else first
        for first, second in zip(*padded, strict=True)
    ]
    importer.folded[operator.outputs[0]] = _array(result)


def _array(row: Sequence[Any]) -> npt.NDArray[Any]:
    return shape_array(tuple(str(each) if isinstance(each, Length) else int(each) for each in row))


def squeezed(importer: Importer, operator: Operator, place: str) -> None:
    """SQUEEZE: a reshape without the axes that it names, or all of length 1."""
    source = operator.inputs[0]
    named, shape = options_of(operator, SqueezeOptions()).squeeze_dims, importer.shape(source)
    axes = [axis_of(importer, source, axis, place) for axis in named]
    axes = axes or [axis for axis, length in enumerate(shape) if length == 1]
    left = tuple(length for axis, length in enumerate(shape) if axis not in axes)
    _reshape_to(importer, operator, left, "Squeeze", axes)


def widened(importer: Importer, operator: Operator, place: str) -> None:
    """EXPAND_DIMS: a reshape with another axis of length 1."""
    source = operator.inputs[0]
    row = numbers(importer, operator.inputs[1], "an axis", place)
    require(len(row) == 1, "an axis is none", place, "1 number", row)
    axis = axis_of(importer, source, row[0], place, 1)
    shape = importer.shape(source)
    _reshape_to(importer, operator, (*shape[:axis], 1, *shape[axis:]), "Unsqueeze", [axis])


def _reshape_to(importer: Importer, operator: Operator, shape: Shape, op: str, axes: list[int]) -> None:
    """Append a reshape, where only one length is open; else the operator that says what it does by axes."""
    output = operator.outputs[0]
    if sum(isinstance(length, str) for length in shape) > 1:
        op_row = importer.integers(axes, f"{importer.name(output)}_axes")
        moved(importer, op, operator.inputs[0], (op_row,), output)
        return
    name = importer.integers(lengths_of(shape), f"{importer.name(output)}_shape")
    moved(importer, "Reshape", operator.inputs[0], (name,), output)
