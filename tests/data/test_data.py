"""Data sources: the same samples by every way in, and the conventions for numbers."""

import gzip
import sys
from pathlib import Path

import numpy as np
import pytest

from lowbit.data import Dataset, load, write_npz, write_one_hdf5
from lowbit.errors import DataError, FileError, MissingExtra, NumericError, WriteError

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 4, 3)).astype(np.uint8)
LABELS = np.array([3, 1, 0, 2, 2, 9])


def idx(array: np.ndarray, code: int = 0x08) -> bytes:
    lengths = b"".join(length.to_bytes(4, "big") for length in array.shape)
    return bytes([0, 0, code, array.ndim]) + lengths + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    folder = tmp_path / "mnist"
    folder.mkdir()
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(PIXELS)))
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(LABELS.astype(np.uint8))))
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx(PIXELS[:2]))
    return folder


def assert_pixels(dataset: Dataset, count: int = 6) -> None:
    np.testing.assert_array_equal(dataset.samples, PIXELS[:count].astype(np.float32) / 255)
    assert dataset.samples.dtype == np.float32


def test_floats_are_as_they_are_and_normalize_comes_last() -> None:
    x = np.array([[-3.5, 200.0]])
    np.testing.assert_array_equal(load(x).samples, x)
    np.testing.assert_allclose(load(x, normalize=(2.0, 4.0)).samples, (x - 2) / 4)
    np.testing.assert_allclose(
        load(PIXELS, normalize=(0.5, 0.5)).samples, (PIXELS / 255 - 0.5) / 0.5, atol=1e-6
    )
    assert any("mean 0.5" in note for note in load(PIXELS, normalize=(0.5, 0.5)).notes)


def test_idx_folder(mnist: Path) -> None:
    train, test = load(mnist), load(mnist, split="test")
    assert_pixels(train)
    np.testing.assert_array_equal(train.labels, LABELS)
    assert_pixels(test, 2)
    assert test.labels is None


@pytest.mark.parametrize("code,dtype", [(0x09, "i1"), (0x0B, "i2"), (0x0C, "i4"), (0x0D, "f4"), (0x0E, "f8")])
def test_idx_types(code: int, dtype: str, tmp_path: Path) -> None:
    array = np.arange(6).reshape(2, 3).astype(dtype)
    (tmp_path / "train-images-idx2-x").write_bytes(idx(array, code))
    np.testing.assert_array_equal(load(tmp_path, scale=0.5).samples, array / 2)


@pytest.mark.parametrize(
    "names", [("x", "y"), ("images", "labels"), ("data", "target"), ("x_train", "y_train")]
)
def test_npz(names: tuple[str, str], tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez_compressed(path, **dict(zip(names, (PIXELS, LABELS), strict=True)))
    dataset = load(path)
    assert_pixels(dataset)
    np.testing.assert_array_equal(dataset.labels, LABELS)


def test_npz_splits_and_input_name(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, x_train=PIXELS, x_test=PIXELS[:2], y_test=LABELS[:2], other=np.asfortranarray(PIXELS[:3]))
    assert_pixels(load(path))
    assert load(path).labels is None
    assert_pixels(load(path, split="test"), 2)
    assert_pixels(load(path, input_name="other"), 3)
    with pytest.raises(DataError, match="x_train"):
        load(path, input_name="none such")


def test_npy(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", PIXELS)
    assert_pixels(load(tmp_path / "a.npy"))
    np.save(tmp_path / "b.npy", PIXELS.astype(">i2"))
    np.testing.assert_array_equal(load(tmp_path / "b.npy", scale=2).samples, PIXELS.astype(np.float32) * 2)


def test_one_hdf5_both_ways(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "data.h5"
    write_one_hdf5(load((np.tile(PIXELS, (2, 1, 1)), np.tile(LABELS, 2))), path, "0")
    with h5py.File(path) as file:
        record = file["value/11/0"]
        assert record.shape == (1, 4, 3) and record.dtype == np.float32
    dataset = load(path)
    np.testing.assert_array_equal(dataset.samples, np.tile(PIXELS, (2, 1, 1)).astype(np.float32) / 255)
    np.testing.assert_array_equal(dataset.labels, np.tile(LABELS, 2))
    before = path.read_bytes()
    write_one_hdf5(dataset, path, "0")
    assert path.read_bytes() == before


def test_hdf5_of_one_itself(tmp_path: Path) -> None:
    """Ten and more records in number order, rawData, several inputs, no labels."""
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "one.hdf5"
    with h5py.File(path, "w") as file:
        values = file.create_group("value")
        values.attrs["rawData"] = "1"
        for index in range(12):
            values.create_group(str(index)).create_dataset("a", data=np.full((1, 2), index, np.float32))
            values[str(index)].create_dataset("b", data=np.full((2,), -index, np.float32))
    np.testing.assert_array_equal(load(path, input_name="a").samples[:, 0], np.arange(12))
    np.testing.assert_array_equal(load(path, input_name="b").samples[:, 1], -np.arange(12))
    assert load(path, input_name="a").labels is None
    with pytest.raises(DataError, match="not clear"):
        load(path)
    with pytest.raises(DataError, match="no such input"):
        load(path, input_name="c")


def test_hdf5_records_of_different_shapes(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "one.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("value/0/x", data=np.zeros((1, 2), np.float32))
        file.create_dataset("value/1/x", data=np.zeros((1, 3), np.float32))
    with pytest.raises(DataError, match="value/1"):
        load(path)


def test_digits_are_those_that_scikit_learn_carries() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    pixels, classes = datasets.load_digits(return_X_y=True)
    splits = [load("digits", split=split) for split in ("train", "test")]
    ours = [
        (row.tobytes(), label)
        for split in splits
        for row, label in zip(split.samples, split.labels, strict=True)
    ]
    theirs = zip((np.float32(row / 16).tobytes() for row in pixels), classes, strict=True)
    assert sorted(ours) == sorted((row, int(label)) for row, label in theirs)


def test_digits_split_is_fixed() -> None:
    train, test = load("digits"), load("digits", split="test")
    assert (len(train), len(test)) == (1297, 500)
    assert train.samples.shape == (1297, 64) and train.samples.min() == 0 and train.samples.max() == 1
    assert test.labels is not None and test.labels[:8].tolist() == [1, 7, 6, 5, 2, 2, 9, 1]
    assert len({row.tobytes() for row in train.samples} & {row.tobytes() for row in test.samples}) == 0


def test_limit() -> None:
    dataset = load((PIXELS, LABELS), limit=2)
    assert len(dataset) == 2 and dataset.labels is not None and dataset.labels.tolist() == [3, 1]


def test_fit_to() -> None:
    dataset = load(PIXELS)
    assert dataset.fit_to((12,)).samples.shape == (6, 12)
    assert dataset.fit_to((1, 4, 3)).samples.shape == (6, 1, 4, 3)
    assert dataset.fit_to(("h", 3)) is dataset
    with pytest.raises(DataError, match=r"\[n, 13\].*\[n, 4, 3\]"):
        dataset.fit_to((13,))
    with pytest.raises(DataError, match="Transpose"):
        load(np.zeros((2, 8, 8, 3))).fit_to((3, 8, 8))


@pytest.mark.parametrize(
    "source,text",
    [
        (np.zeros((0, 4)), "no samples"),
        (np.zeros((3, 0)), "no samples"),
        (np.float32(1), "no samples"),
        (np.array(["a"]), "no numbers"),
        ((PIXELS, LABELS[:5]), "labels do not match"),
        ((PIXELS, LABELS + 0.5), "no class numbers"),
        ("no such thing", "no data that lowbit knows"),
    ],
)
def test_refused(source: object, text: str) -> None:
    with pytest.raises(DataError, match=text):
        load(source)  # type: ignore[arg-type]


def test_refused_options(mnist: Path) -> None:
    with pytest.raises(DataError, match="split"):
        load(PIXELS, split="all")
    with pytest.raises(DataError, match="limit"):
        load(PIXELS, limit=0)
    for normalize in ((0.0, 0.0), (float("nan"), 1.0), (0.0, -1.0)):
        with pytest.raises(DataError, match="normalization"):
            load(PIXELS, normalize=normalize)
    (mnist / "t10k-images-idx3-ubyte").unlink()
    with pytest.raises(DataError, match="t10k-images"):
        load(mnist, split="test")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_numbered(value: float) -> None:
    samples = np.zeros((5, 3))
    samples[3, 1] = value
    with pytest.raises(NumericError, match="sample 3"):
        load(samples)


def test_several_data_sets_in_one_folder(mnist: Path) -> None:
    (mnist / "emnist-train-images-idx3-ubyte").write_bytes(idx(PIXELS))
    (mnist / "other-train-images-idx3-ubyte").write_bytes(idx(PIXELS))
    with pytest.raises(DataError, match="several"):
        load(mnist)


def test_write_npz(tmp_path: Path) -> None:
    write_npz({"y": PIXELS, "z": LABELS}, tmp_path / "a.npz")
    write_npz({"y": PIXELS, "z": LABELS}, tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz") as read:
        np.testing.assert_array_equal(read["y"], PIXELS)
    with pytest.raises(WriteError):
        write_npz({"y": PIXELS}, tmp_path / "none" / "a.npz")


def test_names_that_hdf5_reads_as_paths(tmp_path: Path) -> None:
    for name in ("", "a/b", "."):
        with pytest.raises(DataError, match="called"):
            write_one_hdf5(load(PIXELS), tmp_path / "a.h5", name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("package,source", [("h5py", "a.h5")])
def test_a_missing_package_is_named(
    package: str, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.chdir(tmp_path)
    Path(source).write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(MissingExtra, match=r"lowbit\[data\]"):
        load(source)


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    for name in ("a.npz", "a.npy", "a.h5"):
        (tmp_path / name).write_bytes(b"something else")
        with pytest.raises(FileError, match="damaged"):
            load(tmp_path / name)


@pytest.mark.parametrize("kind", ["c8", "c16", "U4", "S4", "M8[ns]", "m8[s]", "V4", "f16", [("a", "f4")]])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_whole_files_of_no_numbers_are_not_called_damaged(kind: object, suffix: str, tmp_path: Path) -> None:
    array = np.zeros((3, 2), np.dtype(kind))  # type: ignore[call-overload]
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", x=array)
    with pytest.raises(DataError, match="holds no numbers"):
        load(tmp_path / f"a{suffix}")
