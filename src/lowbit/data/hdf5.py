"""HDF5 in the layout of Samsung ONE: what ``--input_data`` of its tools takes.

    value/<record>/<input>     one sample, with the leading 1 that the network's input has
    value.rawData              optional attribute: types and shapes are not checked by ONE
    label                      ours, int64 [n] in the order of the records; ONE reads only ``value``

HDF5 can lead anywhere: links into other files, data kept outside, virtual data sets made of others,
plug-ins for filters, and shapes of any size over no data. All of that is refused, at every component
of a path, before a byte of data is read. The structure itself is parsed by the HDF5 library, which can
be made to loop by a damaged index: read a stranger's file in a process of its own, with a time limit.
"""

import io
import os
import zlib
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lowbit.budget import check_budget
from lowbit.data.dataset import Dataset, Numbers, Raw
from lowbit.data.limits import REAL, check_expansion
from lowbit.errors import DataError, FileError, LowbitError, MissingExtra, TooLargeError, UnsafeFileError
from lowbit.untrusted import read_start, write_atomic

if TYPE_CHECKING:
    import h5py

SMALL = 1 << 16  # bytes that a data set may show without storing them

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_FILTERS = (1, 2, 3, 32000)  # deflate, shuffle, fletcher32, lzf: those that need no plug-in
_DEFLATE, _CHECKSUM = 1, 4  # bytes that fletcher32 puts behind
_LABELS = "label"
_BYTES_OF_A_NAME = 8  # the least that a name takes in a file


def read_one_hdf5(path: Path, input_name: str | None = None) -> Raw:
    """Return samples, labels (where we wrote them) and notes.

    Args:
        path: the file.
        input_name: which input of the records; may be left out where they have one.

    Raises:
        DataError: no records, an unknown input, or records of different shapes.
        UnsafeFileError: something that leads out of the file.
        TooLargeError: a shape that its stored bytes do not account for.
        FileError: damaged.
        MissingExtra: h5py is not installed.
    """
    library = _h5py()
    if read_start(path, len(_SIGNATURE)) != _SIGNATURE:
        raise _damaged(path, "an HDF5 signature", "other bytes")
    try:
        with library.File(path, "r") as file:
            return _read(file, str(path), input_name)
    except LowbitError:
        raise
    except Exception as error:  # whatever the library stumbles over in a damaged file
        raise _damaged(path, "groups and data sets that can be read", str(error)[:160]) from error


def write_one_hdf5(dataset: Dataset, path: str | os.PathLike[str], input_name: str = "input") -> None:
    """Write a data set in ONE's layout, whole or not at all; equal data give equal bytes.

    Args:
        dataset: samples become float32 data sets of shape ``[1, ...]``.
        path: the target.
        input_name: what the records call the input; ONE's own tools number them: "0".

    Raises:
        DataError: a name that HDF5 reads as a path.
        WriteError: the file cannot be written.
        MissingExtra: h5py is not installed.
    """
    if not input_name or "/" in input_name or input_name == ".":
        raise DataError("an input cannot be called so", expected="a name without '/'", found=repr(input_name))
    buffer = io.BytesIO()
    with _h5py().File(buffer, "w") as file:
        values = file.create_group("value")
        for index, sample in enumerate(dataset.samples):
            values.create_group(str(index)).create_dataset(input_name, data=sample[None], track_times=False)
        if dataset.labels is not None:
            file.create_dataset(_LABELS, data=dataset.labels, track_times=False)
    write_atomic(path, buffer.getvalue())


def _h5py() -> Any:
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise MissingExtra("h5py", "data") from error
    return h5py


def _read(file: "h5py.File", where: str, input_name: str | None) -> Raw:
    values = _group(file, "value", where)
    names = sorted(_names(values, f"{where}:value"), key=_record_order)
    if not names:
        raise DataError("there are no samples", where=f"{where}:value", expected="records", found="none")
    total, samples = 0, []
    for name in names:
        record = _group(values, name, f"{where}:value")
        source = _dataset(
            record, _input(record, input_name, f"{where}:value/{name}"), f"{where}:value/{name}"
        )
        total += source.nbytes + (source.nbytes + source.size * REAL)  # as records, then as one array
        check_budget(total, where, "the samples")
        samples.append(source[()])
    labels = _dataset(file, _LABELS, where)[()] if _LABELS in file else None
    return Raw(_stacked(samples, names, where), labels, (f"no split: all {len(names)} records",))


def _stacked(samples: list[Numbers], names: list[str], where: str) -> Numbers:
    """Return records as one array, without the leading 1 that every one has."""
    first = samples[0]
    for name, sample in zip(names, samples, strict=True):
        if sample.shape != first.shape or sample.dtype != first.dtype:
            raise DataError(
                "records differ",
                where=f"{where}:value/{name}",
                expected=f"{first.dtype} {first.shape}",
                found=f"{sample.dtype} {sample.shape}",
            )
    batched = first.ndim > 1 and first.shape[0] == 1
    return np.stack([sample[0] for sample in samples] if batched else samples)


def _names(group: "h5py.Group", where: str) -> list[str]:
    """Return the names in a group, no more than the file has room for: a damaged index may be a circle."""
    most = group.file.id.get_filesize() // _BYTES_OF_A_NAME
    names: list[str] = []

    def collect(name: bytes) -> bool | None:
        names.append(name.decode("utf-8", "replace"))
        return True if len(names) > most else None  # anything but None ends the iteration

    group.id.links.iterate(collect)
    if len(names) > most:
        raise _damaged(where, f"at most {most} names in this file", "more")
    return names


def _record_order(name: str) -> tuple[int, int, str]:
    """Order 0, 1, …, 9, 10 by number, then other names."""
    return (0, int(name), name) if name.isascii() and name.isdigit() and len(name) < 19 else (1, 0, name)


def _input(record: "h5py.Group", input_name: str | None, where: str) -> str:
    names = _names(record, where)
    if input_name is None and len(names) == 1:
        return names[0]
    if input_name is None or input_name not in names:
        raise DataError(
            "which input is not clear" if input_name is None else "the record has no such input",
            where=where,
            expected=input_name or "one input",
            found=", ".join(names[:8]) or "nothing",
            remedy="Give the input's name.",
        )
    return input_name


def _group(parent: "h5py.Group", name: str, where: str) -> "h5py.Group":
    _check_link(parent, name, where)
    group = parent[name]
    if not isinstance(group, _h5py().Group):
        raise _damaged(where, f"a group {name}", type(group).__name__)
    return group


def _dataset(parent: "h5py.Group", name: str, where: str) -> "h5py.Dataset":
    """Return a data set whose numbers are in this file and nowhere else."""
    _check_link(parent, name, where)
    dataset = parent[name]
    place = f"{where}/{name}"
    if not isinstance(dataset, _h5py().Dataset):
        raise _damaged(where, f"a data set {name}", type(dataset).__name__)
    if dataset.is_virtual or dataset.external:
        raise _unsafe(place, "a virtual data set" if dataset.is_virtual else "data in another file")
    if dataset.shape is None or dataset.dtype.kind not in "fiub":
        raise DataError("a data set holds no numbers", where=place, found=str(dataset.dtype))
    _check_size(dataset, place)
    return dataset


def _check_link(parent: "h5py.Group", name: str, where: str) -> None:
    link = parent.get(name, getlink=True) if name in parent else None
    if link is None:
        raise _damaged(where, f"{name} in ONE's layout", ", ".join(_names(parent, where)[:8]) or "nothing")
    if not isinstance(link, _h5py().HardLink):
        raise _unsafe(f"{where}/{name}", f"a {type(link).__name__}")


def _check_size(dataset: "h5py.Dataset", where: str) -> None:
    """Refuse a shape that its stored bytes do not account for, and chunks that unpack to more than one."""
    stored = dataset.id.get_storage_size()
    check_expansion(prod(dataset.shape) * dataset.dtype.itemsize, stored, where, small=SMALL)
    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(index)[0] for index in range(properties.get_nfilters())]
    if any(code not in _FILTERS for code in filters) or len(set(filters)) != len(filters):
        raise _unsafe(where, f"filters that need a plug-in, or one twice: {filters}")
    if dataset.chunks is not None:
        size = prod(dataset.chunks) * dataset.dtype.itemsize
        check_expansion(size, stored, where, small=SMALL)
        if _DEFLATE in filters:
            _check_chunks(dataset, size, filters, where)


def _check_chunks(dataset: "h5py.Dataset", size: int, filters: list[int], where: str) -> None:
    """Unpack every chunk as far as a chunk goes: the library would go on to wherever its data lead."""
    for index in range(dataset.id.get_num_chunks()):
        chunk = dataset.id.get_chunk_info(index)
        if chunk.size > dataset.file.id.get_filesize():
            raise _damaged(where, "chunks inside the file", f"one of {chunk.size} bytes")
        mask, content = dataset.id.read_direct_chunk(chunk.chunk_offset)
        skipped = bool(mask >> filters.index(_DEFLATE) & 1)
        unpacking = zlib.decompressobj()
        if not skipped:
            unpacking.decompress(content, size + _CHECKSUM)
        if unpacking.unconsumed_tail:
            raise TooLargeError(
                "a chunk expands too far",
                where=where,
                expected=f"{size} bytes, as the file says",
                found=f"more, from {len(content)} stored",
                remedy="Write it again.",
            )


def _unsafe(where: str, found: str) -> UnsafeFileError:
    return UnsafeFileError(
        "the file leads out of itself",
        where=where,
        expected="plain groups and data sets",
        found=found,
        remedy="Copy the data into the file.",
    )


def _damaged(where: str | Path, expected: str, found: str) -> FileError:
    return FileError(
        "this is not HDF5 in ONE's layout, or it is damaged",
        where=str(where),
        expected=expected,
        found=found,
        remedy="Write it again, e.g. with lowbit data convert.",
    )
