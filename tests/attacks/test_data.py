"""Data files that try to lead out, to run something, or to take all memory."""

import gzip
import io
import pickle  # noqa: TID251 - to make the attack
import random
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lowbit.data import load, write_one_hdf5
from lowbit.errors import FileError, LowbitError, TooLargeError, UnsafeFileError
from tests.data.test_data import LABELS, PIXELS, idx


def npy_header(shape: str, descr: str = "'<f4'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


class Bomb:
    """Calls out when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return Path.touch, (Path("/tmp/lowbit-was-here"),)  # type: ignore[return-value]  # noqa: S108


def test_pickled_arrays_are_never_unpickled(tmp_path: Path) -> None:
    content = npy_header("(1,)", "'|O'") + pickle.dumps([Bomb()])
    (tmp_path / "a.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", content)
    for name in ("a.npy", "a.npz"):
        with pytest.raises(UnsafeFileError, match="pickled"):
            load(tmp_path / name)
    assert not Path("/tmp/lowbit-was-here").exists()  # noqa: S108


def test_zip_bomb(tmp_path: Path) -> None:
    size = 1 << 28
    archive = zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED)
    with archive, archive.open("x.npy", "w") as member:
        member.write(npy_header(f"({size // 4},)"))
        for _ in range(size >> 20):
            member.write(bytes(1 << 20))
    assert (tmp_path / "a.npz").stat().st_size < 1 << 20
    tracemalloc.start()
    with pytest.raises(TooLargeError, match="expands"):
        load(tmp_path / "a.npz")
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    tracemalloc.stop()


@pytest.mark.parametrize(
    "header",
    [
        npy_header("(1000000000000,)"),
        npy_header("(-5,)"),
        npy_header("(99999999999999999999999,)"),
        npy_header("(2,)", "'<U4'"),
        npy_header("(2,)", "[('a', '<f4')]"),
        npy_header("(2,)", "__import__('os').system('true')"),
        npy_header("(" * 50 + "1" + ")" * 50),
        b"\x93NUMPY\x01\x00\xff\xff",
        b"\x93NUMPY\x09\x00" + bytes(100),
    ],
)
def test_headers_that_lie(header: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(header + bytes(64))
    with pytest.raises(LowbitError):
        load(tmp_path / "a.npy")


def test_a_member_that_lies_about_its_size(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x.npy", npy_header("(4,)") + bytes(16))
    raw = bytearray(buffer.getvalue())
    at = raw.rindex(b"PK\x01\x02") + 24
    raw[at : at + 4] = (2**31).to_bytes(4, "little")
    (tmp_path / "a.npz").write_bytes(raw)
    with pytest.raises(LowbitError):
        load(tmp_path / "a.npz")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0\x08",
        b"\0\0\x08\x03" + bytes(5),
        b"\0\1" + idx(PIXELS)[2:],
        b"\0\0\x07" + idx(PIXELS)[3:],
        b"\0\0\x08\x00",
        b"\0\0\x08\x09" + b"\0\0\0\1" * 9,
        idx(PIXELS)[:-1],
        idx(PIXELS) + b"x",
        gzip.compress(idx(PIXELS), mtime=0)[:-9],
        gzip.compress(idx(PIXELS), mtime=0)[:20] + b"\xff" * 9,
        b"\0\0\x08\x02" + b"\0\0\xff\xff" * 2,
    ],
    ids=range(12),
)
def test_idx_damage(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(FileError):
        load(tmp_path)


def test_idx_shape_bomb(tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"\0\0\x0e\x03" + b"\xff" * 12 + bytes(100))
    with pytest.raises(TooLargeError):
        load(tmp_path)
    claims = b"\0\0\x08\x02" + (1 << 14).to_bytes(4, "big") * 2
    (tmp_path / "train-images-idx3-ubyte").write_bytes(gzip.compress(claims))
    tracemalloc.start()
    with pytest.raises(FileError):
        load(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 22, "a claim alone takes no memory"
    tracemalloc.stop()


def test_gzip_bomb(tmp_path: Path) -> None:
    content = gzip.compress(b"\0\0\x08\x01" + (100).to_bytes(4, "big") + bytes(1 << 26))
    (tmp_path / "train-images-idx1-ubyte.gz").write_bytes(content)
    tracemalloc.start()
    with pytest.raises(FileError, match="more"):
        load(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 22
    tracemalloc.stop()


def test_a_pipe_in_a_folder_does_not_hang(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "train-images-idx3-ubyte")
    with pytest.raises(UnsafeFileError):
        load(tmp_path)


def _file(path: Path) -> Any:
    h5py = pytest.importorskip("h5py")
    return h5py.File(path, "w")


def _other(tmp_path: Path) -> Path:
    other = tmp_path / "secret.h5"
    with _file(other) as file:
        file.create_dataset("value/0/x", data=np.ones((1, 3), np.float32))
    return other


@pytest.mark.parametrize("component", ["value", "value/0", "value/0/x"])
@pytest.mark.parametrize("kind", ["external", "soft"])
def test_links_are_refused_at_every_component(component: str, kind: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    other = _other(tmp_path)
    with _file(tmp_path / "a.h5") as file:
        file.create_dataset("hidden/0/x", data=np.ones((1, 3), np.float32))
        link = (
            h5py.ExternalLink(str(other), component)
            if kind == "external"
            else h5py.SoftLink("/" + component.replace("value", "hidden", 1))
        )
        file[component] = link
    with pytest.raises(UnsafeFileError, match="leads out"):
        load(tmp_path / "a.h5")


def test_external_storage_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(12))
    with _file(tmp_path / "a.h5") as file:
        group = file.create_group("value/0")
        group.create_dataset("x", (1, 3), np.float32, external=[(str(tmp_path / "secret"), 0, 12)])
    with pytest.raises(UnsafeFileError, match="another file"):
        load(tmp_path / "a.h5")


def test_virtual_data_sets_are_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    other = _other(tmp_path)
    with _file(tmp_path / "a.h5") as file:
        layout = h5py.VirtualLayout((1, 3), np.float32)
        layout[:] = h5py.VirtualSource(str(other), "value/0/x", (1, 3))
        file.create_group("value/0").create_virtual_dataset("x", layout)
    with pytest.raises(UnsafeFileError, match="virtual"):
        load(tmp_path / "a.h5")


def test_labels_are_as_hostile(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with _file(tmp_path / "a.h5") as file:
        file.create_dataset("value/0/x", data=np.ones((1, 3), np.float32))
        file["label"] = h5py.ExternalLink(str(_other(tmp_path)), "value/0/x")
    with pytest.raises(UnsafeFileError):
        load(tmp_path / "a.h5")


@pytest.mark.parametrize(
    "options", [{}, {"chunks": (1, 1 << 10)}, {"chunks": (1, 1 << 10), "compression": "gzip"}]
)
def test_hdf5_shape_bomb(options: dict[str, Any], tmp_path: Path) -> None:
    with _file(tmp_path / "a.h5") as file:
        file.create_group("value/0").create_dataset("x", (1, 1 << 34), np.float32, **options)
    with pytest.raises(TooLargeError, match="expands"):
        load(tmp_path / "a.h5")


@pytest.mark.parametrize("what", ["text", "objects", "groups", "nothing", "no records", "empty space"])
def test_hdf5_that_is_not_ours(what: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with _file(tmp_path / "a.h5") as file:
        if what == "text":
            file["value/0/x"] = "words"
        elif what == "objects":
            file.create_dataset("value/0/x", (2,), h5py.ref_dtype)
        elif what == "groups":
            file.create_group("value/0/x")
        elif what == "no records":
            file.create_group("value")
        elif what == "empty space":
            file["value/0/x"] = h5py.Empty("f")
    with pytest.raises(LowbitError) as caught:
        load(tmp_path / "a.h5")
    assert "a.h5" in str(caught.value)


@pytest.mark.parametrize("suffix", [".npz", ".npy", "idx"])
def test_mutations(suffix: str, tmp_path: Path) -> None:
    """HDF5 is left out: its library, in C, is not one that may be fuzzed inside this process."""
    buffer = io.BytesIO()
    if suffix == ".npz":
        np.savez_compressed(buffer, x=PIXELS, y=LABELS)
    elif suffix == ".npy":
        np.save(buffer, PIXELS)
    else:
        buffer.write(gzip.compress(idx(PIXELS)))
    good, generator, refused = buffer.getvalue(), random.Random(7), 0  # noqa: S311
    source = tmp_path if suffix == "idx" else tmp_path / f"a{suffix}"
    target = tmp_path / "train-images-idx3-ubyte.gz" if suffix == "idx" else source
    for _ in range(200):
        content = bytearray(good)
        if generator.random() < 0.3:
            del content[generator.randrange(len(content)) :]
        for _ in range(generator.randint(1, 4)):
            if content:
                content[generator.randrange(len(content))] = generator.randrange(256)
        target.write_bytes(content)
        try:
            load(source)
        except LowbitError:
            refused += 1
    assert refused > 20


def test_hdf5_round_trip_is_not_refused(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    write_one_hdf5(load(np.zeros((3, 1000))), tmp_path / "a.h5")
    assert len(load(tmp_path / "a.h5")) == 3
