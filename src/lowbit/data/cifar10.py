"""CIFAR-10 as its authors give it: the binary version, and the batches of Python.

Binary: ``data_batch_1.bin`` … ``data_batch_5.bin``, ``test_batch.bin``, records of a class and 3 x 32 x 32
bytes. Python: ``data_batch_1`` … ``data_batch_5``, ``test_batch``, pickled; `lowbit.data.batch` reads them
and runs nothing.
"""

import re
from pathlib import Path

import numpy as np

from lowbit.data.batch import read_batch
from lowbit.data.dataset import Numbers, Raw
from lowbit.data.limits import check_samples_size
from lowbit.errors import FileError
from lowbit.untrusted import list_folder, read_file

SHAPE, CLASSES = (3, 32, 32), 10
MOST_BYTES = 1 << 28
"""The most that one file may have; the published ones have 31 MB."""

_RECORD = 1 + 3 * 32 * 32
_NAMES = {"train": re.compile(r"data_batch_\d(\.bin)?"), "test": re.compile(r"test_batch(\.bin)?")}


def find_cifar10(folder: Path, split: str) -> list[Path]:
    """Return the files of a split in order; the binary ones where both are there."""
    found = sorted(path for path in list_folder(folder) if _NAMES[split].fullmatch(path.name))
    return [path for path in found if path.suffix] or found


def read_cifar10(paths: list[Path]) -> Raw:
    """Return pictures uint8 ``[n, 3, 32, 32]`` and classes 0 to 9.

    Raises:
        FileError: a file is short, damaged, or of another data set.
        UnsafeFileError: a batch wants to run something.
    """
    parts = [_binary(path) if path.suffix else _pickled(path) for path in paths]
    count = sum(len(pixels) for pixels, _ in parts)
    check_samples_size((count, *SHAPE), np.dtype(np.uint8), str(paths[0].parent))
    pixels, classes = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Raw(pixels.reshape(-1, *SHAPE), classes, (", ".join(path.name for path in paths),), pictures=True)


def _binary(path: Path) -> tuple[Numbers, Numbers]:
    content = read_file(path, limit=MOST_BYTES)
    if not content or len(content) % _RECORD:
        raise _damaged(path, f"records of {_RECORD} bytes", f"{len(content)} bytes")
    records = np.frombuffer(content, np.uint8).reshape(-1, _RECORD)
    _check_classes(records[:, 0], path)
    return records[:, 1:], records[:, 0]


def _pickled(path: Path) -> tuple[Numbers, Numbers]:
    pixels, classes = read_batch(read_file(path, limit=MOST_BYTES), str(path))
    if pixels.shape != (len(classes), _RECORD - 1) or not len(classes):
        raise _damaged(path, f"{_RECORD - 1} bytes for each of {len(classes)} classes", f"{pixels.shape}")
    _check_classes(classes, path)
    return pixels, classes


def _check_classes(classes: Numbers, path: Path) -> None:
    if int(classes.min()) < 0 or int(classes.max()) >= CLASSES:
        raise _damaged(path, f"classes 0 to {CLASSES - 1}", f"{classes.min()} to {classes.max()}")


def _damaged(path: Path, expected: str, found: str) -> FileError:
    return FileError(
        "this is not a file of CIFAR-10, or it is damaged",
        where=str(path),
        expected=expected,
        found=found,
        remedy="Fetch it again.",
    )
