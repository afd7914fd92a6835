"""The Python batches of CIFAR-10, read without unpickling: nothing in the file can call anything.

They are pickles of protocol 2, written by Python 2: a dict of strings, a list of classes and one array of
bytes. This reader knows the opcodes that those files use and no others. The three names that they import
stay names, and may only be put together as NumPy's array of bytes.

    c numpy.core.multiarray _reconstruct,  (ndarray, (0,), 'b')             R    an array to come
    c numpy dtype,                         ('u1', 0, 1)                     R    the type: bytes
    (1, (n, 3072), dtype, False, bytes)                                     b    its numbers
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lowbit.data.dataset import Numbers
from lowbit.errors import FileError, UnsafeFileError


def read_batch(content: bytes, where: str) -> tuple[Numbers, Numbers]:
    """Return the pixels uint8 ``[n, m]`` and classes int64 ``[k]`` of a batch.

    Args:
        content: the file.
        where: its name for messages.

    Raises:
        UnsafeFileError: an opcode or a name that these files do not use, with its offset.
        FileError: damaged, or without pixels or classes.
    """
    found = _Reader(content, where).read()
    pixels, classes = (found.get(key) if isinstance(found, dict) else None for key in (b"data", b"labels"))
    if not isinstance(pixels, _Array) or pixels.numbers is None or not isinstance(classes, list):
        raise _damaged(where, "an array 'data' and a list 'labels'", type(found).__name__)
    if not all(type(item) is int for item in classes):
        raise _damaged(where, "classes that are integers", "others")
    return pixels.numbers, np.array(classes, np.int64)


@dataclass(eq=False)
class _Array:
    """An array of bytes; `numbers` comes last."""

    numbers: Numbers | None = None


@dataclass(frozen=True)
class _Name:
    """An imported name, never imported."""

    module: bytes
    name: bytes


_MARK = object()
_RECONSTRUCT, _NDARRAY, _DTYPE = (
    _Name(b"numpy.core.multiarray", b"_reconstruct"),
    _Name(b"numpy", b"ndarray"),
    _Name(b"numpy", b"dtype"),
)
_BYTES = "uint8"
_BYTES_STATE = (3, b"|", None, None, None, -1, -1, 0)


class _Reader:
    """A stack machine over the opcodes of a batch."""

    def __init__(self, content: bytes, where: str) -> None:
        self.content, self.where, self.at, self.start = content, where, 0, 0
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def read(self) -> object:
        """Return what the pickle holds."""
        if self.take(2) != b"\x80\x02":
            raise _damaged(self.where, "a pickle of protocol 2", repr(self.content[:2]))
        while (opcode := self.next()) != b".":
            step = _STEPS.get(opcode)
            if step is None:
                raise self.unsafe(f"opcode {opcode!r}")
            step(self)
        return self.pop()

    def next(self) -> bytes:
        """Return an opcode and remember where it stands."""
        self.start = self.at
        return self.take(1)

    def take(self, count: int) -> bytes:
        piece = self.content[self.at : self.at + count]
        if len(piece) != count:
            raise _damaged(self.where, f"{count} bytes at offset {self.at}", f"{len(piece)}")
        self.at += count
        return piece

    def integer(self, count: int, signed: bool = False) -> int:
        return int.from_bytes(self.take(count), "little", signed=signed)

    def line(self) -> bytes:
        end = self.content.find(b"\n", self.at, self.at + 64)
        name = self.take(max(end - self.at, 0))
        self.take(1)
        return name

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise _damaged(self.where, "a value on the stack", f"none at offset {self.start}")
        return self.stack.pop()

    def top(self, kind: type) -> Any:
        if not self.stack or not isinstance(self.stack[-1], kind):
            raise _damaged(self.where, f"a {kind.__name__} on the stack", f"another at offset {self.start}")
        return self.stack[-1]

    def pop_mark(self) -> list[Any]:
        """Return the values above the last mark and remove both."""
        values: list[Any] = []
        while self.stack and self.stack[-1] is not _MARK:
            values.append(self.stack.pop())
        if not self.stack:
            raise _damaged(self.where, "a mark on the stack", f"none at offset {self.start}")
        self.stack.pop()
        return values[::-1]

    def unsafe(self, found: str) -> UnsafeFileError:
        return UnsafeFileError(
            "the batch holds more than pictures and classes",
            where=self.where,
            expected="the opcodes and names of CIFAR-10's own files",
            found=f"{found} at offset {self.start}",
            remedy="Do not unpickle it; fetch the data set again.",
        )


def _push(make: Callable[[_Reader], Any]) -> Callable[[_Reader], None]:
    return lambda reader: reader.stack.append(make(reader))


def _tuple(count: int) -> Callable[[_Reader], None]:
    return _push(lambda reader: tuple([reader.pop() for _ in range(count)][::-1]))


def _put(width: int) -> Callable[[_Reader], None]:
    def step(reader: _Reader) -> None:
        reader.memo[reader.integer(width)] = reader.top(object)

    return step


def _get(width: int) -> Callable[[_Reader], None]:
    def value(reader: _Reader) -> Any:
        key = reader.integer(width)
        if key not in reader.memo:
            raise _damaged(reader.where, f"a value remembered as {key}", f"none at offset {reader.start}")
        return reader.memo[key]

    return _push(value)


def _global(reader: _Reader) -> _Name:
    name = _Name(reader.line(), reader.line())
    if name not in (_RECONSTRUCT, _NDARRAY, _DTYPE):
        raise reader.unsafe(f"the name {name.module.decode('latin-1')}.{name.name.decode('latin-1')}")
    return name


def _reduce(reader: _Reader) -> object:
    """Return what stands for the result of a call; a batch has two of them."""
    arguments, name = reader.pop(), reader.pop()
    if (name, arguments) == (_RECONSTRUCT, (_NDARRAY, (0,), b"b")):
        return _Array()
    if (name, arguments) == (_DTYPE, (b"u1", 0, 1)):
        return _BYTES
    raise reader.unsafe("a call of another kind")


def _build(reader: _Reader) -> None:
    """Give an array its numbers; the type's own state says nothing new."""
    state, target = reader.pop(), reader.top(object)
    if isinstance(target, _Array) and target.numbers is None:
        target.numbers = _numbers(reader, state)
    elif (target, state) != (_BYTES, _BYTES_STATE):
        raise reader.unsafe(f"a state for {type(target).__name__}")


def _numbers(reader: _Reader, state: object) -> Numbers:
    match state:
        case (1, (int(rows), int(columns)), str(kind), False, bytes(content)) if kind == _BYTES:
            if rows >= 0 and columns >= 0 and rows * columns == len(content):
                return np.frombuffer(content, np.uint8).reshape(rows, columns)
    raise _damaged(reader.where, "an array of bytes with two axes", f"another at offset {reader.start}")


def _append(reader: _Reader) -> None:
    value = reader.pop()
    reader.top(list).append(value)


def _appends(reader: _Reader) -> None:
    values = reader.pop_mark()
    reader.top(list).extend(values)


def _set_item(reader: _Reader) -> None:
    value, key = reader.pop(), reader.pop()
    _set(reader, [key, value])


def _set(reader: _Reader, values: list[Any]) -> None:
    if len(values) % 2 or not all(isinstance(key, bytes) for key in values[::2]):
        raise _damaged(reader.where, "strings as keys", f"others at offset {reader.start}")
    reader.top(dict).update(zip(values[::2], values[1::2], strict=True))


_STEPS: dict[bytes, Callable[[_Reader], None]] = {
    b"(": _push(lambda reader: _MARK),
    b"}": _push(lambda reader: {}),
    b"]": _push(lambda reader: []),
    b"N": _push(lambda reader: None),
    b"\x89": _push(lambda reader: False),
    b"K": _push(lambda reader: reader.integer(1)),
    b"M": _push(lambda reader: reader.integer(2)),
    b"J": _push(lambda reader: reader.integer(4, signed=True)),
    b"U": _push(lambda reader: reader.take(reader.integer(1))),
    b"T": _push(lambda reader: reader.take(reader.integer(4))),
    b"\x85": _tuple(1),
    b"\x86": _tuple(2),
    b"\x87": _tuple(3),
    b"t": _push(lambda reader: tuple(reader.pop_mark())),
    b"q": _put(1),
    b"r": _put(4),
    b"h": _get(1),
    b"j": _get(4),
    b"c": _push(_global),
    b"R": _push(_reduce),
    b"b": _build,
    b"a": _append,
    b"e": _appends,
    b"s": _set_item,
    b"u": lambda reader: _set(reader, reader.pop_mark()),
}
"""What each opcode does; the names are those of `pickletools`."""


def _damaged(where: str, expected: str, found: str) -> FileError:
    return FileError(
        "this is not a batch of CIFAR-10, or it is damaged",
        where=where,
        expected=expected,
        found=found,
        remedy="Fetch it again.",
    )
