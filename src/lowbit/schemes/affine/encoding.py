"""Affine: levels on a uniform grid.

    level(q) = scale * (q - zero_point),   q in [0, 2**bits)
    q(x)     = clip(round_half_even(x / scale) + zero_point, 0, 2**bits - 1)

The classic scheme (Jacob et al. 2018, eq. 1). Symmetric means ``zero_point = 2**(bits - 1)``.
It is a learned basis with ``a_i = scale * 2**(i - 1)`` and an offset: `to_learned_basis`.
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
    nan_as_lowest,
    per_row,
)
from lowbit.schemes.fields import Fields
from lowbit.schemes.learned_basis import LearnedBasis


@dataclass(frozen=True, eq=False)
class Affine(EncodingBase):
    """An affine encoding.

    Attributes:
        bits: 1 to 8.
        scale: float32 ``[channels]``, positive.
        zero_point: int32 ``[channels]``, in ``[0, 2**bits)``.
    """

    bits: int
    scale: Floats32
    zero_point: Integers
    scheme: ClassVar[str] = "affine"
    file_stem: ClassVar[str] = "Affine"
    storage: ClassVar[Storage] = "bytes"
    linear: ClassVar[bool] = True
    rounds: ClassVar[bool] = True
    rounding: ClassVar[str] = "even"

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", np.atleast_1d(np.asarray(self.scale, np.float32)))
        object.__setattr__(self, "zero_point", np.atleast_1d(np.asarray(self.zero_point, np.int32)))
        self._check()

    @property
    def channels(self) -> int:
        """Sets of parameters."""
        return int(self.scale.shape[0])

    def code_of_rank(self) -> Codes:
        """Return the codes in ascending order of level: the codes themselves."""
        return np.tile(np.arange(1 << self.bits, dtype=np.uint8), (self.channels, 1))

    def thresholds(self) -> Floats32:
        """Return, for each step, the largest float32 that stays below it.

        A midpoint goes to the even neighbour of ``q - zero_point``, so every other step excludes it.
        """
        integers = self.integer_levels()[:, :-1]
        midpoint = (integers + 0.5) * self.integer_scale()[:, None]
        upper_is_even = (integers + 1) % 2 == 0
        excluded = largest_float32_below(midpoint)
        next_lower = np.nextafter(excluded, np.float32(-np.inf))
        touches = excluded.astype(np.float64) == midpoint
        return np.where(upper_is_even & touches, next_lower, excluded).astype(np.float32)

    def encode(self, values: npt.ArrayLike) -> Codes:
        """Return codes by rounding half to even, then saturating; NaN gets the lowest level."""
        array = nan_as_lowest(np.asarray(values, np.float64))
        shape = (-1, *[1] * (array.ndim - 1)) if self.channels > 1 else (1,) * array.ndim
        scale, zero_point = self.integer_scale().reshape(shape), self.zero_point.reshape(shape)
        codes = np.clip(np.rint(array / scale) + zero_point, 0, (1 << self.bits) - 1)
        return np.asarray(codes, np.uint8)

    def integer_levels(self) -> Integers:
        """Return ``q - zero_point``, int32 ``[channels, 2**bits]``."""
        return np.arange(1 << self.bits, dtype=np.int32) - self.zero_point[:, None]

    def integer_scale(self) -> Floats:
        """Return the scale in float64."""
        return self.scale.astype(np.float64)

    def to_learned_basis(self) -> LearnedBasis:
        """Return the same levels as planes, a basis and an offset.

        scale * (q - z) = scale/2 * sum_i 2**i s_i + scale/2 * (2**bits - 1 - 2 z)
        """
        half = self.integer_scale() / 2
        basis = half[:, None] * (1 << np.arange(self.bits))
        offset = half * ((1 << self.bits) - 1 - 2 * self.zero_point)
        top = np.full(self.channels, 1 << (self.bits - 1), np.int32)
        return LearnedBasis(basis.astype(np.float32), offset.astype(np.float32), top)

    def as_basis(self) -> LearnedBasis:
        """Return `to_learned_basis`."""
        return self.to_learned_basis()

    def as_affine(self) -> "Affine":
        """Return itself."""
        return self

    def scaled(self, factor: npt.ArrayLike) -> Self:
        """Return the encoding with its scales times factors."""
        scale = np.maximum(self.scale * np.asarray(factor, np.float64), SMALLEST)
        return replace(self, scale=scale.astype(np.float32), zero_point=per_row(self.zero_point, scale.size))

    def opposite(self, codes: Codes, rows: Rows) -> tuple[Self, Codes]:
        """Return codes counted from the other end, and the zero point as well: every code has an opposite."""
        most, zero_point = (1 << self.bits) - 1, per_row(self.zero_point, len(rows))
        turned = np.where(rows, most - zero_point, zero_point)
        codes = codes.copy()
        codes[rows] = most - codes[rows]
        return replace(self, scale=per_row(self.scale, len(rows)), zero_point=turned), codes

    def silent(self, codes: Codes, rows: Rows) -> tuple[Self, Codes]:
        """Return the zero point in rows that become zero; a scale that is theirs alone is next to nothing."""
        codes = codes.copy()
        codes[rows] = np.broadcast_to(self.zero_point, len(rows))[rows].reshape(-1, *[1] * (codes.ndim - 1))
        alone = rows if self.channels == len(rows) else rows.all(keepdims=True)
        return replace(self, scale=np.where(alone, np.float32(SMALLEST), self.scale)), codes

    @classmethod
    def joined(cls, parts: Sequence[Self], rows: Sequence[int]) -> Self:
        """Return the encoding of several parts, a channel for each of their rows."""
        scale = joined_parameter([part.scale for part in parts], rows)
        return cls(parts[0].bits, scale, joined_parameter([part.zero_point for part in parts], rows))

    def fields(self) -> Fields:
        """Return ``bits``, ``scale`` and ``zero_point``."""
        return {"bits": self.bits, "scale": self.scale, "zero_point": self.zero_point}

    @classmethod
    def from_fields(cls, fields: Fields) -> Self:
        """Return the encoding that `fields` described."""
        return cls(int(fields["bits"]), np.asarray(fields["scale"]), np.asarray(fields["zero_point"]))

    def _check(self) -> None:
        if not 1 <= self.bits <= 8:
            raise SchemeError("bits out of range", expected="1 to 8 bits", found=str(self.bits))
        if self.scale.ndim != 1 or self.scale.shape != self.zero_point.shape or not len(self.scale):
            raise SchemeError(
                "scale and zero point differ in shape",
                expected="one of each per channel",
                found=f"{self.scale.shape} and {self.zero_point.shape}",
            )
        if not (np.isfinite(self.scale) & (self.scale > 0)).all():
            raise SchemeError(
                "a scale is not positive", expected="finite scales above 0", found=str(self.scale.min())
            )
        if ((self.zero_point < 0) | (self.zero_point >> self.bits > 0)).any():
            raise SchemeError(
                "a zero point is not a code",
                expected=f"0 to {(1 << self.bits) - 1}",
                found=f"{self.zero_point.min()} to {self.zero_point.max()}",
            )
