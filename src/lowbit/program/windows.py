"""Windows of the engine's steps, and constants that differ between borders.

The engine numbers the regions of a map, the outputs whose windows hold the same taps, by rows first and in
the order in which they appear; `lowbit.ir.window` sorts its classes. Here one becomes the other.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.ir import Node
from lowbit.ir.window import Axis, Window

Integers = npt.NDArray[np.int64]


def window_of(node: Node, shape: tuple[int | str, ...], kernel: tuple[int, ...]) -> Window:
    """Return the window of a verified node over a map ``[n, c, h, w]``."""
    (_, _, height, width) = shape
    strides, dilations = (_pair(node, name) for name in ("strides", "dilations"))
    pads = _integers(node, "pads") or (0, 0, 0, 0)
    rows, columns = (
        Axis(int(extent), kernel[n], strides[n], pads[n], pads[n + 2], dilations[n])
        for n, extent in enumerate((height, width))
    )
    return rows, columns


def table_bytes(window: Window, outputs: int, steps: int) -> int:
    """Return about how much memory the constants of a low-bit convolution take that differ between borders.

    Args:
        window: rows and columns.
        outputs: channels.
        steps: thresholds of a channel.
    """
    taps = sum(axis.outputs * axis.kernel for axis in window)
    classes = [min(axis.outputs, 2 * axis.kernel) for axis in window]
    return 5 * taps + 8 * classes[0] * classes[1] * outputs * (steps + 3)


def by_region(values: npt.NDArray[Any], window: Window) -> npt.NDArray[Any]:
    """Return ``[row classes, column classes, o, ...]`` as the engine's ``[regions * o, ...]``.

    Where all regions have the same, only ``[o, ...]``.
    """
    rows, columns = (_appearance(axis) for axis in window)
    ordered = values[rows][:, columns]
    if (ordered == ordered[:1, :1]).all():
        return np.ascontiguousarray(ordered[0, 0])
    return np.ascontiguousarray(ordered.reshape(-1, *values.shape[3:]))


def tap_sums_by_region(sums: Integers, window: Window) -> Integers:
    """Return the sums of ``[o, kh, kw]`` over each region's taps, as `by_region` does."""
    (_, rows), (_, columns) = (axis.classes() for axis in window)
    return by_region(
        np.einsum("oij,ri,cj->rco", sums, rows.astype(np.int64), columns.astype(np.int64)), window
    )


def _appearance(axis: Axis) -> npt.NDArray[np.intp]:
    """Return the classes of an axis in the order in which its outputs meet them."""
    classes, _ = axis.classes()
    _, first = np.unique(classes, return_index=True)
    return np.argsort(first)


def _integers(node: Node, name: str) -> tuple[int, ...]:
    value = node.attributes.get(name, ())
    assert isinstance(value, list | tuple)
    return tuple(int(n) for n in value)


def _pair(node: Node, name: str) -> tuple[int, ...]:
    return _integers(node, name) or (1, 1)
