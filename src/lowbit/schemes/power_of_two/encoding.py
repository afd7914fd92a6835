"""Power of two: a level is zero or a sign, a scale and a power of two, so that a product is a shift.

    code = sign << (bits - 1) | k,     k = 0 .. 2^(bits - 1) - 1
    level(code) = 0 if k = 0, else (-1)^sign * scale * 2^(k - top),   top = 2^(bits - 1) - 1

so the largest level is the scale and each smaller one half of the next: with 2 bits -1, 0, +1; with 4 bits
0 and +-2^0 .. +-2^-6. Rounding is to the nearest level in the linear domain, which costs less error than
rounding the logarithm. A value equal to a threshold takes the lower level. Zero has one code, 0; the code of
a negative zero decodes to zero and is never made.

As integers: (-1)^sign * 2^(k - 1), up to 64, times scale * 2^(1 - top).

Source: Elhoushi et al., DeepShift (2021), for the levels; nearest level and scale per channel as measured in
the project's study of schemes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from lowbit.errors import SchemeError
from lowbit.schemes.encoding import (
    SMALLEST,
    Codes,
    EncodingBase,
    Floats,
    Floats32,
    Integers,
    Rows,
    Storage,
    joined_parameter,
    largest_float32_below,
)
from lowbit.schemes.fields import Fields

LEAST_BITS, MOST_BITS = 2, 4


@dataclass(frozen=True, eq=False)
class PowerOfTwo(EncodingBase):
    """A power-of-two encoding.

    Attributes:
        bits: 2 to 4.
        scale: float32 ``[channels]``, positive: the largest level.
    """

    bits: int
    scale: Floats32
    scheme: ClassVar[str] = "pow2"
    file_stem: ClassVar[str] = "Pow2"
    storage: ClassVar[Storage] = "halves"

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", np.atleast_1d(np.asarray(self.scale, np.float32)))
        if not LEAST_BITS <= self.bits <= MOST_BITS:
            raise SchemeError("bits out of range", expected="2 to 4 bits", found=str(self.bits))
        if self.scale.ndim != 1 or not len(self.scale):
            raise SchemeError("scale has the wrong shape", expected="[channels]", found=f"{self.scale.shape}")
        if not (np.isfinite(self.scale) & (self.scale > 2.0**-100)).all():
            raise SchemeError(
                "a scale is not positive", expected="finite scales above 0", found=str(self.scale.min())
            )

    @property
    def channels(self) -> int:
        """Sets of parameters."""
        return int(self.scale.shape[0])

    def code_of_rank(self) -> Codes:
        """Return the codes in ascending order of level; the unused negative zero stands before zero."""
        half = 1 << (self.bits - 1)
        order = np.concatenate([np.arange(2 * half - 1, half - 1, -1), np.arange(half)])
        return np.tile(order.astype(np.uint8), (self.channels, 1))

    def thresholds(self) -> Floats32:
        """Return the midpoints of neighbouring levels, rounded down to float32.

        The step into the negative zero and the one out of it are the same, so that it has no values.
        """
        ranked = np.take_along_axis(self.levels(), self.code_of_rank().astype(np.intp), axis=1)
        middle = (ranked[:, 1:] + ranked[:, :-1]) / 2
        half = 1 << (self.bits - 1)
        middle[:, half - 1] = middle[:, half - 2]
        return largest_float32_below(middle)

    def integer_levels(self) -> Integers:
        """Return ``+-2^(k - 1)`` or 0 by code, int32 ``[channels, 2**bits]``."""
        powers = np.concatenate([[0], 1 << np.arange((1 << (self.bits - 1)) - 1)])
        return np.tile(np.concatenate([powers, -powers]).astype(np.int32), (self.channels, 1))

    def integer_scale(self) -> Floats:
        """Return ``scale * 2^(1 - top)``: the level of the integer 1."""
        top = (1 << (self.bits - 1)) - 1
        return np.asarray(np.ldexp(self.scale.astype(np.float64), 1 - top))

    def scaled(self, factor: npt.ArrayLike) -> Self:
        """Return the encoding with its scales times factors."""
        scale = np.maximum(self.scale * np.asarray(factor, np.float64), SMALLEST)
        return replace(self, scale=scale.astype(np.float32))

    def opposite(self, codes: Codes, rows: Rows) -> tuple[Self, Codes]:
        """Return codes with the other sign; zero has none."""
        half = 1 << (self.bits - 1)
        changes = rows.reshape(-1, *[1] * (codes.ndim - 1)) & (codes % half > 0)
        return self, np.where(changes, codes ^ half, codes).astype(codes.dtype)

    def silent(self, codes: Codes, rows: Rows) -> tuple[Self, Codes]:
        """Return the code of zero in rows that become zero."""
        codes = codes.copy()
        codes[rows] = 0
        return self, codes

    @classmethod
    def joined(cls, parts: Sequence[Self], rows: Sequence[int]) -> Self:
        """Return the encoding of several parts, a scale for each of their rows."""
        return cls(parts[0].bits, joined_parameter([part.scale for part in parts], rows))

    def fields(self) -> Fields:
        """Return ``bits`` and ``scale``."""
        return {"bits": self.bits, "scale": self.scale}

    @classmethod
    def from_fields(cls, fields: Fields) -> Self:
        """Return the encoding that `fields` described."""
        return cls(int(fields["bits"]), np.asarray(fields["scale"]))
