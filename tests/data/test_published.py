"""Data sets by name: where they are found, what says that they are exact, and how to get them."""

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from lowbit.data import fetch, load, published
from lowbit.data.published import Published
from lowbit.errors import DataError, FileError, LowbitError, WriteError
from tests.data.cifar10_files import CLASSES, PIXELS, batch, records
from tests.data.test_data import LABELS, idx
from tests.data.test_data import PIXELS as MAPS

FILES = {
    "train": {"train-images-idx3-ubyte": idx(MAPS), "train-labels-idx1-ubyte": idx(LABELS.astype(np.uint8))},
    "test": {
        "t10k-images-idx3-ubyte": idx(MAPS[:2]),
        "t10k-labels-idx1-ubyte": idx(LABELS[:2].astype(np.uint8)),
    },
}


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def small(files: dict[str, dict[str, bytes]], folders: tuple[str, ...], counts: dict[str, int]) -> Published:
    sums = {split: {name: md5(content) for name, content in each.items()} for split, each in files.items()}
    return Published("Small", folders, counts, sums)


@pytest.fixture(autouse=True)
def small_sets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Both names mean data sets of these tests, and nobody's folders are searched."""
    batches = {"train": {"data_batch_1": batch()}, "test": {"test_batch": batch(PIXELS[:2], CLASSES[:2])}}
    counts = {"train": 7, "test": 2}
    monkeypatch.setitem(
        published.PUBLISHED, "mnist", small(FILES, ("mnist", "MNIST/raw"), {"train": 6, "test": 2})
    )
    monkeypatch.setitem(published.PUBLISHED, "cifar10", small(batches, ("cifar-bin", "cifar10"), counts))
    monkeypatch.setattr(published, "DEBIAN", tmp_path / "system")
    monkeypatch.delenv(published.VARIABLE, raising=False)


def write(folder: Path, packed: bool = True) -> Path:
    folder.mkdir(parents=True)
    for each in FILES.values():
        for name, content in each.items():
            if packed:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name.replace("-idx", ".idx")).write_bytes(content)
    return folder


@pytest.mark.parametrize("packed", [True, False])
def test_the_published_files_are_exact(packed: bool, tmp_path: Path) -> None:
    folder = write(tmp_path / "mnist", packed)
    for place in (folder, tmp_path):
        found = load("mnist", folder=place)
        np.testing.assert_array_equal(found.samples, MAPS.astype(np.float32) / 255)
        assert found.exactness == "exact" and found.name == "mnist"
    assert load(folder).exactness == ""  # by its path nothing is compared


def test_the_usual_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"Small is not here.*mnist or MNIST/raw.*LOWBIT_DATA"):
        load("mnist")
    write(tmp_path / "system" / "MNIST" / "raw")
    assert len(load("mnist", "test")) == 2
    write(tmp_path / "mine" / "mnist")
    monkeypatch.setenv(published.VARIABLE, f"{tmp_path / 'none'}:{tmp_path / 'mine'}")
    assert published.find_published("mnist") == tmp_path / "mine" / "mnist"
    with pytest.raises(DataError, match="absent"):
        load("mnist", folder=tmp_path / "absent")


def test_a_folder_of_other_data_sets_is_not_taken_for_one(tmp_path: Path) -> None:
    write(tmp_path / "system" / "mnist")
    (tmp_path / "some" / "small-images").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        other = replace(published.PUBLISHED["mnist"], folders=("small-images",))
        patch.setitem(published.PUBLISHED, "other", other)
        assert published.find_published("mnist", tmp_path / "some") == tmp_path / "system" / "mnist"
        assert published.find_published("other", tmp_path / "some") == tmp_path / "some" / "small-images"
        (tmp_path / "system" / "mnist").rename(tmp_path / "gone")
        with pytest.raises(DataError, match=r"some.*system"):
            published.find_published("mnist", tmp_path / "some")


def test_another_file_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "mnist")
    other = idx(MAPS ^ 1)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(other))
    with pytest.raises(FileError, match=rf"train-images-idx3-ubyte\.gz.*{md5(other)}.*Fetch it again"):
        load("mnist", folder=folder)
    assert load("mnist", "test", folder=folder).exactness == "exact"
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(MAPS[:3])))
    with pytest.raises(LowbitError):
        load("mnist", folder=folder)


def test_a_part_that_is_missing(tmp_path: Path) -> None:
    (tmp_path / "data_batch_1.bin").write_bytes(records(PIXELS[:4], CLASSES[:4]))
    with pytest.raises(FileError, match="7 samples in the split train; found 4"):
        load("cifar10", folder=tmp_path)


def test_batches_have_checksums_and_records_have_none(tmp_path: Path) -> None:
    (tmp_path / "data_batch_1").write_bytes(batch())
    assert load("cifar10", folder=tmp_path).exactness == "exact"
    (tmp_path / "data_batch_1").write_bytes(batch(PIXELS ^ 1))
    with pytest.raises(FileError, match="data_batch_1"):
        load("cifar10", folder=tmp_path)
    (tmp_path / "data_batch_1").unlink()
    (tmp_path / "data_batch_1.bin").write_bytes(records())
    assert load("cifar10", folder=tmp_path).exactness == ""


class Quiet(SimpleHTTPRequestHandler):
    """A server that writes nothing."""

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    folder = tmp_path / "served"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


def test_fetched_files_are_found_by_name(served: tuple[Path, str], tmp_path: Path) -> None:
    folder, address = served
    write(folder / "files")
    assert fetch("mnist", f"{address}files", tmp_path / "to") == tmp_path / "to" / "mnist"
    assert load("mnist", folder=tmp_path / "to").exactness == "exact"


def test_a_wrong_file_is_not_kept(served: tuple[Path, str], tmp_path: Path) -> None:
    folder, address = served
    write(folder / "files")
    (folder / "files" / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"other"))
    with pytest.raises(FileError, match="t10k-images"):
        fetch("mnist", f"{address}files", tmp_path / "to")
    assert sorted(path.name for path in (tmp_path / "to" / "mnist").iterdir()) == [
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
    ]


def tar(names: list[str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name in names:
            content = records(PIXELS[:2], CLASSES[:2]) if "test" in name else records()
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("data_batch_2.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return buffer.getvalue()


def test_of_an_archive_only_the_pictures_are_kept(
    served: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address = served
    content = tar(["a/data_batch_1.bin", "a/test_batch.bin", "../../evil.bin", "a/readme.html"])
    (folder / "cifar-10-binary.tar.gz").write_bytes(content)
    with pytest.raises(FileError, match="archive"):
        fetch("cifar10", address, tmp_path / "to")
    monkeypatch.setattr("lowbit.data.download._ARCHIVE_CHECKSUM", md5(content))
    fetched = fetch("cifar10", address, tmp_path / "to")
    assert sorted(path.name for path in fetched.iterdir()) == ["data_batch_1.bin", "test_batch.bin"]
    np.testing.assert_array_equal(load("cifar10", folder=tmp_path / "to").labels, CLASSES)
    assert not list(tmp_path.rglob("evil.bin"))


def test_what_cannot_be_fetched(served: tuple[Path, str], tmp_path: Path) -> None:
    _, address = served
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz.*404"):
        fetch("mnist", address, tmp_path)
    for wrong in ("file:///etc", "ftp://127.0.0.1/", "somewhere"):
        with pytest.raises(DataError, match="http"):
            fetch("mnist", wrong, tmp_path)
    with pytest.raises(DataError, match="mnist"):
        fetch("digits", address, tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WriteError):
        fetch("mnist", address, tmp_path / "file")


def test_too_much_is_refused(
    served: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address = served
    write(folder / "files")
    monkeypatch.setattr("lowbit.data.download.MOST_BYTES", 20)
    with pytest.raises(FileError, match="at most 20 bytes"):
        fetch("mnist", f"{address}files", tmp_path)
