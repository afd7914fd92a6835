"""Whole windows, one per clock: what stands before a layer whose taps are all multiplied side by side.

A layer that is unrolled over its taps is one of a single tap that reads windows as pixels. Rows stand in
memories of their own, so that a column of the window is read in one clock; columns move through registers.
Windows without padding only: a padded tap would have to be taken off again.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

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
    return taps > 1 and dense and layer.group == 1 and not layer.has_border


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
        """Which rows are there when."""
        return schedule(self.windows.window, 1, 1, self.name, weighted=False)

    @property
    def columns(self) -> int:
        """Columns that are read for a row of outputs."""
        axis = self.windows.window[1]
        return (axis.outputs - 1) * axis.stride + axis.kernel

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
        """A column per clock, and one to start a row."""
        return len(self.schedule.rows) * (self.columns + 1)

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
