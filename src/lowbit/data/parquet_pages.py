"""What a Parquet file says of its columns, and its pages of themselves, before the library unpacks them.

    … pages … | footer | its length, uint32 | PAR1

    FileMetaData   {3: rows, 4: [RowGroup {1: [ColumnChunk {1: file, 3: ColumnMetaData}]}]}
    ColumnMetaData {3: [path], 7: compressed size, 9: first data page, 11: dictionary page}
    PageHeader     {2: unpacked size, 3: packed size}

The sizes in the footer may say anything; the library trusts them, and unpacks what the pages hold. So the
headers of the pages are walked: from a column's first page on, each is followed by as many bytes as it says.
The library itself is not asked, because what its Python binding makes of a damaged footer ends the process.

Source: Apache Parquet, `parquet.thrift` and "Data Pages"; Thrift, compact protocol.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lowbit.errors import FileError, TooLargeError

_MAGIC = b"PAR1"
_STOP, _TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 0, 1, 2, 3, 7, 8, 9, 10, 12
_VARINTS = (4, 5, 6)  # i16, i32, i64
_DEEPEST = 12
_MOST_FOOTER, _MOST_HEADER, _MOST_PAGES = 1 << 22, 1 << 16, 1 << 20


@dataclass(frozen=True)
class Chunk:
    """A column of a group of rows.

    Attributes:
        column: its path, joined by dots.
        start, length: of its pages in the file.
    """

    column: str
    start: int
    length: int


def read_footer(content: memoryview, where: str) -> tuple[int, list[Chunk]]:
    """Return the rows of a file and its columns.

    Raises:
        FileError: it is no Parquet, encrypted, or damaged.
        TooLargeError: a footer of more than 4 MiB.
    """
    length = int.from_bytes(content[-8:-4], "little")
    if len(content) < 12 or content[-4:] != _MAGIC or not 0 < length <= len(content) - 12:
        raise _damaged(where, f"{len(content)} bytes that end with {bytes(content[-8:])!r}")
    if length > _MOST_FOOTER:
        raise TooLargeError(
            "the footer is too large", where=where, expected=f"{_MOST_FOOTER}", found=f"{length}"
        )
    end = len(content) - 8
    fields = _Compact(content, end - length, end, where).struct(0)
    rows, groups = fields.get(3), fields.get(4)
    if not isinstance(rows, int) or rows < 0 or not isinstance(groups, list):
        raise _damaged(where, "a footer without rows")
    return rows, list(_chunks(groups, where))


def unpacked_pages(content: memoryview, chunk: Chunk, where: str) -> tuple[int, int]:
    """Return the bytes that all pages of a column unpack to, and those of its largest page.

    Raises:
        FileError: pages that do not lie side by side.
    """
    at, end, total, largest, pages = chunk.start, chunk.start + chunk.length, 0, 0, 0
    if not 4 <= at <= end <= len(content):
        raise _damaged(where, f"a column at bytes {at} to {end} of {len(content)}")
    while at < end:
        header = _Compact(content, at, min(end, at + _MOST_HEADER), where)
        fields = header.struct(0)
        unpacked, packed = fields.get(2), fields.get(3)
        pages += 1
        if not isinstance(unpacked, int) or not isinstance(packed, int) or min(unpacked, packed) < 0:
            raise _damaged(where, f"a page header at {at} that says no sizes")
        if pages > _MOST_PAGES:
            raise _damaged(where, f"more than {_MOST_PAGES} pages")
        at = header.at + packed
        total, largest = total + unpacked, max(largest, unpacked)
    if at != end:
        raise _damaged(where, f"pages that end at {at}, where the column ends at {end}")
    return total, largest


def _chunks(groups: list[Any], where: str) -> Iterator[Chunk]:
    for group in groups:
        for chunk in _field(group, 1, list, where):
            meta = _field(chunk, 3, dict, where)
            path = b".".join(part for part in _field(meta, 3, list, where) if isinstance(part, bytes))
            starts = [meta.get(11) or 0, _field(meta, 9, int, where)]
            known = [start for start in starts if isinstance(start, int) and start > 0]
            if 1 in chunk or not known:
                raise _damaged(where, "a column whose data are in another file" if 1 in chunk else "no pages")
            yield Chunk(path.decode("utf-8", "replace"), min(known), _field(meta, 7, int, where))


def _field(fields: Any, key: int, kind: type, where: str) -> Any:
    value = fields.get(key) if isinstance(fields, dict) else None
    if not isinstance(value, kind):
        raise _damaged(where, f"a footer without {kind.__name__} {key}")
    return value


class _Compact:
    """Reads a structure of Thrift's compact protocol as integers, bytes, lists and dicts by field."""

    def __init__(self, content: memoryview, at: int, end: int, where: str) -> None:
        self.content, self.at, self.end, self.where = content, at, end, where

    def struct(self, depth: int) -> dict[int, Any]:
        """Return the fields of a structure."""
        found: dict[int, Any] = {}
        field = 0
        while (head := self._byte()) & 15 != _STOP:
            field = field + (head >> 4) if head >> 4 else self._zigzag()
            found[field] = self._value(head & 15, depth)
        return found

    def _value(self, kind: int, depth: int) -> Any:
        if depth > _DEEPEST:
            raise _damaged(self.where, "structures in structures")
        if kind in (_TRUE, _FALSE):
            return kind == _TRUE
        if kind in _VARINTS:
            return self._zigzag()
        if kind == _BINARY:
            return self._take(self._varint())
        if kind in (_BYTE, _DOUBLE):
            return self._take(1 if kind == _BYTE else 8)
        if kind in (_LIST, _SET):
            return self._list(depth)
        if kind == _STRUCT:
            return self.struct(depth + 1)
        raise _damaged(self.where, f"a value of kind {kind}")

    def _list(self, depth: int) -> list[Any]:
        head = self._byte()
        count, kind = head >> 4, head & 15
        count = self._varint() if count == 15 else count
        if count > self.end - self.at:
            raise _damaged(self.where, f"a list of {count}")
        single = kind in (_TRUE, _FALSE)  # which take a byte here
        return [self._byte() if single else self._value(kind, depth + 1) for _ in range(count)]

    def _byte(self) -> int:
        return self._take(1)[0]

    def _take(self, count: int) -> bytes:
        if count > self.end - self.at:
            raise _damaged(self.where, "a structure that does not end")
        self.at += count
        return bytes(self.content[self.at - count : self.at])

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise _damaged(self.where, "an integer of more than 64 bits")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)


def _damaged(where: str, found: str) -> FileError:
    return FileError(
        "this is not a Parquet file, or it is damaged",
        where=where,
        expected="columns of pages, one after the other, and a footer",
        found=found,
        remedy="Fetch it again.",
    )
