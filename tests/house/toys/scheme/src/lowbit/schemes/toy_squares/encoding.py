"""Squares: level = scale * sign(k) k^2, k = 2 code - (2^bits - 1)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

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
    per_row,
)
from lowbit.schemes.fields import Fields


@dataclass(frozen=True, eq=False)
class Squares(EncodingBase):
    bits: int
    scale: Floats32
    scheme: ClassVar[str] = "toy_squares"
    storage: ClassVar[Storage] = "halves"

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", np.atleast_1d(np.asarray(self.scale, np.float32)))

    @property
    def channels(self) -> int:
        return len(self.scale)

    def integer_levels(self) -> Integers:
        k = 2 * np.arange(1 << self.bits) + 1 - (1 << self.bits)
        return np.tile((np.sign(k) * k**2).astype(np.int32), (self.channels, 1))

    def integer_scale(self) -> Floats:
        return self.scale.astype(np.float64)

    def scaled(self, factor: npt.ArrayLike) -> Self:
        scale = np.maximum(self.scale * np.asarray(factor, np.float64), SMALLEST)
        return replace(self, scale=scale.astype(np.float32))

    def opposite(self, codes: Codes, rows: Rows) -> tuple[Self, Codes]:
        codes = codes.copy()
        codes[rows] = (1 << self.bits) - 1 - codes[rows]
        return replace(self, scale=per_row(self.scale, len(rows))), codes

    def silent(self, codes: Codes, rows: Rows) -> tuple[Self, Codes]:
        scale = per_row(self.scale, len(rows))
        scale[rows] = SMALLEST / 10
        return replace(self, scale=scale), codes

    @classmethod
    def joined(cls, parts: Sequence[Self], rows: Sequence[int]) -> Self:
        return cls(parts[0].bits, joined_parameter([part.scale for part in parts], rows))

    def fields(self) -> Fields:
        return {"bits": self.bits, "scale": self.scale}

    @classmethod
    def from_fields(cls, fields: Fields) -> Self:
        return cls(int(fields["bits"]), np.asarray(fields["scale"]))
