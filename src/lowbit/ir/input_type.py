"""The integers that a network's own input takes, where a file has such an input.

The graph's input is float32 all the same: a cast of integers is the identity on the numbers that they are,
and codes are the levels that they stand for, behind an `Encode`. What the file said is kept in the metadata
of the graph, and so in every file made of it:

    lowbit.input = uint8                        integers 0 to 255, as they are (ONNX: Cast)
    lowbit.input = int8 0x1.010102p-8 -128      codes q of the level scale (q - zero_point) (TFLite)
"""

import re
from dataclasses import dataclass
from typing import Self

import numpy as np

from lowbit.errors import ModelFormatError
from lowbit.ir.graph import Graph

KEY = "lowbit.input"
INTEGERS = ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")

_HEX = r"0x[01]\.[0-9a-f]{1,13}p[+-]\d{1,3}"
_TEXT = re.compile(rf"({'|'.join(INTEGERS)})(?: ({_HEX}) (-?\d{{1,3}}))?")


@dataclass(frozen=True)
class InputType:
    """What integers an input takes.

    Attributes:
        dtype: one of `INTEGERS`.
        scale: of codes; None where integers are the numbers themselves.
        zero_point: of codes, in the range of `dtype`.
    """

    dtype: str
    scale: float | None = None
    zero_point: int = 0

    @property
    def range(self) -> tuple[int, int]:
        """The smallest and largest integer."""
        if self.dtype == "bool":
            return 0, 1
        limits = np.iinfo(self.dtype)
        return int(limits.min), int(limits.max)

    def level(self, code: int) -> float:
        """Return the real that a code stands for, or an integer as it is."""
        return float(code) if self.scale is None else self.scale * (code - self.zero_point)

    def __str__(self) -> str:
        return self.dtype if self.scale is None else f"{self.dtype} {self.scale.hex()} {self.zero_point}"

    def remember(self, graph: Graph) -> None:
        """Write it into a graph's metadata."""
        graph.metadata[KEY] = str(self)

    @classmethod
    def of(cls, graph: Graph) -> Self | None:
        """Return what a graph remembers, or None where its input takes reals.

        Raises:
            ModelFormatError: what it remembers is not understood.
        """
        if KEY not in graph.metadata:
            return None
        text = graph.metadata[KEY]
        found = _TEXT.fullmatch(text)
        made = None if found is None else cls._made(found[1], found[2], found[3])
        if made is None:
            raise ModelFormatError(
                f"the note {KEY} is not understood",
                where=graph.name,
                expected="a type, or int8 or uint8 with scale and zero point",
                found=repr(text[:80]),
                remedy="Make the file again from the network that it came from.",
            )
        return made

    @classmethod
    def _made(cls, dtype: str, scale: str | None, zero_point: str | None) -> Self | None:
        if scale is None or zero_point is None:
            return cls(dtype)
        step, zero = float.fromhex(scale), int(zero_point)
        low, high = cls(dtype).range
        codes = dtype in ("int8", "uint8") and low <= zero <= high
        fits = codes and 0 < step <= float(np.finfo(np.float32).max)
        return cls(dtype, step, zero) if fits else None
