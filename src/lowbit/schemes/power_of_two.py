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

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from lowbit.errors import SchemeError
from lowbit.schemes.encoding import (
    Codes,
    Floats,
    Floats32,
    Integers,
    largest_float32_below,
    rank_encode,
    table_decode,
)

LEAST_BITS, MOST_BITS = 2, 4


@dataclass(frozen=True, eq=False)
class PowerOfTwo:
    """A power-of-two encoding.

    Attributes:
        bits: 2 to 4.
        scale: float32 ``[channels]``, positive: the largest level.
    """

    bits: int
    scale: Floats32
    scheme: ClassVar[str] = "pow2"

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

    def levels(self) -> Floats:
        """Return the level of every code, float64 ``[channels, 2**bits]``."""
        return self.integer_scale()[:, None] * self.integer_levels()

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

    def encode(self, values: npt.ArrayLike) -> Codes:
        """Return the codes of the nearest levels; a tie takes the lower level."""
        return rank_encode(values, self.thresholds(), self.code_of_rank())

    def decode(self, codes: npt.ArrayLike) -> Floats32:
        """Return the levels of codes, float32."""
        return table_decode(codes, self.levels()).astype(np.float32)

    def integer_levels(self) -> Integers:
        """Return ``+-2^(k - 1)`` or 0 by code, int32 ``[channels, 2**bits]``."""
        powers = np.concatenate([[0], 1 << np.arange((1 << (self.bits - 1)) - 1)])
        return np.tile(np.concatenate([powers, -powers]).astype(np.int32), (self.channels, 1))

    def integer_scale(self) -> Floats:
        """Return ``scale * 2^(1 - top)``: the level of the integer 1."""
        top = (1 << (self.bits - 1)) - 1
        return np.asarray(np.ldexp(self.scale.astype(np.float64), 1 - top))

    def integer_offset(self) -> Floats:
        """Return zeros: there is no offset."""
        return np.zeros(self.channels)

    def to_dict(self) -> dict[str, object]:
        """Return the parameters, floats as hexadecimal."""
        return {"scheme": self.scheme, "bits": self.bits, "scale": [float(s).hex() for s in self.scale]}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        """Return the encoding that `to_dict` described."""
        return cls(int(fields["bits"]), np.array([float.fromhex(s) for s in fields["scale"]], np.float32))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PowerOfTwo):
            return NotImplemented
        return self.bits == other.bits and np.array_equal(self.scale, other.scale)
