"""Windows that slide over the spatial axes of ``[n, c, ...]``: what convolution and pooling share.

Along an axis of length ``l`` with pads ``b`` and ``e``, a kernel of ``k`` taps, stride ``s`` and
dilation ``d``:

    extent  = (k - 1) d + 1
    windows = floor((l + b + e - extent) / s) + 1
    tap i of window y reads position  y s + i d - b

Rounding up and automatic padding are no part of the graph: importers turn them into pads.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.ir.graph import Shape
from lowbit.ir.operators.registry import Call

Array = npt.NDArray[Any]
Lengths = tuple[int, ...]


@dataclass(frozen=True)
class Windows:
    """The geometry of one node, one number per spatial axis."""

    kernel: Lengths
    strides: Lengths
    dilations: Lengths
    begin: Lengths
    end: Lengths

    @property
    def extents(self) -> Lengths:
        """The positions that a window spans."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    def counts(self, lengths: Lengths) -> Lengths:
        """Return the number of windows along each axis of a map; below 1 where none fits."""
        axes = zip(lengths, self.begin, self.end, self.extents, self.strides, strict=True)
        return tuple((length + b + e - extent) // s + 1 for length, b, e, extent, s in axes)

    def taps(self, array: Array, fill: float) -> Iterator[Array]:
        """Yield ``[n, c, windows...]`` for every tap, last axis fastest; pads hold ``fill``."""
        counts = self.counts(array.shape[2:])
        edges = [(0, 0), (0, 0), *zip(self.begin, self.end, strict=True)]
        padded = np.pad(array, edges, constant_values=fill) if any(map(any, edges)) else array
        for tap in product(*map(range, self.kernel)):
            starts = [i * d for i, d in zip(tap, self.dilations, strict=True)]
            axes = zip(starts, counts, self.strides, strict=True)
            cuts = tuple(slice(at, at + (n - 1) * s + 1, s) for at, n, s in axes)
            yield padded[(slice(None), slice(None), *cuts)]


def windows_of(call: Call, kernel: Lengths) -> Windows:
    """Return a node's windows from its attributes.

    Raises:
        GraphError: an attribute of the wrong length or range.
    """
    rank = len(call.input(0).shape) - 2
    call.require(rank >= 1, "a map is needed", "[n, c, ...]", call.described(0))
    ones = (1,) * rank
    pads = call.integers("pads") or (0,) * 2 * rank
    windows = Windows(
        kernel,
        call.integers("strides") or ones,
        call.integers("dilations") or ones,
        pads[:rank],
        pads[rank:],
    )
    call.require(len(pads) == 2 * rank and min(pads) >= 0, "pads", f"{2 * rank} numbers, none negative", pads)
    for name in ("kernel", "strides", "dilations"):
        numbers = getattr(windows, name)
        call.require(
            len(numbers) == rank and min(numbers) >= 1, name, f"{rank} numbers, none below 1", numbers
        )
    return windows


def map_lengths(call: Call) -> Lengths:
    """Return the spatial lengths of the first input.

    Raises:
        GraphError: one of them is open.
    """
    lengths = call.input(0).shape[2:]
    call.require(
        all(isinstance(length, int) for length in lengths),
        "the map's size is open",
        "fixed lengths after the first two axes",
        call.described(0),
    )
    return lengths  # type: ignore[return-value]


def output_lengths(call: Call, windows: Windows) -> Shape:
    """Return the spatial lengths of the output.

    Raises:
        GraphError: the kernel is larger than the padded map.
    """
    counts = windows.counts(map_lengths(call))
    if min(counts) < 1:
        padding = tuple(b + e for b, e in zip(windows.begin, windows.end, strict=True))
        call.require(
            False,
            "the kernel is larger than the padded map",
            f"a map of at least {windows.extents} with its padding of {padding}",
            call.described(0),
        )
    return counts
