"""Fixed point Qm.n: two's complement numbers of m + n bits, n of them behind the point; m counts the sign.

    q(x) = clip(floor(x 2^n + 1/2), -2^(m+n-1), 2^(m+n-1) - 1)        rounding `nearest`: half up
    q(x) = clip(floor(x 2^n), …)                                      rounding `floor`: truncation
    level = q 2^-n,   code = q + 2^(m+n-1)

Up to 16 bits: codes above 8 bits are uint16.
"""

import re
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from lowbit.errors import SchemeError
from lowbit.schemes.encoding import Codes, Floats, Floats32, Integers, nan_as_lowest

MOST_BITS = 16
ROUNDINGS = ("nearest", "floor")


@dataclass(frozen=True)
class FixedPoint:
    """A fixed-point encoding, one for a whole tensor.

    Attributes:
        integer_bits: m, at least 1: the sign is one of them.
        fraction_bits: n.
        rounding: `nearest` (half up) or `floor`.
    """

    integer_bits: int
    fraction_bits: int
    rounding: str = "nearest"
    scheme: ClassVar[str] = "fixed"
    channels: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.integer_bits < 1 or self.fraction_bits < 0 or not 2 <= self.bits <= MOST_BITS:
            raise SchemeError(
                "a fixed-point format is impossible",
                expected=f"m at least 1, n at least 0, 2 to {MOST_BITS} bits in all",
                found=f"Q{self.integer_bits}.{self.fraction_bits}",
            )
        if self.rounding not in ROUNDINGS:
            raise SchemeError("unknown rounding", expected=" or ".join(ROUNDINGS), found=repr(self.rounding))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Return the format that `M.N` or `M.N:floor` means, as behind `fixed:`.

        Raises:
            SchemeError: it means none.
        """
        found = re.fullmatch(r"(\d{1,2})\.(\d{1,2})(?::(\w+))?", text)
        if found is None:
            raise SchemeError("not a fixed-point format", expected="M.N or M.N:floor", found=repr(text))
        return cls(int(found[1]), int(found[2]), found[3] or "nearest")

    def __str__(self) -> str:
        text = f"fixed:{self.integer_bits}.{self.fraction_bits}"
        return text if self.rounds_to_nearest else f"{text}:{self.rounding}"

    @property
    def bits(self) -> int:
        """Bits of a code: m + n."""
        return self.integer_bits + self.fraction_bits

    @property
    def least(self) -> int:
        """The smallest integer, -2^(m+n-1)."""
        return -(1 << (self.bits - 1))

    @property
    def rounds_to_nearest(self) -> bool:
        """Whether a value gets the nearest level."""
        return self.rounding == "nearest"

    def levels(self) -> Floats:
        """Return the level of every code, float64 ``[1, 2**bits]``."""
        return np.ldexp(self.integer_levels().astype(np.float64), -self.fraction_bits)

    def thresholds(self) -> Floats32:
        """Return the largest float32 below each step: a value on a step goes up."""
        half = 0.5 if self.rounds_to_nearest else 0.0
        steps = np.ldexp(self.integer_levels()[:, 1:] - half, -self.fraction_bits)
        return np.asarray(np.nextafter(steps.astype(np.float32), np.float32(-np.inf)))

    def code_of_rank(self) -> Codes:
        """Return the codes in ascending order of level: the codes themselves."""
        return np.arange(1 << self.bits).astype(self._dtype)[None]

    def quantize(self, values: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return the integers q of reals; NaN gets the least."""
        return np.asarray(np.clip(self._rounded(values), self.least, -self.least - 1), np.int64)

    def saturates(self, values: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Return which reals are beyond the ends, so that rounding them alone gives no code."""
        rounded = self._rounded(values)
        return np.asarray((rounded < self.least) | (rounded > -self.least - 1))

    def _rounded(self, values: npt.ArrayLike) -> Floats:
        scaled = np.ldexp(nan_as_lowest(np.asarray(values, np.float64)), self.fraction_bits)
        return np.asarray(np.floor(scaled + 0.5 if self.rounds_to_nearest else scaled))

    def encode(self, values: npt.ArrayLike) -> Codes:
        """Return codes, rounded as the format says and saturated."""
        return np.asarray(self.quantize(values) - self.least, self._dtype)

    def decode(self, codes: npt.ArrayLike) -> Floats32:
        """Return the levels of codes, float32."""
        integers = np.asarray(codes, np.int64) + self.least
        return np.ldexp(integers.astype(np.float64), -self.fraction_bits).astype(np.float32)

    def integer_levels(self) -> Integers:
        """Return q by code, int32 ``[1, 2**bits]``."""
        return (np.arange(1 << self.bits, dtype=np.int32) + np.int32(self.least))[None]

    def integer_scale(self) -> Floats:
        """Return ``2**-n``."""
        return np.ldexp(np.ones(1), -self.fraction_bits)

    def integer_offset(self) -> Floats:
        """Return zero: there is no offset."""
        return np.zeros(1)

    def to_dict(self) -> dict[str, object]:
        """Return the parameters."""
        return {
            "scheme": self.scheme,
            "integer_bits": self.integer_bits,
            "fraction_bits": self.fraction_bits,
            "rounding": self.rounding,
        }

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        """Return the encoding that `to_dict` described."""
        return cls(int(fields["integer_bits"]), int(fields["fraction_bits"]), str(fields["rounding"]))

    @property
    def _dtype(self) -> np.dtype[np.unsignedinteger[Any]]:
        return np.dtype(np.uint8 if self.bits <= 8 else np.uint16)
