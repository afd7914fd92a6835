"""NumPy's own files, read without NumPy's loader: no pickle, sizes before memory, no bombs.

An ``.npz`` is a zip of ``.npy`` members. A member's header states type and shape; both, and how far it
was compressed, are checked before anything is decompressed.
"""

import ast
import io
import os
import re
import zipfile
from collections.abc import Collection, Mapping
from math import prod
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from lowbit.budget import budget
from lowbit.data.dataset import Choose, Numbers, Raw
from lowbit.data.limits import check_expansion, check_samples_size
from lowbit.errors import DataError, FileError, LowbitError, UnsafeFileError, UnsupportedError
from lowbit.untrusted import opened, read_file, write_atomic

_SAMPLES = ("x", "images", "data", "samples", "input")
_LABELS = ("y", "labels", "target", "label")
_SPLITS = {"train": ("train",), "validation": ("val", "validation"), "test": ("test",)}
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that zip knows; a fixed date makes equal bytes
_MAX_HEADER = 10_000
_PLAIN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 1
_NUMBER = re.compile(r"[<>=|]?(f[248]|[iu][1248]|b1)")
_TYPE = re.compile(r"[<>=|]?[a-zA-Z]\d{1,9}(\[\w{1,9}\])?")  # as NumPy writes it: complex, text, dates too


def read_npz(path: Path, split: str, input_name: str | None = None) -> Raw:
    """Return samples, labels and notes.

    Samples are ``x_train`` or ``x_test`` by the split, else ``x``; ``images``, ``data``, ``samples`` and
    ``input`` are read the same way, and ``train_images`` too; labels are ``y``, ``labels``, ``target``
    or ``label``. ``input_name`` names the samples instead.

    Raises:
        DataError: nothing of these names, or an array of no numbers: complex, text, dates, records.
        FileError: damaged, pickled, too large, or a bomb.
        UnsupportedError: packed by LZMA or bzip2, or encrypted.
    """
    raw = read_file(path, limit=budget())
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            members = {name.removesuffix(".npy"): name for name in archive.namelist()}
            samples, split_note = _key(members, (input_name,) if input_name else _SAMPLES, split)
            labels, _ = _key(members, _LABELS, split)
            if samples is None:
                raise _no_samples(path, split, members)  # noqa: TRY301 - the others in here are the library's
            arrays = [
                None if key is None else _read_member(archive, members[key], f"{path}:{key}")
                for key in (samples, labels)
            ]
    except LowbitError:
        raise
    except Exception as error:  # whatever the library stumbles over in a damaged zip
        raise _damaged(path, "a zip of .npy files", str(error)) from error
    assert arrays[0] is not None
    return Raw(arrays[0], arrays[1], (split_note,))


def npz_splits(path: Path) -> tuple[str, ...]:
    """Return which of train, validation and test a file has samples for; errors are those of `read_npz`."""
    raw = read_file(path, limit=budget())
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            members = {name.removesuffix(".npy") for name in archive.namelist()}
    except Exception as error:  # whatever the library stumbles over in a damaged zip
        raise _damaged(path, "a zip of .npy files", str(error)) from error
    named = {split: {name for stem in _SAMPLES for name in _of_split(stem, split)} for split in _SPLITS}
    return tuple(split for split, names in named.items() if names & members)


def read_named(path: Path, names: Collection[str]) -> dict[str, Numbers]:
    """Return the arrays of an ``.npz`` that have one of these names.

    Raises:
        DataError: an array of no numbers.
        FileError: damaged, pickled, too large, or a bomb.
        UnsupportedError: packed by LZMA or bzip2, or encrypted.
    """
    raw = read_file(path, limit=budget())
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            members = {name.removesuffix(".npy"): name for name in archive.namelist()}
            found = [name for name in members if name in names]
            return {name: _read_member(archive, members[name], f"{path}:{name}") for name in found}
    except LowbitError:
        raise
    except Exception as error:  # whatever the library stumbles over in a damaged zip
        raise _damaged(path, "a zip of .npy files", str(error)) from error


def _no_samples(path: Path, split: str, members: Mapping[str, str]) -> DataError:
    return DataError(
        "the file names no samples",
        where=str(path),
        expected=f"one of {', '.join(_SAMPLES)}, or x_{split}",
        found=", ".join(list(members)[:8]) or "nothing",
        remedy="Say which array with an input name.",
    )


def read_npy(path: Path, choose: Choose | None = None) -> Raw:
    """Return the samples of an ``.npy`` file; no others are read than are wanted.

    Raises:
        DataError: it holds no numbers: complex, text, dates, records.
        FileError: damaged, pickled or too large.
    """
    note = ("no split: all samples",)
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        shape, fortran, dtype = _header(file, str(path))
        if choose is not None and len(shape) and not fortran and 0 not in shape:
            numbers = choose(shape[0])
            return Raw(_rows(file, shape, dtype, numbers, str(path)), None, note, numbers=numbers)
        file.seek(0)
        return Raw(_parse(file, size, str(path)), None, note)


def _rows(
    file: IO[bytes],
    shape: tuple[int, ...],
    dtype: np.dtype[np.generic],
    numbers: npt.NDArray[np.intp],
    where: str,
) -> Numbers:
    """Return rows of the array whose header a file stands behind."""
    check_samples_size((len(numbers), *shape[1:]), dtype, where)
    start, size = file.tell(), prod(shape[1:]) * dtype.itemsize
    found = file.seek(0, os.SEEK_END) - start
    if found != size * shape[0]:
        raise _damaged(where, f"{size * shape[0]} bytes for shape {shape}", f"{found} bytes")
    rows = np.empty((len(numbers), *shape[1:]), dtype)
    for row, number in zip(rows.reshape(len(numbers), -1).view(np.uint8), numbers, strict=True):
        file.seek(start + size * int(number))
        content = file.read(size)
        if len(content) != size:  # cut while it was read
            raise _damaged(where, f"{size} bytes of sample {number}", f"{len(content)}")
        row[:] = np.frombuffer(content, np.uint8)
    return rows.astype(dtype.newbyteorder("="), copy=False)


def write_npz(arrays: Mapping[str, npt.ArrayLike], path: str | os.PathLike[str]) -> None:
    """Write arrays as ``.npz``, whole or not at all; equal arrays give equal bytes.

    Raises:
        WriteError: the file cannot be written.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            npy.write_array(member, np.asarray(array), allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, member.getvalue())
    write_atomic(path, buffer.getvalue())


def _key(members: Mapping[str, str], stems: tuple[str, ...], split: str) -> tuple[str | None, str]:
    """Return the member for some stem, those of the split first, and whether there was a split."""
    for stem in stems:
        for name in _of_split(stem, split):
            if name in members:
                return name, f"{split}: {name}"
    whole = next((stem for stem in stems if stem in members), None)
    return whole, "no split: all samples"


def _of_split(stem: str, split: str) -> list[str]:
    return [name for word in _SPLITS[split] for name in (f"{stem}_{word}", f"{word}_{stem}")]


def _read_member(archive: zipfile.ZipFile, name: str, where: str) -> Numbers:
    info = archive.getinfo(name)
    if info.compress_type not in _PLAIN or info.flag_bits & _ENCRYPTED:
        raise UnsupportedError(
            "the member is packed as NumPy does not",
            where=where,
            expected="stored or deflated",
            found="encrypted" if info.flag_bits & _ENCRYPTED else f"compression {info.compress_type}",
            remedy="Save it with numpy.savez or numpy.savez_compressed.",
        )
    check_expansion(info.file_size, info.compress_size, where)
    with archive.open(info) as stream:
        return _parse(stream, info.file_size, where)


def _parse(stream: IO[bytes], size: int, where: str) -> Numbers:
    """Return the array of a stream of ``size`` bytes."""
    shape, fortran, dtype = _header(stream, where)
    expected = prod(shape) * dtype.itemsize
    check_samples_size(shape, dtype, where)
    if expected > size:
        raise _damaged(where, f"at most {size} bytes", f"{dtype} {shape}")
    content = stream.read(expected + 1)
    if len(content) != expected:
        raise _damaged(where, f"{expected} bytes for shape {shape}", f"{len(content)} bytes or more")
    array = np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")
    return np.asarray(array.astype(dtype.newbyteorder("=")))


def _header(stream: IO[bytes], where: str) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    """Return shape, order and type: a literal of Python, of three keys.

    NumPy's own reader of headers also mends those of Python 2, with a tokenizer; this one does not.
    """
    start = stream.read(10)
    wide = start[6:8] in (b"\2\0", b"\3\0")  # versions 2 and 3 have a length of four bytes
    if start[:6] != b"\x93NUMPY" or not (wide or start[6:8] == b"\1\0"):
        raise _damaged(where, "an .npy header", repr(start[:8]))
    length = int.from_bytes(start[8:10] + (stream.read(2) if wide else b""), "little")
    text = stream.read(min(length, _MAX_HEADER)).decode("latin-1")
    try:
        fields = ast.literal_eval(text.strip())
        descr, fortran, shape = (fields[key] for key in ("descr", "fortran_order", "shape"))
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError) as error:
        raise _damaged(where, "an .npy header", repr(text[:80])) from error
    if isinstance(descr, str) and "O" in descr:
        raise UnsafeFileError(
            "the array is pickled Python objects",
            where=where,
            expected="numbers",
            found=repr(descr),
            remedy="Save it as an array of numbers.",
        )
    lengths = isinstance(shape, tuple) and all(isinstance(item, int) and item >= 0 for item in shape)
    if not lengths or len(shape) > 32 or not (isinstance(descr, list) or _TYPE.fullmatch(str(descr))):
        raise _damaged(where, "numbers and their shape", f"{descr!r:.40} {shape!r:.40}")
    if not _NUMBER.fullmatch(str(descr)):
        raise DataError(
            "the array holds no numbers that samples or labels can be",
            where=where,
            expected="integers or floats of at most 8 bytes",
            found=f"{descr!r:.40}",
            remedy="Convert it, and save it again: array.astype(numpy.float32).",
        )
    return shape, fortran is True, np.dtype(descr)


def _damaged(where: str | Path, expected: str, found: str) -> FileError:
    return FileError(
        "this is not a NumPy file, or it is damaged",
        where=str(where),
        expected=expected,
        found=found,
        remedy="Save it again.",
    )
