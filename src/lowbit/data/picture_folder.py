"""A folder of picture files in folders of classes: ``[split/]class/picture.png``.

Classes are numbered in the order of their names, over both splits, so that a class missing in one of them
moves no number.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lowbit.data.dataset import Choose, Raw
from lowbit.data.framing import Framing
from lowbit.data.pictures import SUFFIXES, decode_pictures
from lowbit.errors import DataError
from lowbit.untrusted import list_folder, read_file

MOST_BYTES = 1 << 26
"""The most that one picture file may have."""

_SPLITS = {"train": ("train",), "test": ("test", "val")}


def holds_pictures(folder: Path) -> bool:
    """Whether some folder of classes holds a picture."""
    return any(True for root in _roots(folder) for _ in _files(root))


def read_picture_folder(
    folder: Path, split: str, framing: Framing | None = None, choose: Choose | None = None
) -> Raw:
    """Return pictures ``[n, c, h, w]``, classes, and the classes' names; no others are read than are wanted.

    Raises:
        DataError: none in this split, or they differ in size or colours; the file is named.
        FileError: a file is damaged, too large, or no regular file.
        MissingExtra: Pillow is not installed.
    """
    roots = _roots(folder)
    root = next((path for path in roots if path.name in _SPLITS[split]), None)
    if root is None and roots != [folder]:
        raise DataError(
            "the folder holds no pictures of this split",
            where=str(folder),
            expected=" or ".join(_SPLITS[split]),
            found=", ".join(path.name for path in roots),
        )
    classes = sorted({path.parent.name for each in roots for path in _files(each)})
    files = sorted(_files(root or folder))
    numbers = choose(len(files)) if choose and files else None
    if numbers is not None:
        files = [files[number] for number in numbers]
    contents = ((str(path), read_file(path, limit=MOST_BYTES)) for path in files)
    pictures, lossy = decode_pictures(contents, framing)
    labels = np.array([classes.index(path.parent.name) for path in files])
    note = f"{split}: {root.name}" if root else "no split: all pictures"
    notes = (note,) if framing is None else (note, str(framing))
    return Raw(pictures, labels, notes, lossy, tuple(classes), pictures=True, numbers=numbers)


def _roots(folder: Path) -> list[Path]:
    """Return the folders of splits, or the folder itself where there are none."""
    names = [name for names in _SPLITS.values() for name in names]
    return [folder / name for name in names if (folder / name).is_dir()] or [folder]


def _files(root: Path) -> Iterator[Path]:
    folders = (path for path in list_folder(root) if path.is_dir())
    return (path for each in folders for path in list_folder(each) if path.suffix.lower() in SUFFIXES)
