"""Sums of weighted windows, exact where numbers are whole: by matrix products of patches in a float type.

Whole numbers whose every partial sum stays below 2^24 are exact in float32, below 2^53 in float64, whatever
the order of summation.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.ir.deployed import Integers
from lowbit.ir.graph import Array
from lowbit.ir.window import Axis, Window

Sums = npt.NDArray[np.float64] | npt.NDArray[np.float32]

_SINGLE_EXACT, _CHUNK = 1 << 24, 1 << 24


def convolve(levels: Integers, weights: Integers, codes: Array, window: Window, group: int) -> Sums:
    """Return the accumulators ``[n, y, x, o]``: whole numbers, exact in the float type that is chosen.

    Args:
        levels: integer of every input code.
        weights: integers ``[o, kh, kw, c / group]``.
        codes: ``[n, c, h, w]``.
        window: rows, then columns.
        group: how many parts the channels fall into.
    """
    largest = int(np.abs(levels).max()) * int(np.abs(weights).reshape(len(weights), -1).sum(axis=1).max())
    dtype = np.float32 if largest <= _SINGLE_EXACT else np.float64
    exact: Sums = weights.astype(dtype)  # type: ignore[assignment]
    return sum_windows(codes, exact, window, group, levels)


def sum_windows(
    values: npt.NDArray[Any],
    weights: Sums,
    window: Window,
    group: int,
    levels: Integers | None = None,
) -> Sums:
    """Return the sums of weighted windows ``[n, y, x, o]`` in the type of the weights.

    Args:
        values: maps ``[n, c, h, w]``: reals, or codes with `levels`.
        weights: ``[o, kh, kw, c / group]``.
        window: rows, then columns.
        group: how many parts the channels fall into.
        levels: by code.
    """
    matrix = weights.reshape(group, len(weights) // group, -1).transpose(0, 2, 1)
    rows, columns = window
    result = np.empty((len(values), rows.outputs, columns.outputs, len(weights)), weights.dtype)
    size = rows.outputs * columns.outputs * matrix.shape[1] * group
    for start in range(0, len(values), max(_CHUNK // size, 1)):
        part = slice(start, start + max(_CHUNK // size, 1))
        reals = values[part] if levels is None else levels[values[part].astype(np.intp)]
        patches = patches_of(reals.astype(weights.dtype).transpose(0, 2, 3, 1), window, group)
        sums = [patches[..., g, :] @ matrix[g] for g in range(group)]
        result[part] = np.concatenate(sums, axis=-1)
    return result


def patches_of(image: npt.NDArray[Any], window: Window, group: int = 1) -> npt.NDArray[Any]:
    """Return the windows of images ``[n, h, w, c]``, zeros outside.

    Returns:
        ``[n, y, x, group, kh * kw * c / group]``, elements in the order (kh, kw, c).
    """
    rows, columns = window
    lines = _gathered(image, rows, 1)
    both = _gathered(lines, columns, 3)  # [n, y, kh, x, kw, c]
    grouped = both.reshape(*both.shape[:5], group, -1).transpose(0, 1, 3, 5, 2, 4, 6)
    return grouped.reshape(*grouped.shape[:4], -1)


def _gathered(array: npt.NDArray[Any], axis: Axis, where: int) -> npt.NDArray[Any]:
    """Return windows along one axis of the array, which becomes two: outputs, taps."""
    # Position -1 is a slice of zeros appended at the end.
    zeros = np.zeros((*array.shape[:where], 1, *array.shape[where + 1 :]), array.dtype)
    positions = np.where(axis.valid(), axis.positions(), axis.extent)
    return np.take(np.concatenate([array, zeros], axis=where), positions, axis=where)
