"""The headers of Parquet's pages, which say what a column takes before the Arrow library unpacks it.

    PageHeader {1: type, 2: uncompressed_page_size, 3: compressed_page_size, …}    Thrift, compact protocol

A file's own summary may say anything; the library trusts it, and unpacks what the pages hold. So the headers
are walked first: from the column's first page on, each followed by as many bytes as it says.

Source: Apache Parquet, `parquet.thrift` and "Data Pages".
"""

from lowbit.errors import FileError

_STOP, _BINARY, _LIST, _SET, _MAP, _STRUCT = 0, 8, 9, 10, 11, 12
_VARINTS = (4, 5, 6)  # i16, i32, i64
_FIXED = {1: 0, 2: 0, 3: 1, 7: 8}  # true, false, byte, double: bytes
_DEEPEST = 8
_MOST_PAGES = 1 << 20


def unpacked_pages(content: memoryview, start: int, length: int, where: str) -> tuple[int, int]:
    """Return the bytes that all pages of a column chunk unpack to, and those of its largest page.

    Args:
        content: the file.
        start: offset of the chunk's first page.
        length: of the chunk.
        where: for messages.

    Raises:
        FileError: pages that do not lie side by side in the chunk.
    """
    at, end, total, largest, pages = start, start + length, 0, 0, 0
    if not 0 <= start <= end <= len(content):
        raise _damaged(where, f"bytes {start} to {end} of {len(content)}")
    while at < end:
        header = _Compact(content, at, end, where)
        fields = header.struct(0)
        unpacked, packed = fields.get(2, -1), fields.get(3, -1)
        pages += 1
        if unpacked < 0 or packed < 0 or pages > _MOST_PAGES:
            raise _damaged(where, f"a page header at {at} that says no sizes")
        at = header.at + packed
        total, largest = total + unpacked, max(largest, unpacked)
    if at != end:
        raise _damaged(where, f"pages that end at {at}, where the column ends at {end}")
    return total, largest


class _Compact:
    """Reads structures of Thrift's compact protocol, of which only integers are kept."""

    def __init__(self, content: memoryview, at: int, end: int, where: str) -> None:
        self.content, self.at, self.end, self.where = content, at, end, where

    def struct(self, depth: int) -> dict[int, int]:
        """Return the integers of a structure by field."""
        found: dict[int, int] = {}
        field = 0
        while (head := self._byte()) & 15 != _STOP:
            field = field + (head >> 4) if head >> 4 else self._zigzag()
            value = self._value(head & 15, depth)
            if value is not None:
                found[field] = value
        return found

    def _value(self, kind: int, depth: int) -> int | None:
        if depth > _DEEPEST:
            raise _damaged(self.where, "structures in structures")
        if kind in _VARINTS:
            return self._zigzag()
        if kind in _FIXED:
            self._skip(_FIXED[kind])
        elif kind == _BINARY:
            self._skip(self._varint())
        elif kind == _STRUCT:
            self.struct(depth + 1)
        elif kind in (_LIST, _SET):
            self._list(depth)
        else:
            raise _damaged(self.where, f"a value of kind {kind} in a page header")
        return None

    def _list(self, depth: int) -> None:
        head = self._byte()
        count = head >> 4 if head >> 4 < 15 else self._varint()
        if count > self.end - self.at:
            raise _damaged(self.where, f"a list of {count}")
        for _ in range(count):
            if head & 15 in (1, 2):
                self._skip(1)  # a boolean in a list takes a byte
            else:
                self._value(head & 15, depth + 1)

    def _byte(self) -> int:
        self._skip(1)
        return self.content[self.at - 1]

    def _skip(self, count: int) -> None:
        self.at += count
        if self.at > self.end:
            raise _damaged(self.where, "a page header that does not end")

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
        expected="pages one after the other",
        found=found,
        remedy="Fetch it again.",
    )
