"""A folder of idx files, the layout of MNIST: big-endian, plain or gzip.

    byte 0-1 zero · byte 2 type · byte 3 axes · uint32 length of each axis · the elements

Files are found by name: ``train-images…`` and ``train-labels…``, ``t10k-`` or ``test-`` for the test
split, with or without something before.
"""

import gzip
import io
import re
import zlib
from math import prod
from pathlib import Path

import numpy as np

from lowbit.budget import budget
from lowbit.data.dataset import Numbers, Raw
from lowbit.data.limits import check_expansion, check_samples_size
from lowbit.errors import DataError, FileError
from lowbit.untrusted import list_folder, read_file

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_PREFIXES = {"train": "train", "test": "t10k|test"}
_NAME = re.compile(r"[-_.]idx\d")
_CHUNK = 1 << 20


def read_idx_folder(folder: Path, split: str) -> Raw:
    """Return samples, labels (None where there is no file of them) and notes.

    Raises:
        DataError: no images of that split, or several.
        FileError: a file is damaged, too large, or no regular file.
    """
    images, labels = _find(folder, split, "images"), _find(folder, split, "labels")
    if images is None:
        raise DataError(
            "the folder holds no images of this split",
            where=str(folder),
            expected=f"a file like {_PREFIXES[split].split('|')[0]}-images-idx3-ubyte, .gz or not",
            found=", ".join(sorted(path.name for path in list_folder(folder))[:8]) or "nothing",
        )
    classes = None if labels is None else read_idx(labels)
    return Raw(read_idx(images), classes, (f"{split}: {images.name}",), pictures=True)


def holds_idx(folder: Path) -> bool:
    """Whether some file there is called as idx files are."""
    return any(_NAME.search(path.name) for path in list_folder(folder))


def read_idx(path: Path) -> Numbers:
    """Return the array of an idx file.

    Args:
        path: plain or gzip.

    Raises:
        FileError: wrong magic number, or more or fewer bytes than the header says.
        TooLargeError: the header asks for more than the memory budget, or than its gzip data account for.
    """
    raw = read_file(path, limit=budget())
    stream: io.BufferedIOBase = io.BytesIO(raw)
    if raw[:2] == b"\x1f\x8b":
        stream = gzip.GzipFile(fileobj=stream)
    try:
        return _parse(stream, str(path), len(raw))
    except (EOFError, OSError, zlib.error, MemoryError) as error:
        raise _damaged(path, "gzip data that ends where it should", str(error)) from error


def _find(folder: Path, split: str, what: str) -> Path | None:
    pattern = re.compile(rf"(^|[-_.])({_PREFIXES[split]})[-_.]{what}[-_.]idx\d")
    found = sorted(path for path in list_folder(folder) if pattern.search(path.name))
    plain = [path for path in found if path.suffix != ".gz"] or found
    if len(plain) > 1:
        raise DataError(
            f"several files could be the {what}",
            where=str(folder),
            expected="one",
            found=", ".join(path.name for path in plain),
            remedy="Put each data set in a folder of its own.",
        )
    return plain[0] if plain else None


def _parse(stream: io.BufferedIOBase, where: str, stored: int) -> Numbers:
    magic = stream.read(4)
    if len(magic) != 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES or not 1 <= magic[3] <= 8:
        raise _damaged(where, "an idx file: two zero bytes, a type, 1 to 8 axes", magic.hex(" ") or "nothing")
    dtype, header = np.dtype(_TYPES[magic[2]]), stream.read(4 * magic[3])
    if len(header) != 4 * magic[3]:
        raise _damaged(where, f"{magic[3]} lengths", f"{len(header)} bytes")
    shape = tuple(int.from_bytes(header[at : at + 4], "big") for at in range(0, len(header), 4))
    size = prod(shape) * dtype.itemsize
    check_samples_size(shape, dtype, where)
    check_expansion(size, stored, where)
    content = _read_at_most(stream, size + 1)
    if len(content) != size:
        raise _damaged(
            where,
            f"{size} bytes for shape {shape}",
            f"{len(content)} bytes" if len(content) < size else "more",
        )
    return np.frombuffer(content, dtype).astype(dtype.newbyteorder("=")).reshape(shape)


def _read_at_most(stream: io.BufferedIOBase, size: int) -> bytearray:
    """Read piece by piece, so that a header's claim alone takes no memory."""
    content = bytearray()
    while len(content) < size and (piece := stream.read(min(_CHUNK, size - len(content)))):
        content += piece
    return content


def _damaged(where: str | Path, expected: str, found: str) -> FileError:
    return FileError(
        "this is not an idx file, or it is damaged",
        where=str(where),
        expected=expected,
        found=found,
        remedy="Fetch it again.",
    )
