"""How a flatbuffer table is declared: a frozen dataclass whose fields say how they are stored.

    @dataclass(frozen=True)
    class Buffer:
        data: Bytes = array("B", alignment=64)
        offset: int = scalar("Q")

A field's *slot*, its place in the vtable, is one more than that of the field above it, unless it is
given. The same declaration drives the reader and the writer.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, Literal

import numpy as np

Shape = Literal["scalar", "string", "integers", "array", "table", "tables", "union"]


@dataclass(frozen=True)
class Stored:
    """How one field is stored.

    Attributes:
        shape: a scalar in the table itself, or what the table points to.
        format: `struct` letter of the scalar or of the vector's elements.
        of: the table class, or for a union a mapping from tag to table class.
        alignment: bytes to which a vector's first element is aligned by the writer.
        slot: place in the vtable, -1 for one after the field above.
    """

    shape: Shape
    format: str = "I"
    of: Any = None
    alignment: int = 4
    slot: int = -1


@dataclass(frozen=True)
class Slot:
    """One resolved field of a table: what `Stored` says, with the name, the slot and the default."""

    name: str
    slot: int
    stored: Stored
    default: Any
    width: int
    unpack: Callable[..., tuple[Any, ...]]
    dtype: np.dtype[Any]


def scalar(format: str, default: float = 0, *, slot: int = -1) -> Any:
    """Declare a number stored in the table itself; ``format`` is a `struct` letter."""
    return field(default=default, metadata={"stored": Stored("scalar", format, slot=slot)})


def string(*, slot: int = -1) -> Any:
    """Declare a UTF-8 string; absent reads as the empty string."""
    return field(default="", metadata={"stored": Stored("string", slot=slot)})


def integers(format: str = "i", *, slot: int = -1) -> Any:
    """Declare a short vector of integers, read as a tuple; absent reads as the empty tuple."""
    return field(default=(), metadata={"stored": Stored("integers", format, slot=slot)})


def array(format: str, *, alignment: int = 4, slot: int = -1) -> Any:
    """Declare a vector of numbers, read as a view of the file; absent reads as None."""
    return field(default=None, metadata={"stored": Stored("array", format, alignment=alignment, slot=slot)})


def table(of: type, *, slot: int = -1) -> Any:
    """Declare a nested table; absent reads as None."""
    return field(default=None, metadata={"stored": Stored("table", of=of, slot=slot)})


def tables(of: type, *, slot: int = -1) -> Any:
    """Declare a vector of tables, read as a tuple; absent reads as the empty tuple."""
    return field(default=(), metadata={"stored": Stored("tables", of=of, slot=slot)})


def union(of: Mapping[int, type], *, slot: int = -1) -> Any:
    """Declare a union: a tag in ``slot``, the table in ``slot + 1``; an unlisted tag reads as None."""
    return field(default=None, metadata={"stored": Stored("union", "B", of=of, slot=slot)})


@cache
def layout(of: type) -> tuple[Slot, ...]:
    """Return the fields of a declared table in the order of its constructor."""
    slots, following = [], 0
    for entry in fields(of):
        stored: Stored = entry.metadata["stored"]
        slot = following if stored.slot < 0 else stored.slot
        following = slot + (2 if stored.shape == "union" else 1)
        item = struct.Struct("<" + stored.format)
        width = item.size if stored.shape == "scalar" else 4
        dtype = np.dtype("<" + stored.format.replace("?", "b"))
        slots.append(Slot(entry.name, slot, stored, entry.default, width, item.unpack_from, dtype))
    return tuple(slots)
