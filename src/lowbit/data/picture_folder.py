"""A folder of picture files in folders of classes: ``[split/]class/picture.png``.

Classes are numbered in the order of their names, over all splits, so that a class missing in one of them
moves no number. What begins with a dot is no class.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lowbit.data.dataset import Choose, Raw
from lowbit.data.framing import Framing
from lowbit.data.pictures import SUFFIXES, decode_pictures
from lowbit.errors import DataError, FileError, TooLargeError
from lowbit.untrusted import list_folder, read_file

MOST_BYTES = 1 << 26
"""The most that one picture file may have."""

VALIDATION = "validation"

_SPLITS = {"train": ("train",), "test": ("test", "val"), VALIDATION: ("val", "validation")}


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
    pictures, lossy = decode_pictures(((str(path), _content(path)) for path in files), framing)
    labels = np.array([classes.index(path.parent.name) for path in files])
    note = f"{split}: {root.name}" if root else "no split: all pictures"
    notes = (note,) if framing is None else (note, str(framing))
    return Raw(pictures, labels, notes, lossy, tuple(classes), pictures=True, numbers=numbers)


def picture_splits(folder: Path) -> tuple[str, ...]:
    """Return which of train, validation and test a folder has; ``val`` is validation."""
    roots = _roots(folder)
    names = {root.name for root in roots} if roots != [folder] else set()
    return tuple(split for split in ("train", VALIDATION, "test") if names & {split, *_SPLITS[split][:1]})


def empty_classes(folder: Path) -> list[str]:
    """Return the names of folders of classes in which no split has a picture."""
    roots = _roots(folder)
    named = {path.name for root in roots for path in _classes(root)}
    return sorted(named - {path.parent.name for root in roots for path in _files(root)})


def _content(path: Path) -> bytes | FileError:
    """Return what a file holds, or why it cannot be read: all such files are named together."""
    try:
        return read_file(path, limit=MOST_BYTES)
    except TooLargeError:
        raise
    except FileError as error:
        return error


def _roots(folder: Path) -> list[Path]:
    """Return the folders of splits, or the folder itself where there are none."""
    names = dict.fromkeys(name for names in _SPLITS.values() for name in names)
    found = [folder / name for name in names if (folder / name).is_dir()]
    return [root for root in found if root.name != VALIDATION or any(_files(root))] or [folder]


def _classes(root: Path) -> Iterator[Path]:
    return (path for path in list_folder(root) if path.is_dir() and not path.name.startswith("."))


def _files(root: Path) -> Iterator[Path]:
    return (path for each in _classes(root) for path in list_folder(each) if path.suffix.lower() in SUFFIXES)
