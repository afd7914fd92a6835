"""Whole windows, one per clock: what stands before a layer whose taps are all multiplied side by side.

A layer that is unrolled over its taps is one of a single tap that reads windows as pixels. Rows stand in
memories of their own, so that a column of the window is read in one clock; columns move through registers,
those of a row right behind those of the row before, so that padding costs no clock: where a window leaves
the map it has rank 0, which must then be the number 0.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from lowbit.ir.window import Window
from lowbit.rtl.array.memory import blocks, is_shallow, tables
from lowbit.rtl.array.network import PICTURE, Layer, point
from lowbit.rtl.array.schedule import Schedule, schedule
from lowbit.rtl.array.units.unit import UNIT_LUT, Budget, RingPlan, Words

if TYPE_CHECKING:
    from amaranth.lib import wiring


@dataclass(frozen=True, eq=False)
class Windows:
    """The windows of a map, each a pixel of all its elements: rows, then columns, then channels."""

    name: str
    channels: int
    bits: int
    window: Window
    sources: tuple[str, ...] = (PICTURE,)

    @property
    def outputs(self) -> int:
        """Elements of a window."""
        return self.channels * self.window[0].kernel * self.window[1].kernel


def can_unroll(layer: Layer) -> bool:
    """Return whether a layer can be unrolled over its taps."""
    taps = layer.window[0].kernel * layer.window[1].kernel
    dense = all(axis.dilation == 1 for axis in layer.window)
    return taps > 1 and dense and layer.group == 1 and (not layer.has_border or _can_be_padded(layer))


def _can_be_padded(layer: Layer) -> bool:
    """Return whether a tap in the padding may be one of rank 0, and windows of rows meet as they should."""
    steps, own = np.diff(layer.levels), layer.thresholds
    zero = layer.levels[0] == 0 and (steps == steps[0]).all() and layer.basis is None
    alike = own is None or bool((own == own[:1, :1]).all())
    fits = all(
        axis.before + axis.after < axis.kernel <= axis.extent and axis.valid().any(axis=1).all()
        for axis in layer.window
    )
    return bool(zero) and alike and fits


def unrolled(layer: Layer) -> tuple[Windows, Layer]:
    """Return what makes windows, and the layer of a single tap that reads them."""
    windows = Windows(f"{layer.name}/windows", layer.channels, layer.bits, layer.window, layer.sources)
    rows, columns = layer.window
    shape = (layer.outputs, 1, 1, -1)
    basis = layer.basis
    return windows, replace(
        layer,
        weights=layer.weights.reshape(shape),
        window=point(rows.outputs, columns.outputs),
        thresholds=None if layer.thresholds is None else layer.thresholds[:1, :1],
        basis=None if basis is None else replace(basis, codes=basis.codes.reshape(shape)),
        sources=(windows.name,),
    )


@dataclass(frozen=True, eq=False)
class WindowsPlan(RingPlan):
    """The windows of a map as a unit."""

    windows: Windows

    @property
    def stage(self) -> Windows:  # type: ignore[override]
        """The windows."""
        return self.windows

    @property
    def kind(self) -> str:
        """Its name in tables."""
        return "windows"

    @cached_property
    def schedule(self) -> Schedule:  # type: ignore[override]  # derived here, a field elsewhere
        """Which rows are there when; with a row to spare, a picture's end does not hold up the next one."""
        return schedule(self.windows.window, 1, 1, self.name, weighted=False, spare=1)

    @property
    def _end(self) -> int:
        """The column behind the last one of a row of outputs, which may be one of the padding."""
        axis = self.windows.window[1]
        return (axis.outputs - 1) * axis.stride - axis.before + axis.kernel

    @property
    def columns(self) -> int:
        """Columns that are read for a row of outputs."""
        return min(self._end, self.windows.window[1].extent)

    @property
    def late(self) -> int:
        """Columns of padding behind them: their windows are whole while the next row's columns come."""
        return self._end - self.columns

    @property
    def whole(self) -> list[int]:
        """Which taps of a window's columns are in the map, bit by bit, when a column has come; 0 if none is.

        Those of the columns before ``late`` are the windows that the row before still lacks.
        """
        axis, taps = self.windows.window[1], 1 << np.arange(self.windows.window[1].kernel)
        found = [0] * self.columns
        for output, valid in enumerate(axis.valid()):
            at = output * axis.stride - axis.before + axis.kernel - 1
            found[at % axis.extent if at >= axis.extent else at] = int((valid * taps).sum())
        return found

    @property
    def inputs(self) -> tuple[Words]:
        """Pixels."""
        return (Words(self.windows.channels, self.windows.bits),)

    @property
    def output(self) -> Words:
        """Windows."""
        return Words(self.windows.outputs, self.windows.bits)

    @property
    def cycles(self) -> int:
        """A column per clock."""
        return len(self.schedule.rows) * self.columns

    @property
    def cost(self) -> Budget:
        """A memory per row, and what chooses between them; registers cost nothing."""
        rows, width, depth = self.schedule.ring, self.inputs[0].width, self.windows.window[1].extent
        shallow = is_shallow(depth, width)
        lut = UNIT_LUT + self.windows.window[0].kernel * width * rows // 2
        return Budget(
            lut + shallow * rows * tables(depth, width), 0, 0 if shallow else rows * blocks(depth, width)
        )

    def draw(self) -> "wiring.Component":
        """Return the hardware."""
        from lowbit.rtl.array.hardware.windows import WindowsUnit

        return WindowsUnit(self)
