"""Works out shape arithmetic and constant transposes while reading.

Exporters compute the target of a reshape from the input's shape (SHAPE, STRIDED_SLICE, PACK). All of it
is known when the file is read, but for an open batch, which is written -1, as a reshape wants it.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.formats.circle.importer import Importer, options_of
from lowbit.formats.circle.schema import Operator, PackOptions, StridedSliceOptions
from lowbit.formats.circle.structure import MAX_RANK

_SMALL = 64


def fold(importer: Importer, name: str, operator: Operator) -> bool:
    """Work an operator out if its result follows from the file alone; return whether it did."""
    if name == "SHAPE" and len(operator.inputs) == 1 and len(operator.outputs) == 1:
        lengths = [-1 if isinstance(length, str) else length for length in importer.shape(operator.inputs[0])]
        importer.folded[operator.outputs[0]] = np.array(lengths, np.int64)
        return True
    if name not in _FOLDERS or len(operator.outputs) != 1 or -1 in operator.inputs:
        return False
    found = [importer.constant(index) for index in operator.inputs]
    inputs = [data for data in found if data is not None]
    if not inputs or len(inputs) < len(found):
        return False
    result = _FOLDERS[name](inputs, operator)
    if result is not None:
        importer.folded[operator.outputs[0]] = result
    return result is not None


def _slice(inputs: list[npt.NDArray[Any]], operator: Operator) -> npt.NDArray[Any] | None:
    """Return one-dimensional ``data[begin:end:step]``."""
    if len(inputs) != 4 or inputs[0].ndim != 1 or any(part.size != 1 for part in inputs[1:]):
        return None
    options = options_of(operator, StridedSliceOptions())
    if options.ellipsis_mask or options.new_axis_mask or not int(inputs[3].item()):
        return None
    begin, end, step = (int(part.item()) for part in inputs[1:])
    if options.shrink_axis_mask:
        return inputs[0][begin] if -len(inputs[0]) <= begin < len(inputs[0]) else None
    return inputs[0][None if options.begin_mask else begin : None if options.end_mask else end : step]


def _pack(inputs: list[npt.NDArray[Any]], operator: Operator) -> npt.NDArray[Any] | None:
    """Return scalars as a vector."""
    if any(data.ndim for data in inputs) or options_of(operator, PackOptions()).axis:
        return None
    return np.array([data.item() for data in inputs], np.int64) if len(inputs) <= _SMALL else None


def _transpose(inputs: list[npt.NDArray[Any]], _: Operator) -> npt.NDArray[Any] | None:
    """Return a constant with its axes in another order."""
    if len(inputs) != 2 or inputs[1].ndim != 1 or len(inputs[1]) > MAX_RANK:
        return None
    order = [int(axis) for axis in inputs[1]]
    return (
        np.ascontiguousarray(inputs[0].transpose(order))
        if sorted(order) == list(range(inputs[0].ndim))
        else None
    )


_FOLDERS = {"STRIDED_SLICE": _slice, "PACK": _pack, "TRANSPOSE": _transpose}

FOLDED = ("SHAPE", *_FOLDERS)
"""Operators that are worked out where their inputs are known."""
