"""Parquet with a column of picture files and a column of classes, as public data-set hubs store them.

    img (or image): {bytes, path}, or bytes      a whole PNG or JPEG file in every row
    label (or labels, fine_label, target): int   the class

The structure is parsed by the Arrow library: read a stranger's file in a process of its own. What its pages
unpack to is known before (`parquet_pages`), and rows are taken a few at a time, because a dictionary of a few
bytes may stand for any number of pictures.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lowbit.budget import budget
from lowbit.data.dataset import Numbers, Raw
from lowbit.data.limits import check_expansion
from lowbit.data.parquet_pages import read_footer, unpacked_pages
from lowbit.data.pictures import decode_pictures
from lowbit.errors import DataError, FileError, LowbitError, MissingExtra, TooLargeError
from lowbit.untrusted import list_folder, read_file

_PICTURES = ("img", "image", "picture")
_LABELS = ("label", "labels", "fine_label", "target")
_MOST_STRINGS, _MOST_ITEMS = 1 << 24, 1 << 20  # of the file's own tables
_ROWS, _BATCH_BYTES = 256, 1 << 26  # taken at a time, at most
_FEW, _BYTES_OF_A_ROW = 1 << 16, 16  # rows that any file may have; beyond, the least that a picture takes


def read_parquet(paths: list[Path], input_name: str | None = None) -> Raw:
    """Return the pictures ``[n, c, h, w]`` of files in that order, and their classes.

    Args:
        paths: one file, or the parts of a split.
        input_name: the column of pictures, where it has another name.

    Raises:
        DataError: no such column, or pictures that differ in size.
        FileError: damaged.
        TooLargeError: it expands too far.
        MissingExtra: pyarrow or Pillow is not installed.
    """
    labels: list[Numbers] = []
    files = [_File.opened(path, input_name) for path in paths]
    pictures, lossy = decode_pictures(item for file in files for item in file.contents(labels))
    joined = np.concatenate(labels) if all(file.label for file in files) else None
    return Raw(pictures, joined, (", ".join(path.name for path in paths),), lossy, pictures=True)


def find_parquet(folder: Path, split: str) -> list[Path]:
    """Return the files of a split in order: ``train.parquet``, or its numbered parts."""
    inner = folder / "data"
    entries = (*list_folder(folder), *(list_folder(inner) if inner.is_dir() else ()))
    return sorted(
        path
        for path in entries
        if path.suffix == ".parquet"
        and (path.stem == split or path.stem.startswith((f"{split}-", f"{split}_")))
    )


@dataclass(frozen=True, eq=False)
class _File:
    """An open file.

    Attributes:
        path: of it.
        file: Arrow's.
        picture, label: names of the columns; no label is "".
        leaf: the column of bytes, which is inside the pictures' column where that is a structure.
        rows: to be taken at a time.
    """

    path: Path
    file: Any
    picture: str
    label: str
    leaf: str
    rows: int

    @classmethod
    def opened(cls, path: Path, input_name: str | None) -> "_File":
        """Open a file and check what it would take."""
        arrow, parquet = _arrow()
        content = read_file(path, limit=budget())
        with _ours(path):
            file = parquet.ParquetFile(
                arrow.BufferReader(content),
                thrift_string_size_limit=_MOST_STRINGS,
                thrift_container_size_limit=_MOST_ITEMS,
            )
            schema = file.schema_arrow
            picture = _column(schema.names, (input_name,) if input_name else _PICTURES)
            if picture is None:
                raise DataError(
                    "the file names no pictures",
                    where=str(path),
                    expected=f"a column {input_name or ' or '.join(_PICTURES)}",
                    found=", ".join(schema.names[:8]) or "nothing",
                    remedy="Say which column with an input name.",
                )
            label = _column(schema.names, _LABELS) or ""
            leaf = _leaf(schema.field(picture), arrow, path)
            if label and not arrow.types.is_integer(schema.field(label).type):
                raise _no_classes(path, str(schema.field(label).type))
            largest = _check_pages(content, {leaf, label}, path)
            return cls(path, file, picture, label, leaf, max(1, min(_ROWS, _BATCH_BYTES // max(largest, 1))))

    def contents(self, labels: list[Numbers]) -> Iterator[tuple[str, bytes]]:
        """Yield a name and the bytes of every picture file; append the classes to a list."""
        columns, row = [self.leaf, *([self.label] if self.label else [])], 0
        with _ours(self.path):
            batches = self.file.iter_batches(batch_size=self.rows, columns=columns, use_threads=False)
        while True:
            with _ours(self.path):
                batch = next(batches, None)
                if batch is None:
                    return
                batch.validate(full=True)
                pictures = batch.column(self.picture).to_pylist()
                if self.label:
                    classes = batch.column(self.label)
                    if classes.null_count:
                        raise _no_classes(self.path, f"{classes.null_count} empty")
                    labels.append(np.asarray(classes.to_numpy(zero_copy_only=False)))
            for value in pictures:
                content = value.get("bytes") if isinstance(value, dict) else value
                where = f"{self.path}, row {row}"
                if not isinstance(content, bytes):
                    found = type(content).__name__
                    raise DataError(
                        "a row holds no picture", where=where, expected="the bytes of a file", found=found
                    )
                yield where, content
                row += 1


@contextmanager
def _ours(path: Path) -> Iterator[None]:
    """Let whatever the library raises be an error of ours."""
    try:
        yield
    except LowbitError:
        raise
    except Exception as error:
        raise _damaged(path, str(error)) from error


def _leaf(field: Any, arrow: Any, path: Path) -> str:
    """Return the name of the column of bytes."""
    kind, name = field.type, str(field.name)
    if arrow.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind, name = kind.field("bytes").type, f"{name}.bytes"
    if not (arrow.types.is_binary(kind) or arrow.types.is_large_binary(kind)):
        raise DataError(
            "the column holds no pictures",
            where=f"{path}:{field.name}",
            expected="bytes, or a structure with bytes",
            found=str(field.type)[:80],
        )
    return name


def _check_pages(content: bytes, leaves: set[str], path: Path) -> int:
    """Refuse what expands too far; return the bytes of the largest page of the columns that are read."""
    where, view, total, largest = str(path), memoryview(content), 0, 0
    rows, chunks = read_footer(view, where)
    most = max(_FEW, len(content) // _BYTES_OF_A_ROW)
    if rows > most:
        raise TooLargeError(
            "the file has more rows than pictures could be in it",
            where=where,
            expected=f"at most {most} rows from {len(content)} bytes",
            found=str(rows),
        )
    for chunk in chunks:
        if chunk.column in leaves:
            unpacked, page = unpacked_pages(view, chunk, where)
            total, largest = total + unpacked, max(largest, page)
    check_expansion(total, len(content), where)
    return largest


def _no_classes(path: Path, found: str) -> DataError:
    return DataError("labels are no class numbers", where=str(path), expected="integers", found=found)


def _column(names: list[str], wanted: tuple[str, ...]) -> str | None:
    return next((name for name in wanted if name in names), None)


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise MissingExtra("pyarrow", "data") from error
    return pyarrow, parquet


def _damaged(path: Path, found: str) -> FileError:
    return FileError(
        "this is not a Parquet file, or it is damaged",
        where=str(path),
        expected="columns that can be read",
        found=found[:160],
        remedy="Fetch it again.",
    )
