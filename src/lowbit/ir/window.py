"""The geometry of a sliding window, one axis at a time, and its classes of borders.

    outputs = floor((extent + before + after - dilation (kernel - 1) - 1) / stride) + 1
    tap i of output y reads position  y stride + i dilation - before,  valid where that is in [0, extent)

Padding is true zero: a tap that is not valid adds nothing. Outputs with the same valid taps form a *class*;
everything that depends on a border depends on the class alone, of which there are few.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int32]
Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Axis:
    """A window along one axis.

    Attributes:
        extent: length of the input.
        kernel: taps.
        stride: positions from one output to the next.
        before, after: padding.
        dilation: positions from one tap to the next.
    """

    extent: int
    kernel: int
    stride: int = 1
    before: int = 0
    after: int = 0
    dilation: int = 1

    @property
    def outputs(self) -> int:
        """How many outputs there are; below 1 when the window does not fit."""
        reach = self.dilation * (self.kernel - 1) + 1
        return (self.extent + self.before + self.after - reach) // self.stride + 1

    def positions(self) -> Integers:
        """Return what every tap reads, int32 ``[outputs, kernel]``; outside the input for padding."""
        starts = np.arange(self.outputs) * self.stride - self.before
        return (starts[:, None] + np.arange(self.kernel) * self.dilation).astype(np.int32)

    def valid(self) -> Booleans:
        """Return which taps read the input, ``[outputs, kernel]``."""
        positions = self.positions()
        return np.asarray((positions >= 0) & (positions < self.extent))

    def classes(self) -> tuple[Integers, Booleans]:
        """Return the class of every output, int32 ``[outputs]``, and its taps ``[classes, kernel]``.

        Valid taps follow each other, so two numbers tell a class: no table of all outputs and taps is made.
        """
        starts = np.arange(self.outputs) * self.stride - self.before
        first = np.clip(-(starts // self.dilation), 0, self.kernel)
        end = np.clip(-((starts - self.extent) // self.dilation), first, self.kernel)
        base, taps = self.kernel + 1, np.arange(self.kernel)
        # Rises with the taps as a row of booleans does: the later the first tap, the smaller the row.
        pairs = np.where(end > first, (self.kernel - first) * base + end, 0)
        distinct, classes = np.unique(pairs, return_inverse=True)
        first, end = self.kernel - distinct // base, distinct % base
        return classes.astype(np.int32), (taps >= first[:, None]) & (taps < end[:, None])


Window = tuple[Axis, Axis]
"""Rows, then columns."""
