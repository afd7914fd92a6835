"""Folders of pictures as people have them: splits, colours, classes by name, and what cannot be read."""

import json
from pathlib import Path

import numpy as np
import pytest

from lowbit.data import Framing, empty_classes, load, remember_class_names, remembered_class_names, splits_of
from lowbit.errors import DataError, FileError
from lowbit.ir import Graph

Image = pytest.importorskip("PIL.Image")

MODES = ("L", "RGB", "RGBA", "P", "LA", "1")


def write(
    root: Path, names: list[str], sizes: tuple[int, ...] = (6,), modes: tuple[str, ...] = ("L",)
) -> Path:
    """Write pictures of these names, sizes and modes in turn."""
    random = np.random.default_rng(0)
    for index, name in enumerate(names):
        side = sizes[index % len(sizes)]
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(random.integers(0, 256, (side, side, 3)).astype(np.uint8))
        picture.convert(modes[index % len(modes)]).save(path)
    return root


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (("train", "val", "test"), ("train", "validation", "test")),
        (("train", "validation"), ("train", "validation")),
        (("train", "val"), ("train", "validation")),
        (("train", "test"), ("train", "test")),
        (("",), ()),
    ],
)
def test_splits_are_folders(tmp_path: Path, folders: tuple[str, ...], splits: tuple[str, ...]) -> None:
    write(
        tmp_path,
        [f"{folder or '.'}/{name}/{index}.png" for folder in folders for name in "ab" for index in range(2)],
    )
    (tmp_path / folders[0] / ".cache").mkdir()
    write(tmp_path / folders[0] / ".cache", ["0.png"])
    assert splits_of(tmp_path) == splits
    for split in splits:
        found = load(tmp_path, split)
        assert len(found) == 4 and found.classes == ("a", "b")
    if "validation" not in splits:
        with pytest.raises(DataError, match="no samples for validation"):
            load(tmp_path, "validation")


def test_arrays_of_a_file_are_splits_too(tmp_path: Path) -> None:
    x = np.zeros((4, 3), np.float32)
    np.savez(
        tmp_path / "a.npz",
        x_train=x,
        x_val=x[:2],
        x_test=x[:1],
        y_train=[0, 1, 0, 1],
        y_val=[0, 1],
        y_test=[0],
    )
    assert splits_of(tmp_path / "a.npz") == ("train", "validation", "test")
    assert [len(load(tmp_path / "a.npz", split)) for split in splits_of(tmp_path / "a.npz")] == [4, 2, 1]
    np.savez(tmp_path / "b.npz", x=x, y=[0, 1, 0, 1])
    assert splits_of(tmp_path / "b.npz") == ()


@pytest.mark.parametrize("colours", ["grey", "rgb"])
def test_pictures_of_every_mode_become_one(tmp_path: Path, colours: str) -> None:
    write(tmp_path, [f"a/{mode}.png" for mode in MODES], modes=MODES)
    framing = Framing.of(None, None, colours)
    found = load(tmp_path, framing=framing).samples
    assert found.shape == (len(MODES), {"grey": 1, "rgb": 3}[colours], 6, 6)
    mode = {"grey": "L", "rgb": "RGB"}[colours]
    wanted = np.asarray(Image.open(tmp_path / "a/RGB.png").convert(mode), np.float32) / np.float32(255)
    place = sorted(MODES).index("RGB")
    assert np.array_equal(found[place], wanted.reshape(6, 6, -1).transpose(2, 0, 1))
    with pytest.raises(DataError, match="grey or rgb"):
        Framing.of(None, None, "blue")


def test_all_pictures_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    write(tmp_path, [f"{name}/{index}.png" for name in "ab" for index in range(6)])
    for name in ("a/1.png", "a/3.png", "b/2.png"):
        (tmp_path / name).write_bytes(b"no picture")
    write(tmp_path, ["b/5.png"], sizes=(9,))
    with pytest.raises(FileError) as found:
        load(tmp_path)
    text = str(found.value)
    assert (
        "4 of 12 pictures cannot be used" in text and "3: this is no picture" in text and "<_io" not in text
    )
    assert all(name in text for name in ("a/1.png", "a/3.png", "b/2.png", "b/5.png")) and "--resize" in text


def test_a_side_alone_does_not_make_one_size_of_several(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    for index, size in enumerate(((6, 8), (6, 12), (6, 9))):
        (tmp_path / "a").mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 256, size).astype(np.uint8)).save(tmp_path / f"a/{index}.png")
    with pytest.raises(DataError, match=r"2 of 3 pictures cannot be used.*differ in size.*--crop"):
        load(tmp_path, framing=Framing.of("6", None))
    assert load(tmp_path, framing=Framing.of("6", "6")).samples.shape == (3, 1, 6, 6)


def test_a_class_without_pictures_is_found(tmp_path: Path) -> None:
    write(tmp_path, ["train/a/0.png", "train/b/0.png", "test/c/0.png"])
    assert empty_classes(tmp_path) == []
    (tmp_path / "train/d").mkdir()
    (tmp_path / "train/d/notes.txt").write_text("none")
    assert empty_classes(tmp_path) == ["d"]


def test_labels_follow_the_names_that_a_network_has(tmp_path: Path) -> None:
    write(tmp_path, ["b/0.png", "d/0.png", "d/1.png"])
    data = load(tmp_path)
    assert data.labels is not None and data.labels.tolist() == [0, 1, 1]
    found = data.numbered_as(("a", "b", "c", "d"))
    assert found.labels is not None and found.labels.tolist() == [1, 3, 3]
    assert data.numbered_as(()) is data
    with pytest.raises(DataError, match=r"other classes than the network; expected of a, b; found d"):
        data.numbered_as(("a", "b"))


@pytest.mark.parametrize("text", ["[1]", '["a", "a"]', "ape,bee", "{}", "[" * 2000])
def test_a_note_of_somebody_else_is_no_list_of_names(text: str) -> None:
    graph = Graph("net", ("x",), ("x",))
    graph.metadata["class_names"] = text
    assert remembered_class_names(graph) == ()
    remember_class_names(graph, ("ä", "b"))
    assert remembered_class_names(graph) == ("ä", "b") and json.loads(graph.metadata["class_names"]) == [
        "ä",
        "b",
    ]
