"""Constant codes as files hold them, by the storage that their encoding asks for.

planes    int32 words [o, bits, ceil(n / 32)], as `lowbit.planes` lays them out
halves    uint8 [o, ceil(n / 2)], two codes of at most 4 bits to a byte: of each pair the even one stands in
          the low half, and the upper half of the last byte of an odd row is zero
bytes     uint8, in the shape of the codes
words     uint16, in the shape of the codes
"""

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.errors import ModelFormatError
from lowbit.ir import Value
from lowbit.planes import padding_is_zero, word_count
from lowbit.schemes import Encoding

Codes = npt.NDArray[np.uint8]


def pack_halves(codes: Codes) -> Codes:
    """Return codes `[o, n]` below 16 as bytes `[o, ceil(n / 2)]`."""
    even = np.pad(codes, ((0, 0), (0, codes.shape[1] % 2)))
    return np.ascontiguousarray(even[:, ::2] | (even[:, 1::2] << 4))


def unpack_halves(packed: Codes, length: int) -> Codes:
    """Return the codes `[o, length]` of bytes `[o, ceil(length / 2)]`."""
    return np.stack([packed & 15, packed >> 4], axis=-1).reshape(len(packed), -1)[:, :length]


def packed(value: Value) -> npt.NDArray[Any]:
    """Return the data of a constant as it stands in a file."""
    assert value.data is not None
    if value.dtype == "planes":
        return value.data.view(np.int32)
    if value.encoding is not None and value.encoding.storage == "halves" and value.data.ndim > 1:
        return pack_halves(value.data.astype(np.uint8).reshape(len(value.data), -1))
    return value.data


def unpacked(encoding: Encoding, data: npt.NDArray[Any], shape: tuple[int, ...], where: str) -> Value:
    """Return a constant of a file as a value of that name; the inverse of `packed`.

    Args:
        encoding: of its codes.
        data: as it stands in the file.
        shape: of the codes.
        where: the name.

    Raises:
        ModelFormatError: type or shape are not what the encoding stores, or a code does not fit its bits.
    """
    length = prod(shape[1:])
    if encoding.storage == "planes":
        stored: tuple[int, ...] = (*shape[:1], encoding.bits, word_count(length))
        _require(data.dtype == np.int32 and data.shape == stored, where, f"int32 {stored}", data)
        planes = np.ascontiguousarray(data).view(np.uint32)
        _require(padding_is_zero(planes, length), where, "padding bits that are zero", data)
        return Value(where, "planes", shape, planes, encoding)
    dtype = np.dtype(np.uint8 if encoding.bits <= 8 else np.uint16)
    halved = encoding.storage == "halves" and len(shape) > 1
    stored = (*shape[:1], -(-length // 2)) if halved else shape
    _require(data.dtype == dtype and data.shape == stored, where, f"{dtype} {stored}", data)
    codes = unpack_halves(data, 2 * stored[1]) if halved else data
    fits = not codes.size or int(codes.max()) >> encoding.bits == 0
    _require(fits, where, f"codes of {encoding.bits} bits", data)
    if halved:
        _require(not codes[:, length:].any(), where, "zeros behind the codes", data)
        codes = np.ascontiguousarray(codes[:, :length]).reshape(shape)
    return Value(where, "code" if encoding.bits <= 8 else "code16", shape, codes, encoding)


def _require(holds: bool, where: str, expected: str, found: npt.NDArray[Any]) -> None:
    if not holds:
        raise ModelFormatError(
            "stored codes are not what their encoding says",
            where=where,
            expected=expected,
            found=f"{found.dtype} {found.shape}",
            remedy="The file is damaged, or was not written by lowbit.",
        )
