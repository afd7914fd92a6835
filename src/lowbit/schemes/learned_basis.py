"""Learned basis: a level is an offset plus signed basis coefficients.

    level(code) = o + sum_i a_i s_i,   s_i = 2 * bit_i(code) - 1,   a_0 <= a_1 <= ... <= a_{k-1}

(LQ-Nets, Zhang et al. 2018, eq. 3; the offset is ours and also covers their {0, 1} activations.)
A value equal to a threshold, the midpoint of two neighbouring levels, takes the lower level.

Deployed bases are *snapped* to a scale times small integers:

    m_i = round(top * a_i / a_{k-1}),   scale = a_{k-1} / top,   o = scale * integer  (weights)

with the ``top`` that comes closest to the ratios ``a_i / a_{k-1}`` among those whose ``sum_i m_i``
stays within a bound (127 for weights, so levels fit int8; 21 for activations, so 6-bit look-up tables
stay exact); of equally close ones the smallest, so that accumulators are no wider than they must be.
``top = 0`` marks a free, real-valued basis.
"""

from dataclasses import dataclass
from functools import cached_property
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

MAX_BITS = 8
WEIGHT_BOUND = 127
_MOST_UNITS = 1 << 24  # of an offset: more scales than a float32 counts
ACTIVATION_BOUND = 21
_ROUNDING = 1e-5  # of a coefficient: what float32 in files may make of scale times integer


@dataclass(frozen=True, eq=False)
class LearnedBasis:
    """A learned-basis encoding.

    Attributes:
        basis: float32 ``[channels, bits]``, positive and ascending along each row.
        offset: float32 ``[channels]``.
        top: int32 ``[channels]``, the largest integer of a snapped row, or 0 for a free row.
    """

    basis: Floats32
    offset: Floats32
    top: Integers
    scheme: ClassVar[str] = "lq"

    def __post_init__(self) -> None:
        for name, dtype in (("basis", np.float32), ("offset", np.float32), ("top", np.int32)):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype))
        self._check()

    @property
    def bits(self) -> int:
        """Coefficients per channel, which are the bits of a code."""
        return int(self.basis.shape[1])

    @property
    def channels(self) -> int:
        """Rows of the basis."""
        return int(self.basis.shape[0])

    @property
    def snapped(self) -> bool:
        """Whether every row is a scale times small integers."""
        return bool((self.top > 0).all())

    @property
    def is_affine(self) -> bool:
        """Whether every row is a uniform grid: ``m_i = 2**i``."""
        return bool((self.multipliers == 1 << np.arange(self.bits)).all())

    @cached_property
    def multipliers(self) -> Integers:
        """The integers ``m_i``, int32 ``[channels, bits]``; zero in free rows."""
        ratio = self.basis.astype(np.float64) / self.basis[:, -1:].astype(np.float64)
        return np.rint(self.top[:, None] * ratio).astype(np.int32)

    @property
    def scale(self) -> Floats:
        """``a_{k-1} / top`` per channel, float64; NaN in free rows."""
        top = np.where(self.top > 0, self.top, np.nan)
        return np.asarray(self.basis[:, -1].astype(np.float64) / top)

    def levels(self) -> Floats:
        """Return the level of every code, float64 ``[channels, 2**bits]``."""
        if self.snapped:
            return self.integer_scale()[:, None] * self.integer_levels() + self.integer_offset()[:, None]
        return self.offset[:, None] + self.basis.astype(np.float64) @ _signs(self.bits)

    def code_of_rank(self) -> Codes:
        """Return the codes in ascending order of level, uint8 ``[channels, 2**bits]``."""
        return np.argsort(self.levels(), axis=1, kind="stable").astype(np.uint8)

    def thresholds(self) -> Floats32:
        """Return the midpoints of neighbouring levels, rounded down to float32."""
        levels = np.sort(self.levels(), axis=1)
        return largest_float32_below((levels[:, 1:] + levels[:, :-1]) / 2)

    def encode(self, values: npt.ArrayLike) -> Codes:
        """Return the codes of the nearest levels; a tie takes the lower level."""
        return rank_encode(values, self.thresholds(), self.code_of_rank())

    def decode(self, codes: npt.ArrayLike) -> Floats32:
        """Return the levels of codes, float32."""
        return table_decode(codes, self.levels()).astype(np.float32)

    def integer_levels(self) -> Integers:
        """Return ``sum_i m_i s_i``, int32 ``[channels, 2**bits]``, without the offset.

        Raises:
            SchemeError: the basis is free.
        """
        self._require_snapped()
        return np.asarray(self.multipliers @ _signs(self.bits).astype(np.int32), np.int32)

    def integer_scale(self) -> Floats:
        """Return the scale of `integer_levels`; raises `SchemeError` for a free basis."""
        self._require_snapped()
        return self.scale

    def integer_offset(self) -> Floats:
        """Return the offset of `integer_levels`."""
        return self.offset.astype(np.float64)

    def integer_weight_offset(self) -> Integers:
        """Return the offset in units of the scale, int32 ``[channels]``, for weights.

        Raises:
            SchemeError: the offset is not a whole number of scales.
        """
        units = self.offset / self.scale
        whole = np.rint(units)
        bad = (np.abs(units - whole) > 1e-3) | (np.abs(whole) > _MOST_UNITS)
        if bad.any():
            raise SchemeError(
                "a weight offset is not a whole number of scales",
                expected=f"offset = scale * integer, up to {_MOST_UNITS} scales",
                found=f"{units[np.argmax(bad)]:.4f} scales",
                remedy="Snap the weights with lowbit.schemes.snap_weights.",
            )
        return whole.astype(np.int32)

    def to_dict(self) -> dict[str, object]:
        """Return the parameters, floats as hexadecimal."""
        return {
            "scheme": self.scheme,
            "basis": [[float(a).hex() for a in row] for row in self.basis],
            "offset": [float(o).hex() for o in self.offset],
            "top": [int(t) for t in self.top],
        }

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        """Return the encoding that `to_dict` described."""
        basis = [[float.fromhex(a) for a in row] for row in fields["basis"]]
        offset = [float.fromhex(o) for o in fields["offset"]]
        return cls(
            np.array(basis, np.float32), np.array(offset, np.float32), np.array(fields["top"], np.int32)
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LearnedBasis):
            return NotImplemented
        mine, theirs = (self.basis, self.offset, self.top), (other.basis, other.offset, other.top)
        return all(np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True))

    def _require_snapped(self) -> None:
        if not self.snapped:
            raise SchemeError(
                "a free basis has no integer form", remedy="Snap it with lowbit.schemes.snap first."
            )

    def _check(self) -> None:
        if self.basis.ndim != 2 or not 1 <= self.basis.shape[1] <= MAX_BITS or not len(self.basis):
            raise SchemeError(
                "a basis has the wrong shape",
                expected=f"[channels, 1 to {MAX_BITS}]",
                found=f"{self.basis.shape}",
            )
        for name, array in (("offset", self.offset), ("top", self.top)):
            if array.shape != self.basis.shape[:1]:
                raise SchemeError(
                    f"{name} does not match the basis",
                    expected=f"shape {self.basis.shape[:1]}",
                    found=f"{array.shape}",
                )
        _check_rows(self.basis, self.offset)
        self._check_snapped_rows()

    def _check_snapped_rows(self) -> None:
        """Refuse snapped rows that are not what they say: some compute with one, some with the other."""
        said = self.scale[:, None] * self.multipliers
        bad = (self.top > 0) & (np.abs(said - self.basis) > _ROUNDING * self.basis).any(axis=1) | (
            self.top < 0
        )
        if bad.any():
            channel = int(np.argmax(bad))
            raise SchemeError(
                "a basis is not the integers that it says it is",
                where=f"channel {channel}",
                expected=f"multiples of a {self.top[channel]}th of its largest coefficient",
                found=np.array2string(self.basis[channel]),
                remedy="Snap it with lowbit.schemes.snap.",
            )


def snap(encoding: LearnedBasis, bound: int) -> LearnedBasis:
    """Return the encoding with its basis snapped to a scale times small integers.

    The largest coefficient keeps its value, and so does the offset.

    Args:
        encoding: free or snapped.
        bound: the largest allowed ``sum_i m_i``: `WEIGHT_BOUND` or `ACTIVATION_BOUND`.

    Raises:
        SchemeError: the bound is too small for any integer basis.
    """
    ratio = encoding.basis.astype(np.float64) / encoding.basis[:, -1:]
    multipliers, closest = np.zeros(ratio.shape, np.int64), np.full(len(ratio), np.inf)
    for unit in range(1, bound + 1):
        candidate = np.rint(unit * ratio).astype(np.int64)
        error = np.abs(candidate / unit - ratio).max(axis=1)
        better = (candidate.sum(axis=1) <= bound) & (candidate[:, 0] > 0) & (error < closest)
        multipliers[better], closest[better] = candidate[better], error[better]
    if (multipliers[:, -1] == 0).any():
        channel = int(np.argmax(multipliers[:, -1] == 0))
        raise SchemeError(
            "a basis cannot be written as small integers",
            where=f"channel {channel}",
            expected=f"a ratio of coefficients below {bound}",
            found=np.array2string(encoding.basis[channel]),
            remedy="Use fewer bits for this layer.",
        )
    top = multipliers[:, -1]
    scale = encoding.basis[:, -1].astype(np.float64) / top
    return LearnedBasis(
        (scale[:, None] * multipliers).astype(np.float32), encoding.offset, top.astype(np.int32)
    )


def snap_weights(encoding: LearnedBasis, bound: int = WEIGHT_BOUND) -> LearnedBasis:
    """Return snapped weights whose offset is a whole number of scales as well."""
    snapped = snap(encoding, bound)
    offset = np.rint(snapped.offset / snapped.scale) * snapped.scale
    return LearnedBasis(snapped.basis, offset.astype(np.float32), snapped.top)


def _signs(bits: int) -> Floats:
    """Return ``s_i`` of every code, float64 ``[bits, 2**bits]``."""
    codes = np.arange(1 << bits)
    return np.asarray(2.0 * ((codes >> np.arange(bits)[:, None]) & 1) - 1.0)


def _check_rows(basis: Floats32, offset: Floats32) -> None:
    """Refuse rows that are not finite, positive and ascending."""
    bad = ~np.isfinite(basis).all(axis=1) | ~np.isfinite(offset) | (basis <= 0).any(axis=1)
    bad |= (np.diff(basis, axis=1) < 0).any(axis=1)
    if bad.any():
        channel = int(np.argmax(bad))
        raise SchemeError(
            "a basis row is not a basis",
            where=f"channel {channel}",
            expected="finite, positive, ascending coefficients and a finite offset",
            found=f"{np.array2string(basis[channel])}, offset {offset[channel]}",
        )
