"""The front door: from what a person names to a data set. One entry per kind of source."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lowbit.data.cifar10 import find_cifar10, read_cifar10
from lowbit.data.dataset import Choose, Dataset, Normalize, Numbers, Raw, make_dataset
from lowbit.data.digits import read_digits
from lowbit.data.framing import Framing, framed, framing_or_asked
from lowbit.data.hdf5 import read_one_hdf5
from lowbit.data.idx import holds_idx, read_idx_folder
from lowbit.data.network_input import NetworkInput
from lowbit.data.npz import npz_splits, read_npy, read_npz
from lowbit.data.parquet import find_parquet, read_parquet
from lowbit.data.picture_folder import VALIDATION, holds_pictures, picture_splits, read_picture_folder
from lowbit.data.published import PUBLISHED, checked, find_published
from lowbit.errors import DataError, FileError, TooLargeError
from lowbit.untrusted import list_folder

Source = str | os.PathLike[str] | npt.ArrayLike

SPLITS = ("train", VALIDATION, "test")

_SUFFIXES: dict[str, Callable[[Path, str, str | None, Choose | None], Raw]] = {
    ".npz": lambda path, split, input_name, choose: read_npz(path, split, input_name),
    ".npy": lambda path, split, input_name, choose: read_npy(path, choose),
    ".h5": lambda path, split, input_name, choose: read_one_hdf5(path, input_name),
    ".hdf5": lambda path, split, input_name, choose: read_one_hdf5(path, input_name),
    ".parquet": lambda path, split, input_name, choose: read_parquet([path], input_name),
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
    scale: float | None = None,
    network: NetworkInput | None = None,
    framing: Framing | None = None,
    choose: Choose | None = None,
) -> Dataset:
    """Return samples, and labels where the source has them.

    Args:
        source: a name of `NAMES`, a path, an array ``[n, ...]``, or a pair of arrays with labels.
        split: ``train``, ``validation`` or ``test``; of a source that has none, all there is is both of train
            and test.
        input_name: what the source calls its samples, where it holds several things.
        limit: at most so many samples, the first ones.
        normalize: mean and deviation, applied after integers were scaled.
        folder: where a named data set is; otherwise the usual places are searched (`find_published`).
        scale: what every number is multiplied by, instead of the conventions of `lowbit.data.dataset`.
        network: what the samples are for; they come in its shape and type.
        framing: how pictures become the size that it takes; else what was asked for around.
        choose: which samples are wanted; of a folder of pictures and an ``.npy`` no others are read.

    Raises:
        DataError: nothing such, or samples or labels that do not fit.
        FileError: a file that cannot be read, is damaged, too large or unsafe.
        NumericError: NaN or infinity in a sample.
        MissingExtra: the source needs a package that is not installed.
    """
    if split not in SPLITS:
        raise DataError("unknown split", expected=" or ".join(SPLITS), found=repr(split))
    if not isinstance(source, str | os.PathLike):
        raw, name = framed(_arrays(source).chosen(choose), framing, "array"), "array"
        return make_dataset(raw, name, limit=limit, normalize=normalize, scale=scale, network=network)
    name, framing = os.fspath(source), framing_or_asked(framing)
    if split == VALIDATION and split not in (known := splits_of(name)):
        raise DataError(
            "the data has no samples for validation",
            where=name,
            expected="folders train and val, or arrays x_train and x_val",
            found=" and ".join(known) or "one set of samples",
        )
    try:
        raw = (
            framed(_named(name, split, folder).chosen(choose), framing, name)
            if name in NAMES
            else _read(Path(name), split, input_name, framing, choose)
        )
    except OSError as error:  # a name that is too long, a folder that may not be entered
        raise FileError(
            "the data cannot be read",
            where=name,
            expected="a file or folder that may be read",
            found=error.strerror or str(error),
            remedy="Check the path and its permissions.",
        ) from error
    except MemoryError as error:
        raise TooLargeError("there is no memory for the data", where=name, found=str(error)[:160]) from error
    return make_dataset(raw, name, limit=limit, normalize=normalize, scale=scale, network=network)


def splits_of(source: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return which of train, validation and test a source tells apart; none where it is one set of samples.

    Raises:
        FileError: it cannot be read.
    """
    path = Path(source)
    if os.fspath(source) in NAMES:
        return ("train", "test")
    if path.is_dir():
        pictures = holds_pictures(path) and not _holds_arrays(path, "train")
        return picture_splits(path) if pictures else ("train", "test")
    return npz_splits(path) if path.suffix.lower() == ".npz" else ()


def _arrays(source: npt.ArrayLike | tuple[Numbers, Numbers]) -> Raw:
    pair = isinstance(source, tuple) and len(source) == 2 and isinstance(source[0], np.ndarray)
    if pair:
        return Raw(_array(source[0], "samples"), _array(source[1], "labels"))  # type: ignore[index]
    return Raw(_array(source, "samples"))


def _array(source: object, what: str) -> Numbers:
    """Return what NumPy makes of a caller's object, which must be one array of numbers."""
    try:
        array = np.asarray(source)
    except Exception as error:  # lists of unequal lengths, tensors of another device, whatever has __array__
        raise DataError(
            f"{what} are no array",
            where="array",
            expected="numbers [n, ...], every sample of one shape",
            found=str(error).splitlines()[0][:160] if str(error) else type(error).__name__,
            remedy="Make an array of them: numpy.stack, or .detach().cpu().numpy() of a tensor.",
        ) from error
    masked = isinstance(source, np.ma.MaskedArray) and bool(np.ma.getmaskarray(source).any())
    if masked or array.dtype.kind not in "fiub":
        raise DataError(
            f"{what} are no numbers",
            where="array",
            expected="an array of integers or floats",
            found="masked values" if masked else f"{type(source).__name__} ({array.dtype})",
            remedy="Make one array of them; of a loader: numpy.concatenate([x for x, *_ in loader]).",
        )
    return array


def _named(name: str, split: str, folder: str | os.PathLike[str] | None) -> Raw:
    if name == "digits":
        return read_digits(split)
    found = find_published(name, None if folder is None else Path(folder))
    return checked(name, found, split, _read_folder(found, split, None))


def _read(
    path: Path, split: str, input_name: str | None, framing: Framing | None, choose: Choose | None
) -> Raw:
    if path.is_dir():
        return _read_folder(path, split, input_name, framing, choose)
    reader = _SUFFIXES.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            "this is no data that lowbit knows",
            where=str(path),
            expected=f"a folder, {', '.join(_SUFFIXES)}, or {', '.join(NAMES)}",
            found="a file of another kind" if path.exists() else "no file of that name",
        )
    return framed(reader(path, split, input_name, choose).chosen(choose), framing, str(path))


def _read_folder(
    folder: Path,
    split: str,
    input_name: str | None,
    framing: Framing | None = None,
    choose: Choose | None = None,
) -> Raw:
    if holds_pictures(folder) and not _holds_arrays(folder, split):
        return read_picture_folder(folder, split, framing, choose)
    return framed(_read_arrays(folder, split, input_name).chosen(choose), framing, str(folder))


def _holds_arrays(folder: Path, split: str) -> bool:
    split = "train" if split == VALIDATION else split  # which arrays in folders have not
    return holds_idx(folder) or bool(find_cifar10(folder, split) or find_parquet(folder, split))


def _read_arrays(folder: Path, split: str, input_name: str | None) -> Raw:
    if holds_idx(folder):
        return read_idx_folder(folder, split)
    if batches := find_cifar10(folder, split):
        return read_cifar10(batches)
    if parts := find_parquet(folder, split):
        return read_parquet(parts, input_name)
    raise DataError(
        f"the folder holds no data of the split {split}",
        where=str(folder),
        expected="idx files, CIFAR-10's batches, Parquet, or pictures in folders of classes",
        found=", ".join(sorted(path.name for path in list_folder(folder))[:8]) or "nothing",
    )
