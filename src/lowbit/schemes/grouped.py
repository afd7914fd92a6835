"""Groups: a set of parameters for every so many numbers of a row, whatever the scheme.

    set of row r, number n = r * ceil(length / group) + n // group

A row of 100 numbers in groups of 32 has four sets, the last one of four numbers. The sets are the channels
of an encoding of the scheme, so that all it does to channels is done to groups here. Weights that meet reals
have groups; sums of codes would need an end for every group.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import numpy.typing as npt

from lowbit.errors import SchemeError
from lowbit.schemes.encoding import (
    Codes,
    Encoding,
    EncodingBase,
    Floats,
    Floats32,
    Integers,
    Rows,
    Storage,
    in_groups,
    out_of_groups,
)
from lowbit.schemes.fields import Fields, fields_of_json, require_kinds

MOST_BITS = 8
GROUP = "group"

Number = TypeVar("Number", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Grouped(EncodingBase):
    """An encoding with groups.

    Attributes:
        sets: the encoding of every set, row after row: one channel for each.
        length: how many numbers of a row share a set, 1 or more.
    """

    sets: Encoding
    length: int
    storage: ClassVar[Storage] = "planes"

    def __post_init__(self) -> None:
        if self.length < 1 or self.sets.bits > MOST_BITS or self.sets.group:
            raise SchemeError(
                "impossible groups",
                expected=f"1 number or more of at most {MOST_BITS} bits to a group",
                found=f"{self.length} numbers of {self.sets.bits} bits",
            )

    @property
    def group(self) -> int:
        """How many numbers of a row share a set."""
        return self.length

    @property
    def scheme(self) -> str:
        """The scheme of the sets."""
        return self.sets.scheme

    @property
    def bits(self) -> int:
        """Bits per code."""
        return self.sets.bits

    @property
    def channels(self) -> int:
        """Sets of parameters."""
        return self.sets.channels

    @property
    def snapped(self) -> bool:
        """Whether the sets have an integer form."""
        return self.sets.snapped

    @property
    def linear(self) -> bool:
        """Whether levels of a set ascend evenly in the order of codes."""
        return self.sets.linear

    @property
    def rounds(self) -> bool:
        """Whether encoding is rounding."""
        return self.sets.rounds

    @property
    def rounding(self) -> str:
        """How it rounds."""
        return self.sets.rounding

    def levels(self) -> Floats:
        """Return the levels of every set, float64 ``[sets, 2**bits]``."""
        return self.sets.levels()

    def thresholds(self) -> Floats32:
        """Return the thresholds of every set."""
        return self.sets.thresholds()

    def code_of_rank(self) -> Codes:
        """Return the codes of every set in ascending order of level."""
        return self.sets.code_of_rank()

    def integer_levels(self) -> Integers:
        """Return the integer levels of every set."""
        return self.sets.integer_levels()

    def integer_scale(self) -> Floats:
        """Return the scale of every set."""
        return self.sets.integer_scale()

    def integer_offset(self) -> Floats:
        """Return the offset of every set."""
        return self.sets.integer_offset()

    def whole_levels(self) -> Integers:
        """Return the whole levels of every set."""
        return self.sets.whole_levels()

    def encode(self, values: npt.ArrayLike) -> Codes:
        """Return codes of reals ``[rows, …]``, group by group."""
        array = np.asarray(values)
        return out_of_groups(self.sets.encode(in_groups(array, self.group)), array.shape)

    def scaled(self, factor: npt.ArrayLike) -> Self | None:
        """Return the encoding with every level times the factor of its row, or of its set."""
        found = self.sets.scaled(self._of_sets(np.atleast_1d(np.asarray(factor))))
        return None if found is None else type(self)(found, self.group)

    def opposite(self, codes: Codes, rows: Rows) -> tuple[Self, Codes] | None:
        """Return an encoding and codes with the opposite levels in some rows."""
        turned = self.sets.opposite(in_groups(codes, self.group), self._of_sets(rows))
        return None if turned is None else self._again(*turned, codes.shape)

    def silent(self, codes: Codes, rows: Rows) -> tuple[Self, Codes]:
        """Return an encoding and codes with level zero in some rows."""
        silent = self.sets.silent(in_groups(codes, self.group), self._of_sets(rows))
        return self._again(*silent, codes.shape)

    @classmethod
    def joined(cls, parts: Sequence[Self], rows: Sequence[int]) -> Self:
        """Return the encoding of several parts, the sets of each behind those of the one before."""
        encodings = [part.sets for part in parts]
        group, *others = {part.group for part in parts}
        if others:
            raise SchemeError("parts have groups of different lengths", found=f"{group} and {others[0]}")
        return cls(type(encodings[0]).joined(encodings, [each.channels for each in encodings]), group)

    def fields(self) -> Fields:
        """Return the fields of the sets, and ``group``."""
        return {**self.sets.fields(), GROUP: self.group}

    @classmethod
    def from_fields(cls, fields: Fields) -> Self:
        """Refuse: fields say the scheme of the sets elsewhere, see `of_fields`."""
        raise SchemeError("fields of groups are read with the scheme of their sets")

    @classmethod
    def of_fields(cls, scheme: type[Encoding], fields: Fields) -> Self:
        """Return the encoding that `fields` described, its sets of a scheme."""
        own = {name: value for name, value in fields.items() if name != GROUP}
        return cls(scheme.from_fields(own), int(fields[GROUP]))

    @classmethod
    def of_dict(cls, scheme: type[Encoding], values: dict[str, Any]) -> Self:
        """Return the encoding that `to_dict` described, its sets of a scheme."""
        given = fields_of_json({name: value for name, value in values.items() if name != "scheme"})
        encoding = cls.of_fields(scheme, given)
        require_kinds(given, encoding.fields())
        return encoding

    def block(self, index: int, count: int) -> Encoding:
        """Return the encoding of one group of every row, of rows with so many groups."""
        fields = {
            name: value[index::count]
            if isinstance(value, np.ndarray) and len(value) == self.channels
            else value
            for name, value in self.sets.fields().items()
        }
        return type(self.sets).from_fields(fields)

    def _of_sets(self, rows: npt.NDArray[Number]) -> npt.NDArray[Number]:
        """Return what is given for rows, or for sets, for every set."""
        return np.repeat(rows, self.channels // len(rows))

    def _again(self, sets: Any, codes: Codes, shape: tuple[int, ...]) -> tuple[Self, Codes]:
        return type(self)(sets, self.group), out_of_groups(codes, shape)
