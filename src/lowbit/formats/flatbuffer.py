"""Reads declared tables from a flatbuffer of unknown origin; the security boundary of model files.

Nothing is believed. Every offset, length, vtable, string and vector is checked against the file, what
is decoded is counted against a budget (many entries may alias one table), and recursion is bounded
by the declarations, which do not refer to themselves. All arithmetic on sizes is in Python integers,
which do not overflow. Vectors declared with `array` are read-only views: no byte of them is copied.

Format: see `lowbit.formats.flatbuffer_writer`.
"""

import struct
from typing import Any, NoReturn, TypeVar

import numpy as np

from lowbit.errors import ModelFormatError
from lowbit.formats.tables import Slot, layout

MAX_TABLES = 200_000
MAX_DECODED_BYTES = 32 * 2**20
"""Budget for strings and short vectors, which are copied; aliased ones count each time."""

Span = tuple[int, int, str]
"""First byte, byte after the last, what is there."""


Root = TypeVar("Root")


def read_flatbuffer(content: bytes, root: type[Root], *, where: str, spans: list[Span] | None = None) -> Root:
    """Return the root table of a flatbuffer.

    Args:
        content: the file.
        root: the declared table class of the root.
        where: the file's name, for errors.
        spans: filled, if given, with every piece of the file that was read.

    Raises:
        ModelFormatError: a rule of the format is broken; names the field and the byte.
    """
    reader = _Reader(content, spans)
    try:
        return reader.table(reader.follow(0), root)  # type: ignore[no-any-return]
    except _Fault as fault:
        raise ModelFormatError(
            fault.rule,
            where=f"{where}, {root.__name__}{''.join(reversed(fault.path))} at byte {fault.position}",
            expected=fault.expected,
            found=fault.found,
            remedy="The file is damaged or is something else: write or fetch it again.",
        ) from None


class _Fault(Exception):  # noqa: N818 - a message on its way up, not an error that leaves
    """A broken rule; the field's path is collected on the way up."""

    def __init__(self, position: int, rule: str, expected: str, found: str) -> None:
        super().__init__(rule)
        self.position, self.rule, self.expected, self.found = position, rule, expected, found
        self.path: list[str] = []


_U32 = struct.Struct("<I").unpack_from
_I32 = struct.Struct("<i").unpack_from
_VTABLE = struct.Struct("<HH").unpack_from


class _Reader:
    """Reads tables and counts what was read."""

    def __init__(self, content: bytes, spans: list[Span] | None) -> None:
        self.content = content
        self.size = len(content)
        self.tables = 0
        self.decoded = 0
        self.spans = spans

    def table(self, position: int, of: type) -> Any:
        """Return the table at ``position``."""
        self._count_table(position)
        slots, size = self._vtable(position)
        if self.spans is not None:
            self.spans.append((position, position + size, of.__name__))
        values = []
        for field in layout(of):
            offset = slots[field.slot] if field.slot < len(slots) else 0
            if offset == 0 and field.stored.shape != "union":
                values.append(field.default)
                continue
            try:
                values.append(self._field(field, slots, position, size, offset))
            except _Fault as fault:
                fault.path.append(f".{field.name}")
                raise
        return of(*values)

    def follow(self, place: int) -> int:
        """Return the position that the distance stored at ``place`` leads to."""
        self._inside(place, 4)
        target = place + int(_U32(self.content, place)[0])
        if target == place or target + 4 > self.size:
            self._fail(
                place, "an offset leaves the file", f"1 to {self.size - place - 4}", str(target - place)
            )
        return target

    def _vtable(self, position: int) -> tuple[tuple[int, ...], int]:
        """Return the offsets of the slots and the size of the table."""
        self._inside(position, 4)
        start = position - int(_I32(self.content, position)[0])
        self._inside(start, 4)
        length, size = _VTABLE(self.content, start)
        if length < 4 or length % 2:
            self._fail(start, "a vtable has an impossible size", "an even number from 4", str(length))
        self._inside(start, length)
        if size < 4:
            self._fail(start + 2, "a table has an impossible size", "at least 4", str(size))
        self._inside(position, size)
        if self.spans is not None:
            self.spans.append((start, start + length, "vtable"))
        return struct.unpack_from(f"<{length // 2 - 2}H", self.content, start + 4), size

    def _field(self, field: Slot, slots: tuple[int, ...], position: int, size: int, offset: int) -> Any:
        if field.stored.shape == "union":
            return self._union(field, slots, position, size)
        if offset < 4 or offset + field.width > size:
            self._fail(position, "a field lies outside its table", f"4 to {size - field.width}", str(offset))
        place = position + offset
        match field.stored.shape:
            case "scalar":
                return field.unpack(self.content, place)[0]
            case "string":
                return self._string(self.follow(place))
            case "integers":
                return self._integers(self.follow(place), field)
            case "array":
                return self._array(self.follow(place), field)
            case "tables":
                return self._tables(self.follow(place), field.stored.of)
            case _:
                return self.table(self.follow(place), field.stored.of)

    def _union(self, field: Slot, slots: tuple[int, ...], position: int, size: int) -> Any:
        tag_at = slots[field.slot] if field.slot < len(slots) else 0
        value_at = slots[field.slot + 1] if field.slot + 1 < len(slots) else 0
        if not tag_at or not value_at:
            return None
        if min(tag_at, value_at) < 4 or tag_at + 1 > size or value_at + 4 > size:
            self._fail(
                position, "a field lies outside its table", f"4 to {size - 4}", f"{tag_at}, {value_at}"
            )
        of = field.stored.of.get(self.content[position + tag_at])
        return None if of is None else self.table(self.follow(position + value_at), of)

    def _string(self, position: int) -> str:
        count = self._vector(position, 1)
        end = position + 4 + count
        if end >= self.size or self.content[end] != 0:
            self._fail(
                end, "a string does not end in a zero byte", "0", "another byte or the end of the file"
            )
        self._count_bytes(position, count)
        if self.spans is not None:
            self.spans.append((position, end + 1, "string"))
        try:
            return self.content[position + 4 : end].decode()
        except UnicodeDecodeError as error:
            self._fail(
                position + 4 + error.start, "a string is not UTF-8", "UTF-8", repr(error.object[error.start])
            )

    def _integers(self, position: int, field: Slot) -> tuple[int, ...]:
        count = self._vector(position, field.dtype.itemsize)
        self._count_bytes(position, count * field.dtype.itemsize)
        if self.spans is not None:
            self.spans.append((position, position + 4 + count * field.dtype.itemsize, "integers"))
        return struct.unpack_from(f"<{count}{field.stored.format}", self.content, position + 4)

    def _array(self, position: int, field: Slot) -> np.ndarray[Any, np.dtype[Any]]:
        count = self._vector(position, field.dtype.itemsize)
        if self.spans is not None:
            self.spans.append((position, position + 4, "length"))
            self.spans.append((position + 4, position + 4 + count * field.dtype.itemsize, "array"))
        return np.frombuffer(self.content, field.dtype, count, position + 4)

    def _tables(self, position: int, of: type) -> tuple[Any, ...]:
        count = self._vector(position, 4)
        if count > MAX_TABLES - self.tables:
            self._fail(
                position, "there are too many tables", f"at most {MAX_TABLES}", str(self.tables + count)
            )
        if self.spans is not None:
            self.spans.append((position, position + 4 + 4 * count, "tables"))
        values = []
        for index in range(count):
            try:
                values.append(self.table(self.follow(position + 4 + 4 * index), of))
            except _Fault as fault:
                fault.path.append(f"[{index}]")
                raise
        return tuple(values)

    def _vector(self, position: int, itemsize: int) -> int:
        """Return the number of elements of the vector at ``position``, all of which are in the file."""
        self._inside(position, 4)
        count = int(_U32(self.content, position)[0])
        room = (self.size - position - 4) // itemsize
        if count > room:
            self._fail(position, "a vector is longer than the file", f"at most {room} elements", str(count))
        return count

    def _inside(self, position: int, length: int) -> None:
        if position < 0 or position + length > self.size:
            self._fail(
                position,
                "something lies outside the file",
                f"bytes 0 to {self.size}",
                f"{position} + {length}",
            )

    def _count_table(self, position: int) -> None:
        self.tables += 1
        if self.tables > MAX_TABLES:
            self._fail(position, "there are too many tables", f"at most {MAX_TABLES}", "more")

    def _count_bytes(self, position: int, count: int) -> None:
        self.decoded += count
        if self.decoded > MAX_DECODED_BYTES:
            self._fail(
                position, "strings and shapes take too much", f"at most {MAX_DECODED_BYTES} bytes", "more"
            )

    def _fail(self, position: int, rule: str, expected: str, found: str) -> NoReturn:
        raise _Fault(position, rule, expected, found)
