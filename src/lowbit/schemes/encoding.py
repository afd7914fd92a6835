"""What every encoding offers, whatever its scheme.

An *encoding* is a scheme with its parameters. It maps reals to codes and codes to levels, for a
whole tensor (one channel) or per channel (axis 0). All linear schemes are planes, a basis and an
offset, so each encoding also has an integer form:

    level(code) = scale_c * (integer_level_c(code)) + offset_c

with ``integer_level`` a small integer. Deployed sums are sums of integer levels, hence exact.
"""

from typing import Any, Protocol, Self, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Floats32 = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int32]
Codes = npt.NDArray[np.unsignedinteger[Any]]

Number = TypeVar("Number", bound=np.generic)


@runtime_checkable
class Encoding(Protocol):
    """The protocol of encodings; `lowbit.schemes.check_scheme` is its conformance suite."""

    @property
    def scheme(self) -> str:
        """The scheme's name, as in ``--scheme``."""

    @property
    def bits(self) -> int:
        """Bits per code, 1 to 8; fixed point up to 16."""

    @property
    def channels(self) -> int:
        """Sets of parameters: 1 for a whole tensor, else the length of axis 0."""

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

    def to_dict(self) -> dict[str, object]:
        """Return the parameters as JSON-ready values, exact (floats as hexadecimal)."""

    @classmethod
    def from_dict(cls, fields: dict[str, object]) -> Self:
        """Return the encoding that `to_dict` described."""


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
