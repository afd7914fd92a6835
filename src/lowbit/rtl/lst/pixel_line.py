"""Tables of 256 codes that are the byte itself, shifted and rounded: (p / 255 − ½) / ½ up to seven bits."""

from dataclasses import dataclass

import numpy as np

from lowbit.rtl.lst.network import Integers


@dataclass(frozen=True)
class Line:
    """code = ((p + rounding + [p ≥ step]) >> shift) − offset."""

    rounding: int
    step: int
    shift: int
    offset: int


def find_line(codes: Integers) -> Line | None:
    """Return the line that a table of 256 codes is, or None."""
    pixels = np.arange(256)
    for shift in range(9):
        for rounding in {0, 1 << shift >> 1}:
            offset = int(rounding >> shift) - int(codes[0])
            for step in (128, 255, 256):
                line = Line(rounding, step, shift, offset)
                if np.array_equal(((pixels + rounding + (pixels >= step)) >> shift) - offset, codes):
                    return line
    return None
