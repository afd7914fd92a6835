"""Folders that cannot be read, at any depth: an error of ours, never fewer samples."""

import os
from pathlib import Path

import numpy as np
import pytest

from lowbit.data import load
from lowbit.errors import FileError, LowbitError
from tests.data.test_data import PIXELS, idx
from tests.fuzz.data_mutations import picture


def write(folder: Path) -> None:
    pytest.importorskip("PIL")
    for split, name in (("train", "cat"), ("train", "dog"), ("test", "cat"), ("test", "dog")):
        (folder / split / name).mkdir(parents=True)
        (folder / split / name / "a.png").write_bytes(picture("PNG"))


@pytest.mark.parametrize("closed", ["", "train", "train/dog", "test/dog"])
def test_pictures_in_folders_that_are_closed(
    closed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who runs the tests may be allowed to read everything, so the system's answer is played."""
    folder, real = tmp_path / "data", os.listdir
    write(folder)
    assert len(load(folder)) == 2

    def listdir(path: str | Path) -> list[str]:
        if Path(path) == folder / closed:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "listdir", listdir)
    with pytest.raises(FileError, match=r"folder cannot be read.*Permission denied"):
        load(folder)


def test_a_file_that_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(PIXELS))
    real = os.open

    def opened(path: str | Path, *words: int, **others: int) -> int:
        if "idx3" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *words, **others)

    monkeypatch.setattr(os, "open", opened)
    with pytest.raises(FileError, match="Permission denied"):
        load(tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_is_closed(tmp_path: Path) -> None:
    write(tmp_path / "data")
    (tmp_path / "data" / "train" / "dog").chmod(0)
    try:
        with pytest.raises(FileError, match="cannot be read"):
            load(tmp_path / "data")
    finally:
        (tmp_path / "data" / "train" / "dog").chmod(0o700)


@pytest.mark.parametrize("name", ["a" * 300, "a" * 5000, "a\0b", "", ".", "a/" * 3000, "none.npz", "none"])
def test_names_that_are_no_data(name: str, tmp_path: Path) -> None:
    for text in (name, f"{tmp_path}/{name}", f"{name}.npz"):
        with pytest.raises(LowbitError):
            load(text)


def test_links_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "train").symlink_to(tmp_path / "train")
    (tmp_path / "a.npz").symlink_to(tmp_path / "a.npz")
    for path in (tmp_path, tmp_path / "train", tmp_path / "a.npz"):
        with pytest.raises(LowbitError):
            load(path)


def test_labels_of_another_count(tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(PIXELS))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(3, np.uint8)))
    with pytest.raises(LowbitError, match="labels do not match"):
        load(tmp_path)
