"""A grid: the whole numbers of a foreign file, and the reals that they stand for.

    q(x) = clip(round(x / scale) + zero, low, high)          what files call quantize
    real = scale * (q - zero)                                what files call dequantize

Both in float32, as the runtimes of such files compute them: a division rounded to float32 may hit a tie that
the exact quotient misses. Codes of an `Affine` encoding count from a number of their own, `base`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from lowbit.ir.activations import largest_float32_where
from lowbit.schemes import Affine, Encoding

Floats32 = npt.NDArray[np.float32]
Wide = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Rounding:
    """How a quotient becomes a whole number.

    Attributes:
        function: of float32.
        operator: of ONNX that does the same to computed floats, "" where there is none.
    """

    function: Callable[[Floats32], Floats32]
    operator: str = ""


HALF_EVEN = Rounding(np.rint, "Round")
FLOOR = Rounding(np.floor, "Floor")
CEILING = Rounding(np.ceil, "Ceil")


MOST_BITS = 8
"""Of codes; what has more is computed in floats."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Whole numbers and what they stand for.

    Attributes:
        low, high: the least and the greatest number.
        scale: float32, positive, one or one for each channel: ``[channels]``.
        zero: int64 ``[channels]``, the number that stands for zero.
        axis: of the channels; 0 where there is one for all.
        rounding: of the quotient.
        before: whether what is rounded has been cut to the range before (QONNX) or is cut after it (ONNX).
    """

    low: int
    high: int
    scale: Floats32
    zero: Wide
    axis: int = 0
    rounding: Rounding = HALF_EVEN
    before: bool = False

    @property
    def channels(self) -> int:
        """Sets of parameters."""
        return len(self.scale)

    @cached_property
    def base(self) -> int:
        """The number whose code is 0: -2^(b-1) of signed numbers of b bits, 0 of unsigned ones."""
        low, high = self._ends
        bits = max(high.bit_length(), (-low - 1).bit_length()) + 1 if low < 0 else high.bit_length()
        fits = bits <= MOST_BITS or high - low >= 1 << MOST_BITS
        return (-(1 << (bits - 1)) if low < 0 else 0) if fits else low

    @property
    def bits(self) -> int:
        """Bits of a code."""
        return max((self._ends[1] - self.base).bit_length(), 1)

    @property
    def _ends(self) -> tuple[int, int]:
        """The range, zero in it: its code has to be one."""
        return min(self.low, int(self.zero.min())), max(self.high, int(self.zero.max()))

    def encoding(self) -> Affine | None:
        """Return the encoding whose levels these are, or None where codes would be too wide."""
        if self.bits > MOST_BITS:
            return None
        return Affine(self.bits, self.scale, (self.zero - self.base).astype(np.int32))

    def numbers(self, values: npt.ArrayLike) -> Wide:
        """Return the whole numbers of reals."""
        array = np.asarray(values, np.float32)
        scale, zero = self._along(array.ndim)
        with np.errstate(over="ignore"):
            quotient = array / scale
        if self.before:
            shifted = np.clip(quotient + zero.astype(np.float32), self.low, self.high)
            return np.asarray(self.rounding.function(shifted), np.int64)
        rounded = np.clip(
            self.rounding.function(quotient), -(2.0**31), 2.0**31
        )  # infinity is no whole number
        return np.asarray(np.clip(rounded.astype(np.int64) + zero, self.low, self.high), np.int64)

    def reals(self, numbers: npt.ArrayLike) -> Floats32:
        """Return what whole numbers stand for."""
        array = np.asarray(numbers, np.int64)
        scale, zero = self._along(array.ndim)
        return np.asarray((array - zero).astype(np.float32) * scale, np.float32)

    def thresholds(self, encoding: Encoding) -> Floats32 | None:
        """Return the largest reals below each step, of one channel; None where they are the encoding's own.

        Found by bisection of `numbers`, so they are exact however a file rounds.
        """
        steps = self.base + np.arange((1 << encoding.bits) - 1)
        found = largest_float32_where(lambda reals: self.numbers(reals) <= steps, steps.shape)
        return None if np.array_equal(found, encoding.thresholds()[0]) else found

    def _along(self, rank: int) -> tuple[Floats32, Wide]:
        if self.channels == 1:
            return self.scale.reshape(()), self.zero.reshape(())
        shape = tuple(self.channels if axis == self.axis else 1 for axis in range(rank))
        return self.scale.reshape(shape), self.zero.reshape(shape)
