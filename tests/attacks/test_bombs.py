"""Small files that ask for much memory: refused by name, in a child whose peak is the system's own figure."""

import gzip
import io
import json
import os
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.attacks.test_data import npy_header
from tests.fuzz.data_mutations import picture

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="peak memory is counted as Linux does")

LIMIT = 1 << 26  # LOWBIT_MEMORY of the child
CHILD = """
import json, resource, sys
from lowbit.data import load
from lowbit.errors import LowbitError
import h5py, pyarrow.parquet, PIL.Image
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = peak()
for path in sys.argv[1:]:
    try:
        load(path)
        code, text = "", "read"
    except LowbitError as error:
        code, text = error.code, str(error)
    print(json.dumps({"code": code, "text": text, "taken": peak() - before}))
"""


def idx_header(count: int) -> bytes:
    return b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (count, 32, 32))


def idx_gz(folder: Path) -> Path:
    """256 MB of zeros, all of them there."""
    packed = zlib.compressobj(9, zlib.DEFLATED, 31)
    content = packed.compress(idx_header(1 << 18))
    content += b"".join(packed.compress(bytes(1 << 24)) for _ in range(16)) + packed.flush()
    (folder / "train-images-idx3-ubyte.gz").write_bytes(content)
    return folder


def idx_gz_behind_the_end(folder: Path) -> Path:
    """1.1 MB of zeros, which the budget has room for, and 100 MB behind a header that asks for less."""
    content = gzip.compress(idx_header(1 << 10) + bytes(100 << 20))
    (folder / "train-images-idx3-ubyte.gz").write_bytes(content)
    return folder


def parquet_dictionary(folder: Path) -> Path:
    """One picture of 4 KB, 60,000 times."""
    import pyarrow
    from pyarrow import parquet

    content = picture("BMP", 64)
    indices = pyarrow.array(np.zeros(60_000, np.int32))
    column = pyarrow.DictionaryArray.from_arrays(indices, pyarrow.array([content], pyarrow.binary()))
    parquet.write_table(pyarrow.table({"img": column.cast(pyarrow.binary())}), folder / "a.parquet")
    return folder / "a.parquet"


def parquet_large_dictionary(folder: Path) -> Path:
    """One entry of 10 MB, as no picture is, 40 times."""
    import pyarrow
    from pyarrow import parquet

    entry = picture("BMP", 8) + bytes(10 << 20)
    table = pyarrow.table({"img": pyarrow.array([entry] * 40, pyarrow.binary())})
    parquet.write_table(table, folder / "a.parquet", compression="zstd", dictionary_pagesize_limit=1 << 28)
    return folder / "a.parquet"


def parquet_rows(folder: Path) -> Path:
    """Thirty million rows of nothing."""
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.table({"img": pyarrow.nulls(30_000_000, pyarrow.binary())})
    parquet.write_table(table, folder / "a.parquet")
    return folder / "a.parquet"


def hdf5(shape: tuple[int, ...], folder: Path, **options: object) -> Path:
    import h5py

    with h5py.File(folder / "a.h5", "w") as file:
        file.create_group("value/0").create_dataset("x", shape, np.uint8, **options)
    return folder / "a.h5"


def hdf5_chunk(folder: Path) -> Path:
    """A chunk of 4 KB that unpacks to 256 MB."""
    import h5py

    path = hdf5((1, 4096), folder, chunks=(1, 4096), compression="gzip")
    packed = zlib.compressobj(9)
    content = b"".join(packed.compress(bytes(1 << 24)) for _ in range(16)) + packed.flush()
    with h5py.File(path, "r+") as file:
        file["value/0/x"].id.write_direct_chunk((0, 0), content)
    return path


def npz(compression: int, size: int, folder: Path) -> Path:
    with zipfile.ZipFile(folder / "a.npz", "w", compression) as archive, archive.open("x.npy", "w") as member:
        member.write(npy_header(f"({size},)", "'|u1'"))
        for _ in range(size >> 20):
            member.write(bytes(1 << 20))
    return folder / "a.npz"


def many_pictures(folder: Path) -> Path:
    """One file of 1,200 x 1,200 pixels and many names for it."""
    (folder / "train" / "cat").mkdir(parents=True)
    buffer = io.BytesIO()
    from PIL import Image

    Image.new("RGB", (1200, 1200)).save(buffer, "PNG")
    first = folder / "train" / "cat" / "0.png"
    first.write_bytes(buffer.getvalue())
    for index in range(1, 60):
        (folder / "train" / "cat" / f"{index}.png").hardlink_to(first)
    return folder


BOMBS: dict[str, tuple[Callable[[Path], Path], str, str]] = {
    "idx gz": (idx_gz, "TOO-LARGE", "LOWBIT_MEMORY"),
    "idx gz behind the end": (idx_gz_behind_the_end, "FILE", "more"),
    "parquet dictionary": (parquet_dictionary, "TOO-LARGE", "LOWBIT_MEMORY"),
    "parquet large dictionary": (parquet_large_dictionary, "", ""),
    "parquet rows": (parquet_rows, "TOO-LARGE", "rows"),
    "hdf5 chunk": (hdf5_chunk, "TOO-LARGE", "chunk expands"),
    "hdf5 large chunk": (partial(hdf5, (1, 8), chunks=(1, 1 << 31), maxshape=(1, None)), "TOO-LARGE", ""),
    "hdf5 shape": (partial(hdf5, (1, 1 << 40), chunks=(1, 1 << 20), compression="gzip"), "TOO-LARGE", ""),
    "hdf5 lzf": (partial(hdf5, (1, 8), chunks=(1, 8), compression="lzf", shuffle=True), "", ""),
    "npz deflated": (partial(npz, zipfile.ZIP_DEFLATED, 1 << 28), "TOO-LARGE", "expands"),
    "npz lzma": (partial(npz, zipfile.ZIP_LZMA, 1 << 20), "UNSUPPORTED", "stored or deflated"),
    "npz bzip2": (partial(npz, zipfile.ZIP_BZIP2, 1 << 20), "UNSUPPORTED", "stored or deflated"),
    "npz stored": (partial(npz, zipfile.ZIP_STORED, 1 << 25), "TOO-LARGE", "LOWBIT_MEMORY"),
    "pictures": (many_pictures, "TOO-LARGE", "LOWBIT_MEMORY"),
}


def test_bombs(tmp_path: Path) -> None:
    for package in ("h5py", "pyarrow", "PIL"):
        pytest.importorskip(package)
    paths = []
    for number, (make, _, _) in enumerate(BOMBS.values()):
        (tmp_path / str(number)).mkdir()
        paths.append(str(make(tmp_path / str(number))))
    environment = {**os.environ, "LOWBIT_MEMORY": str(LIMIT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", CHILD, *paths]
    said = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=True)
    for (bomb, (_, code, text)), line in zip(BOMBS.items(), said.stdout.splitlines(), strict=True):
        found = json.loads(line)
        assert found["code"] == code and text in found["text"], (bomb, found)
        assert found["taken"] < LIMIT + (1 << 26), f"{bomb}: {found['taken'] >> 20} MiB"
