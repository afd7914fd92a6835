"""Codebook: every code has a level of its own, of whatever spacing fits the weights.

    level(q) = scale * table[q],   table ascending, whole numbers within -127 and 127

so sums of products stay exact. A value equal to a threshold, the midpoint of two neighbouring levels, takes
the lower level.

Source: Han et al., Deep Compression (ICLR 2016), section 3, for shared weights; a table per output here.
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
    per_row,
)
from lowbit.schemes.fields import Fields

BITS = (2, 4)
BOUND = 127
"""The largest magnitude of a table: levels fit int8."""


@dataclass(frozen=True, eq=False)
class Codebook(EncodingBase):
    """A codebook encoding.

    Attributes:
        scale: float32 ``[channels]``, positive.
        table: int32 ``[channels, 2**bits]``, ascending along each row, 2 to 4 bits, within -127 and 127.
    """

    scale: Floats32
    table: Integers
    scheme: ClassVar[str] = "codebook"
    storage: ClassVar[Storage] = "halves"

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", np.atleast_1d(np.asarray(self.scale, np.float32)))
        object.__setattr__(self, "table", np.atleast_2d(np.asarray(self.table, np.int32)))
        self._check()

    @property
    def bits(self) -> int:
        """Bits of a code: the logarithm of the length of the table."""
        return int(self.table.shape[1]).bit_length() - 1

    @property
    def channels(self) -> int:
        """Tables."""
        return len(self.table)

    def integer_levels(self) -> Integers:
        """Return the table, int32 ``[channels, 2**bits]``."""
        return self.table

    def integer_scale(self) -> Floats:
        """Return the scale in float64."""
        return self.scale.astype(np.float64)

    def scaled(self, factor: npt.ArrayLike) -> Self:
        """Return the encoding with its scales times factors."""
        scale = np.maximum(self.scale * np.asarray(factor, np.float64), SMALLEST)
        return replace(self, scale=scale.astype(np.float32), table=per_row(self.table, scale.size))

    def opposite(self, codes: Codes, rows: Rows) -> tuple[Self, Codes]:
        """Return opposite tables, and codes counted from their other ends."""
        table, codes = per_row(self.table, len(rows)), codes.copy()
        table[rows] = -table[rows, ::-1]
        codes[rows] = (1 << self.bits) - 1 - codes[rows]
        return replace(self, scale=per_row(self.scale, len(rows)), table=table), codes

    def silent(self, codes: Codes, rows: Rows) -> tuple[Self, Codes]:
        """Return tables of zeros in rows that become zero."""
        table = per_row(self.table, len(rows))
        table[rows] = 0
        return replace(self, scale=per_row(self.scale, len(rows)), table=table), codes

    @classmethod
    def joined(cls, parts: Sequence[Self], rows: Sequence[int]) -> Self:
        """Return the encoding of several parts, a table for each of their rows."""
        scale = joined_parameter([part.scale for part in parts], rows)
        return cls(scale, joined_parameter([part.table for part in parts], rows))

    def fields(self) -> Fields:
        """Return ``scale`` and ``table``."""
        return {"scale": self.scale, "table": self.table}

    @classmethod
    def from_fields(cls, fields: Fields) -> Self:
        """Return the encoding that `fields` described."""
        return cls(np.asarray(fields["scale"]), np.asarray(fields["table"]))

    def _check(self) -> None:
        lengths = tuple(1 << bits for bits in range(BITS[0], BITS[1] + 1))
        if self.table.ndim != 2 or self.table.shape[1] not in lengths or not len(self.table):
            raise SchemeError(
                "a table has the wrong shape",
                expected=f"[channels, {' or '.join(map(str, lengths))}]",
                found=f"{self.table.shape}",
            )
        if self.scale.shape != self.table.shape[:1]:
            raise SchemeError(
                "scale and table differ in shape",
                expected=f"a scale for each of {len(self.table)} tables",
                found=f"{self.scale.shape}",
            )
        if not (np.isfinite(self.scale) & (self.scale > 0)).all():
            raise SchemeError(
                "a scale is not positive", expected="finite scales above 0", found=str(self.scale.min())
            )
        bad = (np.abs(self.table.astype(np.int64)) > BOUND).any(axis=1)
        bad |= (np.diff(self.table.astype(np.int64), axis=1) < 0).any(axis=1)
        if bad.any():
            channel = int(np.argmax(bad))
            raise SchemeError(
                "a table is not a codebook",
                where=f"channel {channel}",
                expected=f"ascending whole numbers within -{BOUND} and {BOUND}",
                found=np.array2string(self.table[channel]),
            )


def snapped(levels: Floats, bound: int = BOUND) -> Codebook:
    """Return real levels as a scale times whole numbers: the largest keeps its value.

    Args:
        levels: ascending, ``[channels, 2**bits]``.
        bound: the largest magnitude of a whole number, at most 127.
    """
    scale = np.maximum(np.abs(levels).max(axis=1) / bound, SMALLEST).astype(np.float32)
    whole = np.rint(levels / scale.astype(np.float64)[:, None])
    return Codebook(scale, np.clip(whole, -bound, bound).astype(np.int32))
