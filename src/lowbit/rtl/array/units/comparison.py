"""Comparisons of numbers with thresholds, by bisection: what the memories of each bit hold."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from lowbit.rtl.address import Address
from lowbit.rtl.integers import Range

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Comparison:
    """How many thresholds numbers exceed.

    Attributes:
        elements: numbers side by side.
        width: bits of a number, two's complement.
        thresholds: ``[row classes, column classes, o, steps]``, ``2**bits - 1`` steps; outputs in folds of
            elements, or one where all have the same.
        place: where in the memories a number belongs: its fold, its border classes.
    """

    elements: int
    width: int
    thresholds: Integers
    place: Address

    @property
    def bits(self) -> int:
        """Bits of a count."""
        return int(self.thresholds.shape[-1]).bit_length()

    @cached_property
    def threshold_bits(self) -> int:
        """Bits of a threshold."""
        return Range.of(self.thresholds).bits

    def words(self, stage: int, element: int) -> list[int]:
        """Return what an element compares with to find bit ``stage`` of a rank, the highest first."""
        bits, width = self.bits, self.threshold_bits
        steps = [(found << (bits - stage)) + (1 << (bits - stage - 1)) - 1 for found in range(1 << stage)]
        own = self.thresholds.shape[2] > 1
        mine = self.thresholds[:, :, element :: self.elements] if own else self.thresholds
        by_place = [self.place.table(mine[..., step]) for step in steps]
        words = self.address(stage).table(np.stack(by_place, axis=1))
        return [int(value) % (1 << width) for value in words]

    def address(self, stage: int) -> Address:
        """Return where a threshold is: by the bits found before, the highest first, and its place."""
        return Address({"found": 1 << stage, "place": 1 << self.place.bits})
