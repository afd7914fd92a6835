"""The front door: from what a person names to a data set. One entry per kind of source."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lowbit.data.cifar10 import find_cifar10, read_cifar10
from lowbit.data.dataset import Dataset, Normalize, Numbers, Raw, make_dataset
from lowbit.data.digits import read_digits
from lowbit.data.hdf5 import read_one_hdf5
from lowbit.data.idx import holds_idx, read_idx_folder
from lowbit.data.npz import read_npy, read_npz
from lowbit.data.parquet import find_parquet, read_parquet
from lowbit.data.picture_folder import holds_pictures, read_picture_folder
from lowbit.data.published import PUBLISHED, checked, find_published
from lowbit.errors import DataError

Source = str | os.PathLike[str] | npt.ArrayLike

SPLITS = ("train", "test")

_SUFFIXES: dict[str, Callable[[Path, str, str | None], Raw]] = {
    ".npz": read_npz,
    ".npy": lambda path, split, input_name: read_npy(path),
    ".h5": lambda path, split, input_name: read_one_hdf5(path, input_name),
    ".hdf5": lambda path, split, input_name: read_one_hdf5(path, input_name),
    ".parquet": lambda path, split, input_name: read_parquet([path], input_name),
}
NAMES = ("digits", *PUBLISHED)
"""Data sets that can be asked for by name."""


def load(
    source: Source | tuple[Numbers, Numbers],
    split: str = "train",
    input_name: str | None = None,
    limit: int | None = None,
    normalize: Normalize = None,
    folder: str | os.PathLike[str] | None = None,
) -> Dataset:
    """Return samples, and labels where the source has them.

    Args:
        source: a name of `NAMES`, a path, an array ``[n, ...]``, or a pair of arrays with labels.
        split: ``train`` or ``test``, where the source has both.
        input_name: what the source calls its samples, where it holds several things.
        limit: at most so many samples, the first ones.
        normalize: mean and deviation, applied after integers were scaled.
        folder: where a named data set is; otherwise the usual places are searched (`find_published`).

    Raises:
        DataError: nothing such, or samples or labels that do not fit.
        FileError: a file that cannot be read, is damaged, too large or unsafe.
        NumericError: NaN or infinity in a sample.
        MissingExtra: the source needs a package that is not installed.
    """
    if split not in SPLITS:
        raise DataError("unknown split", expected=" or ".join(SPLITS), found=repr(split))
    if not isinstance(source, str | os.PathLike):
        return make_dataset(_arrays(source), "array", limit=limit, normalize=normalize)
    name = os.fspath(source)
    raw = _named(name, split, folder) if name in NAMES else _read(Path(name), split, input_name)
    return make_dataset(raw, name, limit=limit, normalize=normalize)


def _arrays(source: npt.ArrayLike | tuple[Numbers, Numbers]) -> Raw:
    pair = isinstance(source, tuple) and len(source) == 2 and isinstance(source[0], np.ndarray)
    if pair:
        return Raw(np.asarray(source[0]), np.asarray(source[1]))  # type: ignore[index]
    return Raw(np.asarray(source))


def _named(name: str, split: str, folder: str | os.PathLike[str] | None) -> Raw:
    if name == "digits":
        return read_digits(split)
    found = find_published(name, None if folder is None else Path(folder))
    return checked(name, found, split, _read_folder(found, split, None))


def _read(path: Path, split: str, input_name: str | None) -> Raw:
    if path.is_dir():
        return _read_folder(path, split, input_name)
    reader = _SUFFIXES.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            "this is no data that lowbit knows",
            where=str(path),
            expected=f"a folder, {', '.join(_SUFFIXES)}, or {', '.join(NAMES)}",
            found="a file of another kind" if path.exists() else "no file of that name",
        )
    return reader(path, split, input_name)


def _read_folder(folder: Path, split: str, input_name: str | None) -> Raw:
    if holds_idx(folder):
        return read_idx_folder(folder, split)
    if batches := find_cifar10(folder, split):
        return read_cifar10(batches)
    if parts := find_parquet(folder, split):
        return read_parquet(parts, input_name)
    if holds_pictures(folder):
        return read_picture_folder(folder, split)
    raise DataError(
        f"the folder holds no data of the split {split}",
        where=str(folder),
        expected="idx files, CIFAR-10's batches, Parquet, or pictures in folders of classes",
        found=", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing",
    )
