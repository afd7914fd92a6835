"""Windows that slide over the spatial axes of ``[n, c, ...]``: what convolution and pooling share.

The geometry of one axis is `lowbit.ir.window.Axis`. Rounding up and automatic padding are no part of the
graph: importers turn them into pads.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.ir.operators.registry import Call
from lowbit.ir.window import Axis

Array = npt.NDArray[Any]
Lengths = tuple[int, ...]

# What every operator with a window has; () is ONNX's default.
WINDOW: dict[str, Any] = {"kernel_shape": (), "strides": (), "pads": (), "dilations": ()}

LARGEST = 1 << 15  # of any number that describes a window; a stranger's file must not ask for more


def windows_of(call: Call, kernel: Lengths) -> tuple[Axis, ...]:
    """Return a node's window along each spatial axis, from its attributes and the size of its input.

    Raises:
        GraphError: an attribute of the wrong length or range, an open map, or a kernel that does not fit.
    """
    rank = len(call.input(0).shape) - 2
    if rank < 1:
        call.fail("a map is needed", "[n, c, ...]", call.described(0))
    stated = call.integers("kernel_shape") or kernel
    call.require(stated == kernel, "kernel_shape", f"{kernel}, as in the weights", stated)
    call.require(len(kernel) == rank and min(kernel) >= 1, "kernel", f"{rank} numbers above 0", kernel)
    pads = call.integers("pads") or (0,) * 2 * rank
    call.require(len(pads) == 2 * rank and min(pads) >= 0, "pads", f"{2 * rank} numbers, none below 0", pads)
    strides, dilations = (_steps(call, name, rank) for name in ("strides", "dilations"))
    for numbers in (kernel, pads, strides, dilations):
        call.require(max(numbers) <= LARGEST, "kernel, pads and steps", f"at most {LARGEST}", numbers)
    geometry = (map_lengths(call), kernel, strides, pads[:rank], pads[rank:], dilations)
    axes = tuple(Axis(*numbers) for numbers in zip(*geometry, strict=True))
    if min(axis.outputs for axis in axes) < 1:
        least = tuple((axis.kernel - 1) * axis.dilation + 1 - axis.before - axis.after for axis in axes)
        call.fail(
            "the kernel is larger than the padded map",
            f"a map of at least {least} for kernel {kernel}, dilations {dilations}, pads {pads}",
            call.described(0),
        )
    return axes


def map_lengths(call: Call) -> Lengths:
    """Return the spatial lengths of the first input.

    Raises:
        GraphError: one of them is open.
    """
    lengths = call.input(0).shape[2:]
    if not all(isinstance(length, int) for length in lengths):
        call.fail(
            "the map's size is open",
            "fixed lengths after the first two axes",
            call.described(0),
        )
    return lengths  # type: ignore[return-value]


def open_channels(call: Call) -> str:
    """Return why a node is not written in parts that count channels, or "" where they are known."""
    return "" if isinstance(call.input(0).shape[1], int) else "an open number of channels"


def taps(array: Array, axes: Sequence[Axis], fill: float) -> Iterator[Array]:
    """Yield what every tap of the windows reads, ``[n, c, outputs...]``, last axis fastest.

    Args:
        array: ``[n, c, ...]``.
        axes: the windows along the spatial axes.
        fill: what padding reads as.
    """
    edges = [(0, 0), (0, 0), *((axis.before, axis.after) for axis in axes)]
    padded = np.pad(array, edges, constant_values=fill) if any(map(any, edges)) else array
    for tap in product(*(range(axis.kernel) for axis in axes)):
        cuts = [slice(None), slice(None)]
        for index, axis in zip(tap, axes, strict=True):
            start = index * axis.dilation
            cuts.append(slice(start, start + (axis.outputs - 1) * axis.stride + 1, axis.stride))
        yield padded[tuple(cuts)]


def _steps(call: Call, name: str, rank: int) -> Lengths:
    steps = call.integers(name) or (1,) * rank
    call.require(len(steps) == rank and min(steps) >= 1, name, f"{rank} numbers, none below 1", steps)
    return steps
