"""Fixed point Qm.n: two's complement numbers of m + n bits, n of them behind the point; m counts the sign.

    q(x) = clip(floor(x 2^n + 1/2), -2^(m+n-1), 2^(m+n-1) - 1)        rounding `nearest`: half up
    q(x) = clip(floor(x 2^n), …)                                      rounding `floor`: truncation
    level = q 2^-n,   code = q + 2^(m+n-1)

Up to 16 bits: codes above 8 bits are uint16.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from lowbit.errors import SchemeError
from lowbit.schemes.encoding import (
    Codes,
    EncodingBase,
    Floats,
    Floats32,
    Integers,
    Rows,
    Storage,
    nan_as_lowest,
)
from lowbit.schemes.fields import Fields
from lowbit.schemes.learned_basis import MAX_BITS, LearnedBasis

MOST_BITS = 16
ROUNDINGS = ("nearest", "floor")


@dataclass(frozen=True)
class FixedPoint(EncodingBase):
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
    file_stem: ClassVar[str] = "Fixed"
    channels: ClassVar[int] = 1
    linear: ClassVar[bool] = True
    rounds: ClassVar[bool] = True

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
    def storage(self) -> Storage:
        """How weights of it are stored: a code to a byte, or to two above 8 bits."""
        return "bytes" if self.bits <= 8 else "words"

    @property
    def least(self) -> int:
        """The smallest integer, -2^(m+n-1)."""
        return -(1 << (self.bits - 1))

    @property
    def rounds_to_nearest(self) -> bool:
        """Whether a value gets the nearest level."""
        return self.rounding == "nearest"

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

    def as_basis(self) -> LearnedBasis | None:
        """Return ``q 2^-n = 2^-(n+1) (sum_i 2^i s_i - 1)``; None above 8 bits."""
        if self.bits > MAX_BITS:
            return None
        unit = np.ldexp(0.5, -self.fraction_bits)
        basis, top = unit * (1 << np.arange(self.bits))[None], np.array([1 << (self.bits - 1)])
        return LearnedBasis(basis.astype(np.float32), np.array([-unit]), top)

    def as_fixed_point(self) -> "FixedPoint":
        """Return itself."""
        return self

    def scaled(self, factor: npt.ArrayLike) -> Self | None:
        """Return the format with its point moved, where the factor is one power of two that it can be."""
        mantissa, exponent = np.frexp(np.asarray(factor, np.float64))
        if (mantissa != 0.5).any() or (exponent != exponent.flat[0]).any():
            return None
        moved = int(exponent.flat[0]) - 1
        integer_bits, fraction_bits = self.integer_bits + moved, self.fraction_bits - moved
        possible = integer_bits >= 1 and fraction_bits >= 0
        return replace(self, integer_bits=integer_bits, fraction_bits=fraction_bits) if possible else None

    def opposite(self, codes: Codes, rows: Rows) -> tuple[Self, Codes] | None:
        """Return the codes of ``-q``; None where the least number, which has no opposite, is among them."""
        if not codes[rows].all():
            return None
        codes = codes.copy()
        codes[rows] = -2 * self.least - codes[rows].astype(np.int64)
        return self, codes

    def silent(self, codes: Codes, rows: Rows) -> tuple[Self, Codes]:
        """Return the code of zero in rows that become zero."""
        codes = codes.copy()
        codes[rows] = -self.least
        return self, codes

    @classmethod
    def joined(cls, parts: Sequence[Self], rows: Sequence[int]) -> Self:
        """Return the format that all parts have."""
        if any(part != parts[0] for part in parts):
            raise SchemeError(
                "parts of one tensor have different formats",
                expected=str(parts[0]),
                found=", ".join(sorted({str(part) for part in parts})),
            )
        return parts[0]

    def fields(self) -> Fields:
        """Return ``integer_bits``, ``fraction_bits`` and ``rounding``."""
        return {
            "integer_bits": self.integer_bits,
            "fraction_bits": self.fraction_bits,
            "rounding": self.rounding,
        }

    @classmethod
    def from_fields(cls, fields: Fields) -> Self:
        """Return the encoding that `fields` described."""
        return cls(int(fields["integer_bits"]), int(fields["fraction_bits"]), str(fields["rounding"]))

    @property
    def _dtype(self) -> np.dtype[np.unsignedinteger[Any]]:
        return np.dtype(np.uint8 if self.bits <= 8 else np.uint16)
