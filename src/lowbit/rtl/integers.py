"""Ranges of integers, the bits that they need, and words that are made of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Range:
    """All integers from ``low`` to ``high``."""

    low: int
    high: int

    @property
    def bits(self) -> int:
        """Bits of the narrowest two's complement number that holds them."""
        return max((end if end >= 0 else ~end).bit_length() for end in (self.low, self.high)) + 1

    def __or__(self, other: "Range") -> "Range":
        return Range(min(self.low, other.low), max(self.high, other.high))

    def __str__(self) -> str:
        return f"[{self.low}, {self.high}]"

    @staticmethod
    def of(codes: npt.NDArray[np.signedinteger[Any]]) -> "Range":
        """Return the range of an array."""
        return Range(int(codes.min()), int(codes.max()))


def pack(fields: Sequence[int], widths: Sequence[int]) -> int:
    """Return signed fields as one word, the first in the lowest bits."""
    word, at = 0, 0
    for value, width in zip(fields, widths, strict=True):
        word |= value % (1 << width) << at
        at += width
    return word
