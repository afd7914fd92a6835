"""What every encoding offers, whatever its scheme.

An *encoding* is a scheme with its parameters. It maps reals to codes and codes to levels, for a
whole tensor (one channel) or per channel (axis 0). All linear schemes are planes, a basis and an
offset, so each encoding also has an integer form:

    level(code) = scale_c * (integer_level_c(code)) + offset_c

with ``integer_level`` a small integer. Deployed sums are sums of integer levels, hence exact.

Whoever needs to know what an encoding is asks it: how it is stored, whether it is evenly spaced, what a
layer multiplies. Nobody outside `lowbit.schemes` asks for its class.
"""

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

from lowbit.schemes.fields import Fields, fields_of_json, json_of_fields, require_kinds

if TYPE_CHECKING:
    from lowbit.schemes.affine import Affine
    from lowbit.schemes.fixed_point import FixedPoint
    from lowbit.schemes.learned_basis import LearnedBasis

Floats = npt.NDArray[np.float64]
Floats32 = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int32]
Codes = npt.NDArray[np.unsignedinteger[Any]]
Rows = npt.NDArray[np.bool_]

Storage = Literal["planes", "halves", "bytes", "words"]
"""How codes lie in files: bit-planes, two to a byte, one to a byte, one to two bytes."""

SMALLEST = 1e-30
"""The least scale that arithmetic on encodings leaves: float32 still has digits for what it multiplies."""

Number = TypeVar("Number", bound=np.generic)


@runtime_checkable
class Encoding(Protocol):
    """The protocol of encodings; `lowbit.schemes.check_scheme` is its conformance suite.

    `EncodingBase` gives what follows from the rest.
    """

    @property
    def scheme(self) -> str:
        """The scheme's name, as in specifications."""

    @property
    def file_stem(self) -> str:
        """What layers with such weights are called in files of before; "" for schemes that came later."""

    @property
    def bits(self) -> int:
        """Bits per code, 1 to 8; fixed point up to 16."""

    @property
    def channels(self) -> int:
        """Sets of parameters: 1 for a whole tensor, else the length of axis 0."""

    @property
    def group(self) -> int:
        """How many numbers of a row, in order, share a set of parameters; 0: all of them do.

        See `lowbit.schemes.grouped`.
        """

    @property
    def storage(self) -> Storage:
        """How weights of it are stored in files and graphs."""

    @property
    def snapped(self) -> bool:
        """Whether it has an integer form; only a learned basis that is still free has none."""

    @property
    def linear(self) -> bool:
        """Whether its levels ascend evenly in the order of codes: ``level = first + step * code``."""

    @property
    def rounds(self) -> bool:
        """Whether it encodes a real by rounding to a multiple of its scale.

        What rounds needs no thresholds of its own: a layer may end in it.
        """

    @property
    def rounding(self) -> str:
        """How it rounds: ``even`` (half to even), ``nearest`` (half up), ``floor``, or ""."""

    def levels(self) -> Floats:
        """Return the level of every code, float64 ``[channels, 2**bits]``."""

    def thresholds(self) -> Floats32:
        """Return the largest reals that stay below each step, float32 ``[channels, 2**bits - 1]``.

        Ascending. The rank of ``x`` is the number of thresholds with ``x > t``; ties are thereby
        part of the encoding.
        """

    def code_of_rank(self) -> Codes:
        """Return the code with the r-th smallest level, ``[channels, 2**bits]``.

        uint8, or uint16 above 8 bits.
        """

    def encode(self, values: npt.ArrayLike) -> Codes:
        """Return codes of reals; channels along axis 0 when there are several."""

    def decode(self, codes: npt.ArrayLike) -> Floats32:
        """Return the levels of codes, float32."""

    def integer_levels(self) -> Integers:
        """Return integers ``[channels, 2**bits]`` with ``level = scale * integer + offset``."""

    def integer_scale(self) -> Floats:
        """Return the scale of `integer_levels`, float64 ``[channels]``."""

    def integer_offset(self) -> Floats:
        """Return the offset of `integer_levels`, float64 ``[channels]``."""

    def whole_levels(self) -> Integers:
        """Return what layers multiply: integers ``[channels, 2**bits]`` with ``level = scale * integer``.

        The offset is inside, as a whole number of scales; it differs from ``integer_offset / scale`` by no
        more than what float32 makes of the offset.

        Raises:
            SchemeError: the offset is no whole number of scales, or there is no integer form.
        """

    def as_basis(self) -> "LearnedBasis | None":
        """Return the same levels, code by code, as a learned basis: planes, a basis and an offset.

        Its basis and offset are float32. None where the levels are not of planes, or of more than 8.
        """

    def as_fixed_point(self) -> "FixedPoint | None":
        """Return the same levels, code by code, as a fixed-point format; None where they are not of one."""

    def as_affine(self) -> "Affine | None":
        """Return the affine encoding that gives every real the same code, of the same level.

        A scale and a zero point, half to even, as other runtimes have it; None where there is none.
        """

    def scaled(self, factor: npt.ArrayLike) -> Self | None:
        """Return the encoding with every level times a factor; a scale stays at `SMALLEST` or above.

        Args:
            factor: positive, ``[channels]``, or one per row where there is one channel for all rows.

        Returns:
            The encoding, with as many channels as there are factors or channels; None where the scheme has
            no such levels.
        """

    def opposite(self, codes: Codes, rows: Rows) -> tuple[Self, Codes] | None:
        """Return an encoding and codes with the opposite levels in some rows, the same in the others.

        Args:
            codes: ``[rows, …]``, of one channel or of as many as there are rows.
            rows: which rows change their sign, ``[rows]``.

        Returns:
            None where one of the codes has no opposite.
        """

    def silent(self, codes: Codes, rows: Rows) -> tuple[Self, Codes]:
        """Return an encoding and codes with level zero in some rows, the same levels in the others.

        A scheme without a level of zero has one next to it, below 1e-29, there.

        Args:
            codes: ``[rows, …]``, of one channel or of as many as there are rows.
            rows: which rows become zero, ``[rows]``.
        """

    @classmethod
    def joined(cls, parts: Sequence[Self], rows: Sequence[int]) -> Self:
        """Return the encoding of several parts, rows after rows.

        Args:
            parts: of equal bits.
            rows: how many rows each part has.

        Raises:
            SchemeError: no encoding of the scheme stands for all of them.
        """

    def fields(self) -> Fields:
        """Return the parameters by name, exact: numbers, texts, float32 and int32 arrays."""

    @classmethod
    def from_fields(cls, fields: Fields) -> Self:
        """Return the encoding that `fields` described.

        Raises:
            SchemeError: the parameters are impossible.
            KeyError, TypeError, ValueError: a field is missing or of the wrong kind; see `encoding_of`.
        """

    def to_dict(self) -> dict[str, object]:
        """Return `fields` and the scheme as JSON-ready values, exact (floats as hexadecimal)."""

    @classmethod
    def from_dict(cls, fields: dict[str, object]) -> Self:
        """Return the encoding that `to_dict` described."""


class EncodingBase:
    """What follows from the facts of a scheme: a new one gives the rest of `Encoding`.

    A subclass has `scheme`, `bits`, `channels`, `storage`, `integer_levels`, `integer_scale`, `fields`,
    `from_fields`, `scaled`, `opposite`, `silent` and `joined`, and whatever it does in its own way.
    """

    @property
    def file_stem(self) -> str:
        """What layers are called in files of before: nothing."""
        return ""

    @property
    def group(self) -> int:
        """How many numbers of a row share a set of parameters: all of them."""
        return 0

    @property
    def snapped(self) -> bool:
        """Whether there is an integer form: yes."""
        return True

    @property
    def linear(self) -> bool:
        """Whether levels ascend evenly in the order of codes: no."""
        return False

    @property
    def rounds(self) -> bool:
        """Whether encoding is rounding: no, thresholds are counted."""
        return False

    @property
    def rounding(self) -> str:
        """How it rounds: not at all."""
        return ""

    def levels(self: Encoding) -> Floats:
        """Return the level of every code, float64 ``[channels, 2**bits]``."""
        return self.integer_scale()[:, None] * self.integer_levels() + self.integer_offset()[:, None]

    def code_of_rank(self: Encoding) -> Codes:
        """Return the codes in ascending order of level, uint8 ``[channels, 2**bits]``."""
        return np.argsort(self.levels(), axis=1, kind="stable").astype(np.uint8)

    def thresholds(self: Encoding) -> Floats32:
        """Return the midpoints of neighbouring levels, rounded down to float32."""
        levels = np.sort(self.levels(), axis=1)
        return largest_float32_below((levels[:, 1:] + levels[:, :-1]) / 2)

    def encode(self: Encoding, values: npt.ArrayLike) -> Codes:
        """Return the codes of the nearest levels; a tie takes the lower level."""
        return rank_encode(values, self.thresholds(), self.code_of_rank())

    def decode(self: Encoding, codes: npt.ArrayLike) -> Floats32:
        """Return the levels of codes, float32."""
        return decoded(self, codes).astype(np.float32)

    def integer_offset(self: Encoding) -> Floats:
        """Return zeros: there is no offset."""
        return np.zeros(self.channels)

    def whole_levels(self: Encoding) -> Integers:
        """Return the integer levels: there is no offset."""
        return self.integer_levels()

    def as_basis(self) -> "LearnedBasis | None":
        """Return None: the levels are not of planes."""
        return None

    def as_fixed_point(self) -> "FixedPoint | None":
        """Return None: the levels are not of a format."""
        return None

    def as_affine(self) -> "Affine | None":
        """Return None: there is no scale and zero point."""
        return None

    def to_dict(self: Encoding) -> dict[str, object]:
        """Return the parameters and the scheme as JSON-ready values."""
        return {"scheme": self.scheme, **json_of_fields(self.fields())}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        """Return the encoding that `to_dict` described."""
        given = fields_of_json({name: value for name, value in fields.items() if name != "scheme"})
        encoding = cls.from_fields(given)  # type: ignore[attr-defined]
        require_kinds(given, encoding.fields())
        return encoding  # type: ignore[no-any-return]

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        mine, theirs = self.fields(), other.fields()  # type: ignore[attr-defined]
        return all(np.array_equal(value, theirs[name]) for name, value in mine.items())


def largest_float32_below(values: npt.ArrayLike) -> Floats32:
    """Return the largest float32 that is not above each float64 value."""
    exact = np.asarray(values, np.float64)
    near = exact.astype(np.float32)
    below = np.nextafter(near, np.float32(-np.inf))
    return np.where(near.astype(np.float64) > exact, below, near).astype(np.float32)


def rank_encode(values: npt.ArrayLike, thresholds: Floats32, code_of_rank: Codes) -> Codes:
    """Return codes by counting thresholds below each value.

        code(x) = code_of_rank[#{c : x > t_c}]

    NaN is above no threshold and gets the lowest level.

    Args:
        values: reals; axis 0 is the channel when there are several rows of thresholds.
        thresholds: ascending float32 ``[channels, steps]``.
        code_of_rank: uint8 ``[channels, steps + 1]``.
    """
    array = nan_as_lowest(values)
    if len(thresholds) == 1:
        return np.asarray(code_of_rank[0][np.searchsorted(thresholds[0], array, side="left")])
    codes = np.empty(array.shape, np.uint8)
    for channel, row in enumerate(array):
        codes[channel] = code_of_rank[channel][np.searchsorted(thresholds[channel], row, side="left")]
    return codes


def nan_as_lowest(values: npt.ArrayLike) -> npt.NDArray[Any]:
    """Return the values with minus infinity for NaN, which therefore has rank 0."""
    array = np.asarray(values)
    unknown = np.isnan(array)
    return np.where(unknown, array.dtype.type(-np.inf), array) if unknown.any() else array


def table_decode(codes: npt.ArrayLike, table: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """Return ``table[channel, code]`` with the channel along axis 0, or for all when there is one."""
    array = np.asarray(codes, np.intp)
    if len(table) == 1:
        return np.asarray(table[0][array])
    rows = np.arange(len(table)).reshape(-1, *[1] * (array.ndim - 1))
    return np.asarray(table[rows, array])


def decoded(encoding: Encoding, codes: npt.ArrayLike) -> Floats:
    """Return the levels of codes, float64; channels along axis 0 when there are several."""
    array = np.asarray(codes)
    if not encoding.group:
        return table_decode(array, encoding.levels())
    return out_of_groups(table_decode(in_groups(array, encoding.group), encoding.levels()), array.shape)


def in_groups(rows: npt.NDArray[Number], group: int) -> npt.NDArray[Number]:
    """Return rows ``[r, …]`` as groups of their numbers in order, ``[r * ceil(n / group), group]``.

    Zeros stand behind the numbers of a last group that is shorter.
    """
    flat = rows.reshape(len(rows), -1)
    padded = np.pad(flat, ((0, 0), (0, -flat.shape[1] % group)))
    return padded.reshape(-1, group)


def out_of_groups(groups: npt.NDArray[Number], shape: tuple[int, ...]) -> npt.NDArray[Number]:
    """Return the rows of that shape that `in_groups` cut; the inverse of it."""
    rows, length = shape[0], prod(shape[1:])
    return np.ascontiguousarray(groups.reshape(rows, -1)[:, :length]).reshape(shape)


def per_row(parameter: npt.NDArray[Number], rows: int) -> npt.NDArray[Number]:
    """Return a parameter ``[channels, …]`` with one entry per row; one channel stands for all rows."""
    return np.broadcast_to(parameter, (rows, *parameter.shape[1:])).copy()


def joined_parameter(parts: Sequence[npt.NDArray[Number]], rows: Sequence[int]) -> npt.NDArray[Number]:
    """Return the parameters ``[channels, …]`` of several parts, one entry for each of their rows."""
    return np.concatenate([per_row(part, count) for part, count in zip(parts, rows, strict=True)])
