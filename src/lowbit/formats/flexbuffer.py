"""Operator options as a flexbuffer map: text keys to numbers, text, bytes or vectors of numbers.

Written by the ``flatbuffers`` package, read by our own bounded reader, because options come from
outside. The last byte is the width of the root, the byte before it the root's packed type
(``type << 2 | log2(width of what it points to)``), and offsets point backwards:

    map    = offset of the key vector, width of its entries, length, values, packed types
    vector, blob = length, elements      string = length, UTF-8, zero byte            key = UTF-8, zero byte

Source: https://flatbuffers.dev/flexbuffers/.
"""

import struct
from collections.abc import Mapping
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from lowbit.errors import ModelFormatError

Option = int | float | str | npt.NDArray[np.int64] | npt.NDArray[np.float32] | npt.NDArray[np.uint8]

MAX_BYTES = 2**18
"""Large enough for one small integer per channel of a wide layer."""
MAX_ENTRIES = 64
MAX_KEY_BYTES = 128

_INTEGER, _UNSIGNED, _FLOAT, _STRING = 1, 2, 3, 5
_INDIRECT = {6: _INTEGER, 7: _UNSIGNED, 8: _FLOAT}
_MAP, _VECTOR_INTEGER, _VECTOR_UNSIGNED, _VECTOR_FLOAT, _BLOB, _BOOL = 9, 11, 12, 13, 25, 26
_FORMATS = {
    _INTEGER: {1: "<b", 2: "<h", 4: "<i", 8: "<q"},
    _UNSIGNED: {1: "<B", 2: "<H", 4: "<I", 8: "<Q"},
    _FLOAT: {4: "<f", 8: "<d"},
}


def write_options(options: Mapping[str, Option]) -> bytes:
    """Return the map as a flexbuffer; keys are sorted, as the format wants. Reals are float32 numbers."""
    from flatbuffers import flexbuffers

    builder = flexbuffers.Builder()
    with builder.Map():
        for key in sorted(options):
            value = options[key]
            builder.Key(key)
            if isinstance(value, np.ndarray) and value.dtype == np.uint8:
                builder.Blob(value.tobytes())
            elif isinstance(value, np.ndarray):
                builder.TypedVectorFromElements(value.tolist())
            else:
                builder.Add(value)
    return bytes(builder.Finish())


def read_options(content: bytes, *, where: str) -> dict[str, Option]:
    """Return the map that a flexbuffer holds.

    Args:
        content: the whole buffer.
        where: file and operator, for errors.

    Raises:
        ModelFormatError: it is not a map of numbers, text and vectors of numbers, or leaves its bounds.
    """
    if not 3 <= len(content) <= MAX_BYTES:
        _fail(where, "operator options have an impossible size", f"3 to {MAX_BYTES} bytes", str(len(content)))
    return _Reader(content, where).root()


class _Reader:
    """Reads one buffer."""

    def __init__(self, content: bytes, where: str) -> None:
        self.content, self.where = content, where

    def root(self) -> dict[str, Option]:
        width, packed = self.content[-1], self.content[-2]
        place = len(self.content) - 2 - width
        if width not in (1, 2, 4, 8) or packed >> 2 != _MAP:
            _fail(self.where, "operator options are not a map", "a flexbuffer map", f"type {packed >> 2}")
        return self._map(self._back(place, width), 1 << (packed & 3))

    def _map(self, position: int, width: int) -> dict[str, Option]:
        keys_at = self._back(position - 3 * width, width)
        keys_width = self._unsigned(position - 2 * width, width)
        count = self._unsigned(position - width, width)
        if keys_width not in (1, 2, 4, 8) or count > MAX_ENTRIES:
            _fail(self.where, "an options map is malformed", f"at most {MAX_ENTRIES} entries", str(count))
        if self._unsigned(keys_at - keys_width, keys_width) != count:
            _fail(self.where, "an options map is malformed", f"{count} keys", "another number")
        self._inside(position, count * (width + 1))
        options: dict[str, Option] = {}
        for index in range(count):
            key = self._key(self._back(keys_at + index * keys_width, keys_width))
            packed = self.content[position + count * width + index]
            options[key] = self._value(position + index * width, width, packed, key)
        if len(options) != count:
            _fail(self.where, "an option is given twice", "each key once", ", ".join(options))
        return options

    def _value(self, place: int, width: int, packed: int, key: str) -> Option:
        kind, target_width = packed >> 2, 1 << (packed & 3)
        if kind in (_INTEGER, _UNSIGNED, _FLOAT, _BOOL):
            return self._number(place, width, _UNSIGNED if kind == _BOOL else kind)
        if kind in _INDIRECT:
            return self._number(self._back(place, width), target_width, _INDIRECT[kind])
        if kind == _STRING:
            return self._string(self._back(place, width), target_width)
        if kind == _BLOB:
            return self._blob(self._back(place, width), target_width)
        if kind in (_VECTOR_INTEGER, _VECTOR_UNSIGNED, _VECTOR_FLOAT):
            return self._vector(self._back(place, width), target_width, kind - _VECTOR_INTEGER + _INTEGER)
        _fail(
            self.where, f"option {key!r} has a type we do not read", "a number, text, numbers", f"type {kind}"
        )

    def _number(self, place: int, width: int, kind: int) -> int | float:
        format = self._format(kind, width)
        self._inside(place, width)
        number: int | float = struct.unpack_from(format, self.content, place)[0]
        return number

    def _vector(self, position: int, width: int, kind: int) -> Option:
        count = self._unsigned(position - width, width)
        self._inside(position, count * width)
        elements = np.frombuffer(self.content, self._format(kind, width), count, position)
        return elements.astype(np.float32) if kind == _FLOAT else elements.astype(np.int64)

    def _blob(self, position: int, width: int) -> npt.NDArray[np.uint8]:
        count = self._unsigned(position - width, width)
        self._inside(position, count)
        return np.frombuffer(self.content, np.uint8, count, position)

    def _string(self, position: int, width: int) -> str:
        count = self._unsigned(position - width, width)
        self._inside(position, count)
        return self._text(self.content[position : position + count])

    def _key(self, position: int) -> str:
        end = self.content.find(b"\0", position, position + MAX_KEY_BYTES)
        if end < 0:
            _fail(self.where, "an option's key does not end", f"at most {MAX_KEY_BYTES} bytes", "more")
        return self._text(self.content[position:end])

    def _text(self, text: bytes) -> str:
        try:
            return text.decode()
        except UnicodeDecodeError:
            _fail(self.where, "text in the options is not UTF-8", "UTF-8", repr(text[:40]))

    def _back(self, place: int, width: int) -> int:
        """Return the position that the backward offset at ``place`` leads to."""
        offset = self._unsigned(place, width)
        if not 0 < offset <= place:
            _fail(self.where, "an offset in the options leaves them", f"1 to {place}", str(offset))
        return place - offset

    def _unsigned(self, place: int, width: int) -> int:
        self._inside(place, width)
        return int.from_bytes(self.content[place : place + width], "little")

    def _inside(self, place: int, length: int) -> None:
        if place < 0 or place + length > len(self.content):
            _fail(
                self.where,
                "something lies outside the options",
                f"{len(self.content)} bytes",
                f"{place} + {length}",
            )

    def _format(self, kind: int, width: int) -> str:
        if width not in _FORMATS[kind]:
            _fail(self.where, "a number in the options has an impossible width", "4 or 8 bytes", str(width))
        return _FORMATS[kind][width]


def _fail(where: str, rule: str, expected: str, found: str) -> NoReturn:
    raise ModelFormatError(
        rule,
        where=where,
        expected=expected,
        found=found,
        remedy="The file is damaged: write or fetch it again.",
    )
