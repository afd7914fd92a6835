"""The front door: from what a person names to a data set. One entry per kind of source."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lowbit.data.dataset import Dataset, Normalize, Numbers, make_dataset
from lowbit.data.digits import read_digits
from lowbit.data.hdf5 import read_one_hdf5
from lowbit.data.idx import read_idx_folder
from lowbit.data.npz import read_npy, read_npz
from lowbit.errors import DataError

Source = str | os.PathLike[str] | npt.ArrayLike
Read = tuple[Numbers, Numbers | None, tuple[str, ...]]

SPLITS = ("train", "test")

_NAMED: dict[str, Callable[[str], Read]] = {"digits": read_digits}
_SUFFIXES: dict[str, Callable[[Path, str, str | None], Read]] = {
    ".npz": read_npz,
    ".npy": lambda path, split, input_name: read_npy(path),
    ".h5": lambda path, split, input_name: read_one_hdf5(path, input_name),
    ".hdf5": lambda path, split, input_name: read_one_hdf5(path, input_name),
}
NAMES = tuple(_NAMED)
"""Data sets that can be asked for by name."""


def load(
    source: Source | tuple[Numbers, Numbers],
    split: str = "train",
    input_name: str | None = None,
    limit: int | None = None,
    normalize: Normalize = None,
) -> Dataset:
    """Return samples, and labels where the source has them.

    Args:
        source: a name of `NAMES`, a path, an array ``[n, ...]``, or a pair of arrays with labels.
        split: ``train`` or ``test``, where the source has both.
        input_name: what the source calls its samples, where it holds several things.
        limit: at most so many samples, the first ones.
        normalize: mean and deviation, applied after integers were scaled.

    Raises:
        DataError: nothing such, or samples or labels that do not fit.
        FileError: a file that cannot be read, is damaged, too large or unsafe.
        NumericError: NaN or infinity in a sample.
        MissingExtra: the source needs a package that is not installed.
    """
    if split not in SPLITS:
        raise DataError("unknown split", expected=" or ".join(SPLITS), found=repr(split))
    if not isinstance(source, str | os.PathLike):
        samples, labels = _arrays(source)
        return make_dataset(samples, labels, "array", limit=limit, normalize=normalize)
    name = os.fspath(source)
    samples, labels, notes = _read(name, split, input_name)
    return make_dataset(samples, labels, name, limit=limit, normalize=normalize, notes=notes)


def _arrays(source: npt.ArrayLike | tuple[Numbers, Numbers]) -> tuple[Numbers, Numbers | None]:
    pair = isinstance(source, tuple) and len(source) == 2 and isinstance(source[0], np.ndarray)
    if pair:
        return np.asarray(source[0]), np.asarray(source[1])  # type: ignore[index]
    return np.asarray(source), None


def _read(name: str, split: str, input_name: str | None) -> Read:
    path = Path(name)
    if name in _NAMED:
        return _NAMED[name](split)
    if path.is_dir():
        return read_idx_folder(path, split)
    reader = _SUFFIXES.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            "this is no data that lowbit knows",
            where=name,
            expected=f"a folder of idx files, {', '.join(_SUFFIXES)}, or {' or '.join(NAMES)}",
            found="a file of another kind" if path.exists() else "no file of that name",
        )
    return reader(path, split, input_name)
