"""Writes declared tables as a flatbuffer: front to back, the same bytes for the same tables.

    file   = offset of the root table (u32), identifier (4 bytes), then tables
    vtable = its size (u16), size of the table (u16), one offset per slot (u16, 0 for absent)
    table  = distance back to its vtable (i32), then its fields; what is not a number is the
             distance forward to a string, vector or table

Equal vtables are shared. A field that holds its default is left out.
"""

import struct
from typing import Any

import numpy as np

from lowbit.errors import UnsupportedError
from lowbit.formats.tables import Slot, layout

MAX_BYTES = 2**31 - 1
"""Offsets are read as signed 32-bit by some runtimes."""

SHORT_BYTES, SHORT_ALIGNMENT = 1024, 16
"""Vectors shorter than this are aligned to this at most: padding them further would only cost bytes."""


def write_flatbuffer(root: Any, identifier: bytes) -> bytearray:
    """Return the file whose root is a declared table.

    Args:
        root: an instance of a dataclass made of `lowbit.formats.tables` fields.
        identifier: four bytes.

    Raises:
        UnsupportedError: the file would pass 2 GiB.
    """
    writer = _Writer()
    writer.out += bytes(4) + identifier
    writer.patch(0, writer.table(root))
    writer.align(4)
    return writer.out


class _Writer:
    """The bytes so far."""

    def __init__(self) -> None:
        self.out = bytearray()
        self.vtables: dict[bytes, int] = {}

    def table(self, value: Any) -> int:
        """Write a table and everything below it; return its position."""
        present = _present_fields(value)
        places, size, alignment = _place(present)
        slots = [0] * (1 + max((slot for _, slot, *_ in present), default=-1))
        for (_, slot, *_), place in zip(present, places, strict=True):
            slots[slot] = place
        back_reference = self._vtable(struct.pack(f"<{2 + len(slots)}H", 4 + 2 * len(slots), size, *slots))
        self.align(alignment)
        position = len(self.out)
        self.out += struct.pack("<i", position - back_reference) + bytes(size - 4)
        for (format, _, number, _, _), place in zip(present, places, strict=True):
            struct.pack_into("<" + format, self.out, position + place, number)
        for (_, _, _, field, child), place in zip(present, places, strict=True):
            if field is not None:
                self.patch(position + place, self._child(field, child))
        return position

    def patch(self, place: int, target: int) -> None:
        """Store at ``place`` the distance to ``target``."""
        if target > MAX_BYTES:
            raise UnsupportedError(
                "the model is too large for one flatbuffer file",
                expected="at most 2 GiB",
                remedy="Write fewer bits, or split the network.",
            )
        struct.pack_into("<I", self.out, place, target - place)

    def align(self, alignment: int, before: int = 0) -> None:
        """Pad so that the byte after the next ``before`` bytes is aligned."""
        self.out += bytes(-(len(self.out) + before) % alignment)

    def _vtable(self, vtable: bytes) -> int:
        if vtable not in self.vtables:
            self.align(2)
            self.vtables[vtable] = len(self.out)
            self.out += vtable
        return self.vtables[vtable]

    def _child(self, field: Slot, value: Any) -> int:
        match field.stored.shape:
            case "string":
                return self._vector(len(value.encode()), value.encode() + b"\0", 4)
            case "integers":
                packed = np.array(value, field.dtype).tobytes()
                return self._vector(len(value), packed, max(4, field.dtype.itemsize))
            case "array":
                data = np.ascontiguousarray(value, field.dtype).reshape(-1).view(np.uint8).data
                wanted = field.stored.alignment
                return self._vector(
                    len(value), data, wanted if len(data) >= SHORT_BYTES else min(wanted, SHORT_ALIGNMENT)
                )
            case "tables":
                return self._tables(value)
            case _:
                return self.table(value)

    def _vector(self, count: int, data: bytes | memoryview, alignment: int) -> int:
        self.align(max(4, alignment), before=4)
        position = len(self.out)
        self.out += struct.pack("<I", count)
        self.out += data
        return position

    def _tables(self, values: tuple[Any, ...]) -> int:
        position = self._vector(len(values), bytes(4 * len(values)), 4)
        for index, value in enumerate(values):
            self.patch(position + 4 + 4 * index, self.table(value))
        return position


def _present_fields(value: Any) -> list[tuple[str, int, Any, Slot | None, Any]]:
    """Return (format, slot, number, field of the child or None, child) of each field that is written."""
    present: list[tuple[str, int, Any, Slot | None, Any]] = []
    of: type = type(value)
    for field in layout(of):
        content = getattr(value, field.name)
        if field.stored.shape == "scalar":
            if content != field.default:
                present.append((field.stored.format, field.slot, content, None, None))
        elif field.stored.shape == "union":
            if content is not None:
                tag = next(tag for tag, of in field.stored.of.items() if of is type(content))
                present.append(("B", field.slot, tag, None, None))
                present.append(("I", field.slot + 1, 0, field, content))
        elif content is not None and _length(content):
            present.append(("I", field.slot, 0, field, content))
    return present


def _length(content: Any) -> int:
    """Return the length of a vector or string, 1 for a table."""
    return len(content) if hasattr(content, "__len__") else 1


def _place(present: list[tuple[str, int, Any, Slot | None, Any]]) -> tuple[list[int], int, int]:
    """Return where each field goes in the table (widest first), the table's size and its alignment."""
    widths = [struct.calcsize(format) for format, *_ in present]
    places, end = [0] * len(present), 4
    for index in sorted(range(len(present)), key=lambda index: -widths[index]):
        places[index] = end + -end % widths[index]
        end = places[index] + widths[index]
    return places, end, max([4, *widths])
