"""Parquet with a column of picture files and a column of classes, as public data-set hubs store them.

    img (or image): {bytes, path}, or bytes      a whole PNG or JPEG file in every row
    label (or labels, fine_label, target): int   the class

The structure is parsed by the Arrow library: read a stranger's file in a process of its own. What the file
claims to expand to is checked first.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lowbit.data.dataset import Numbers, Raw
from lowbit.data.pictures import decode_pictures
from lowbit.errors import DataError, FileError, MissingExtra, TooLargeError
from lowbit.untrusted import MAX_BYTES, read_file

SMALL = 1 << 26  # bytes that any file may expand to
MOST_EXPANSION = 200  # times its size, above that

_PICTURES = ("img", "image", "picture")
_LABELS = ("label", "labels", "fine_label", "target")
_MOST_STRINGS, _MOST_ITEMS = 1 << 24, 1 << 20  # of the file's own tables


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
    tables = [_table(path, input_name) for path in paths]
    pictures, lossy = decode_pictures(
        item for path, (column, _) in zip(paths, tables, strict=True) for item in _contents(column, path)
    )
    labels = [labels for _, labels in tables if labels is not None]
    joined = np.concatenate(labels) if len(labels) == len(tables) else None
    return Raw(pictures, joined, (", ".join(path.name for path in paths),), lossy, pictures=True)


def find_parquet(folder: Path, split: str) -> list[Path]:
    """Return the files of a split in order: ``train.parquet``, or its numbered parts."""
    return sorted(
        path
        for path in (*folder.glob("*.parquet"), *folder.glob("data/*.parquet"))
        if path.stem == split or path.stem.startswith((f"{split}-", f"{split}_"))
    )


def _table(path: Path, input_name: str | None) -> tuple[Any, Numbers | None]:
    """Return the column of picture files, and the classes."""
    arrow, parquet = _arrow()
    content = read_file(path)
    try:
        file = parquet.ParquetFile(
            arrow.BufferReader(content),
            thrift_string_size_limit=_MOST_STRINGS,
            thrift_container_size_limit=_MOST_ITEMS,
        )
        _check_size(file.metadata, len(content), path)
        names = file.schema_arrow.names
        picture = _column(names, (input_name,) if input_name else _PICTURES)
        label = _column(names, _LABELS)
        if picture is None:
            raise DataError(
                "the file names no pictures",
                where=str(path),
                expected=f"a column {input_name or ' or '.join(_PICTURES)}",
                found=", ".join(names[:8]) or "nothing",
                remedy="Say which column with an input name.",
            )
        table = file.read(columns=[name for name in (picture, label) if name], use_threads=False)
        table.validate(full=True)
        return table.column(picture), None if label is None else _classes(table.column(label), arrow, path)
    except (arrow.ArrowException, OSError, ValueError, KeyError, TypeError, MemoryError) as error:
        raise _damaged(path, str(error)) from error


def _classes(column: Any, arrow: Any, path: Path) -> Numbers:
    if not arrow.types.is_integer(column.type) or column.null_count:
        found = f"{column.type}, {column.null_count} empty"
        raise DataError("labels are no class numbers", where=str(path), expected="integers", found=found)
    return np.asarray(column.to_numpy())


def _check_size(metadata: Any, size: int, path: Path) -> None:
    claimed = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
    allowed = min(MAX_BYTES, max(SMALL, MOST_EXPANSION * size))
    if not 0 <= claimed <= allowed or metadata.num_rows > allowed:
        raise TooLargeError(
            "the file expands too far",
            where=str(path),
            expected=f"at most {allowed} bytes from {size}",
            found=f"{claimed} bytes, {metadata.num_rows} rows",
        )


def _column(names: list[str], wanted: tuple[str, ...]) -> str | None:
    return next((name for name in wanted if name in names), None)


def _contents(column: Any, path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield a name and the bytes of every picture file."""
    for row, item in enumerate(column):
        value = item.as_py()
        content = value.get("bytes") if isinstance(value, dict) else value
        where = f"{path}, row {row}"
        if not isinstance(content, bytes):
            raise DataError(
                "a row holds no picture",
                where=where,
                expected="the bytes of a file",
                found=type(content).__name__,
            )
        yield where, content


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
