"""Learned basis: a level is an offset plus signed basis coefficients.

    level(code) = o + sum_i a_i s_i,   s_i = 2 * bit_i(code) - 1,   a_0 <= a_1 <= ... <= a_{k-1}

(Zhang, Yang, Ye and Hua: LQ-Nets: Learned Quantization for Highly Accurate and Compact Deep Neural Networks,
ECCV 2018, eq. 3; the offset is ours and also covers their {0, 1} activations.)
A value equal to a threshold, the midpoint of two neighbouring levels, takes the lower level.

Deployed bases are *snapped* to a scale times small integers:

    m_i = round(top * a_i / a_{k-1}),   scale = a_{k-1} / top,   o = scale * integer  (weights)

with the ``top`` that comes closest to the ratios ``a_i / a_{k-1}`` among those whose ``sum_i m_i``
stays within a bound (127 for weights, so levels fit int8; 21 for activations, so 6-bit look-up tables
stay exact); of equally close ones the smallest, so that accumulators are no wider than they must be.
``top = 0`` marks a free, real-valued basis.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any, ClassVar, Self

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

MAX_BITS = 8
PARAMETERS = ("basis", "offset", "top")
WEIGHT_BOUND = 127
_MOST_UNITS = 1 << 24  # of an offset: more scales than a float32 counts
ACTIVATION_BOUND = 21
_WHOLE = 1e-3  # of a scale: what float32 may make of an offset that is a whole number of them
_ROUNDING = 1e-5  # of a coefficient: what float32 in files may make of scale times integer


@dataclass(frozen=True, eq=False)
class LearnedBasis(EncodingBase):
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
    file_stem: ClassVar[str] = "LQ"
    storage: ClassVar[Storage] = "planes"

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

    @cached_property
    def snapped(self) -> bool:
        """Whether every row is a scale times small integers."""
        return bool((self.top > 0).all())

    @property
    def linear(self) -> bool:
        """Whether levels are snapped and ascend evenly in the order of codes: ``m_i = 2**i m_0``."""
        even = self.multipliers[:, :1] << np.arange(self.bits)
        return self.snapped and bool((self.multipliers == even).all())

    @property
    def is_affine(self) -> bool:
        """Whether every row is a uniform grid: ``m_i = 2**i``."""
        return bool((self.multipliers == 1 << np.arange(self.bits)).all())

    @cached_property
    def multipliers(self) -> Integers:
        """The integers ``m_i``, int32 ``[channels, bits]``; zero in free rows."""
        ratio = self.basis.astype(np.float64) / self.basis[:, -1:].astype(np.float64)
        return np.rint(self.top[:, None] * ratio).astype(np.int32)

    @cached_property
    def scale(self) -> Floats:
        """``a_{k-1} / top`` per channel, float64; NaN in free rows."""
        top = np.where(self.top > 0, self.top, np.nan)
        return np.asarray(self.basis[:, -1].astype(np.float64) / top)

    def levels(self) -> Floats:
        """Return the level of every code, float64 ``[channels, 2**bits]``."""
        if self.snapped:
            return super().levels()
        return self.offset[:, None] + self.basis.astype(np.float64) @ _signs(self.bits)

    def integer_levels(self) -> Integers:
        """Return ``sum_i m_i s_i``, int32 ``[channels, 2**bits]``, without the offset.

        Raises:
            SchemeError: the basis is free.
        """
        self._require_snapped()
        return np.asarray(self.multipliers @ _signs(self.bits), np.int32)

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
        bad = (np.abs(units - whole) > _WHOLE) | (np.abs(whole) > _MOST_UNITS)
        if bad.any():
            raise SchemeError(
                "a weight offset is not a whole number of scales",
                expected=f"offset = scale * integer, up to {_MOST_UNITS} scales",
                found=f"{units[np.argmax(bad)]:.4f} scales",
                remedy="Snap the weights with lowbit.schemes.snap_weights.",
            )
        return whole.astype(np.int32)

    def whole_levels(self) -> Integers:
        """Return ``sum_i m_i s_i + P``, int32 ``[channels, 2**bits]``, P the offset in units of the scale.

        Raises:
            SchemeError: the basis is free, or its offset is not a whole number of scales.
        """
        return self.integer_levels() + self.integer_weight_offset()[:, None]

    def as_basis(self) -> "LearnedBasis":
        """Return itself."""
        return self

    def scaled(self, factor: npt.ArrayLike) -> "LearnedBasis":
        """Return the basis times factors, from its integers if it has some: float32 keeps every ratio."""
        rows = max(self.channels, np.size(factor))
        old = self._repeated(rows)
        unit = old.scale if self.snapped else old.basis[:, 0].astype(np.float64)
        factors = np.maximum(np.broadcast_to(np.asarray(factor, np.float64), rows), SMALLEST / unit)
        if self.snapped:
            units = old.offset / unit
            whole = np.rint(units) + 0.0  # of weights: float32 must leave it whole; never a negative zero
            units = np.where(np.abs(units - whole) > _ROUNDING * np.maximum(np.abs(whole), 1), units, whole)
            return of_integers(unit * factors, old.multipliers, units)
        basis = (old.basis * factors[:, None]).astype(np.float32)
        return type(self)(basis, (old.offset * factors).astype(np.float32), old.top)

    def opposite(self, codes: Codes, rows: Rows) -> tuple[Self, Codes]:
        """Return codes of opposite signs, and opposite offsets."""
        codes, old = codes.copy(), self._repeated(len(rows))
        codes[rows] ^= codes.dtype.type((1 << self.bits) - 1)
        return replace(old, offset=np.where(rows, 0 - old.offset, old.offset)), codes

    def silent(self, codes: Codes, rows: Rows) -> tuple[Self, Codes]:
        """Return rows of integers 1, 1, 2, 4, … next to nothing, and the code that makes them zero.

        One bit alone has a level of zero where there are offsets; else its levels are next to zero.
        """
        integers = np.array([1, *(1 << np.arange(self.bits - 1))])
        units = np.full(1, int(self.bits == 1 and self.offset.any()))
        zero = of_integers(np.full(1, SMALLEST), integers[None], units)
        parameters = [per_row(np.asarray(getattr(self, name)), len(rows)) for name in PARAMETERS]
        for parameter, name in zip(parameters, PARAMETERS, strict=True):
            parameter[rows] = getattr(zero, name)
        codes = codes.copy()
        codes[rows] = (1 << (self.bits - 1)) - 1
        return type(self)(*parameters), codes

    @classmethod
    def joined(cls, parts: Sequence[Self], rows: Sequence[int]) -> Self:
        """Return the basis of several parts, a channel for each of their rows."""
        columns = ([getattr(part, name) for part in parts] for name in PARAMETERS)
        return cls(*(joined_parameter(column, rows) for column in columns))

    def fields(self) -> Fields:
        """Return ``basis``, ``offset`` and ``top``."""
        return {"basis": self.basis, "offset": self.offset, "top": self.top}

    @classmethod
    def from_fields(cls, fields: Fields) -> Self:
        """Return the encoding that `fields` described."""
        return cls(*(np.asarray(fields[name]) for name in PARAMETERS))

    def _repeated(self, rows: int) -> Self:
        """Return a copy with one channel per row."""
        return type(self)(*(per_row(np.asarray(getattr(self, name)), rows) for name in PARAMETERS))

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


def of_integers(scale: Floats, integers: npt.NDArray[Any], units: npt.NDArray[Any]) -> LearnedBasis:
    """Return the encoding of scale * integers, its offset a multiple of the scale as float32 leaves it.

    Args:
        scale: ``[channels]``.
        integers: m_i, ``[channels, bits]``.
        units: the offset in scales, ``[channels]``.
    """
    basis, top = (scale[:, None] * integers).astype(np.float32), integers[:, -1].astype(np.int32)
    offset = units * (basis[:, -1].astype(np.float64) / top)
    return LearnedBasis(basis, offset.astype(np.float32), top)


@cache
def _signs(bits: int) -> Integers:
    """Return ``s_i`` of every code, int32 ``[bits, 2**bits]``; nobody writes into it."""
    codes = np.arange(1 << bits, dtype=np.int32)
    return 2 * ((codes >> np.arange(bits, dtype=np.int32)[:, None]) & 1) - 1


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
