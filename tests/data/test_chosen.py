"""Only what is wanted of a source is read: samples, labels and messages are those of the whole one."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lowbit
from lowbit.data import load
from lowbit.errors import DataError, FileError, NumericError
from lowbit.fidelity import Parts
from lowbit.quantization import Plan, chosen_indices
from tests.ir.networks import float_mlp


def every_third(count: int) -> np.ndarray:
    return np.arange(1, count, 3)


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, object]:
    random = np.random.default_rng(0)
    x, y = random.normal(size=(20, 3, 4)).astype(np.float32), random.integers(0, 5, 20)
    np.save(tmp_path / "one.npy", x)
    np.save(tmp_path / "doubles.npy", x.astype(">f8"))
    np.save(tmp_path / "columns.npy", np.asfortranarray(x))
    np.savez(tmp_path / "one.npz", x=x, y=y)
    return {
        "array": x,
        "pair": (x, y),
        **{path.name: path for path in tmp_path.iterdir()},
        "digits": "digits",
    }


@pytest.mark.parametrize(
    "name", ["array", "pair", "one.npy", "doubles.npy", "columns.npy", "one.npz", "digits"]
)
def test_the_chosen_ones_are_those_of_the_whole(name: str, sources: dict[str, object]) -> None:
    whole, part = (load(sources[name], choose=choose) for choose in (None, every_third))
    assert np.array_equal(part.samples, whole.samples[1::3])
    if whole.labels is not None:
        assert part.labels is not None and np.array_equal(part.labels, whole.labels[1::3])
    assert part.notes == whole.notes


def test_pictures_that_are_not_wanted_are_not_read(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for index in range(9):
        place = tmp_path / "ab"[index % 2]
        place.mkdir(exist_ok=True)
        image.fromarray(np.full((4, 5, 3), index, np.uint8)).save(place / f"{index}.png")
    whole = load(tmp_path)
    (tmp_path / "a" / "0.png").write_bytes(b"damaged")
    found = load(tmp_path, choose=every_third)
    assert np.array_equal(found.samples, whole.samples[1::3])
    assert found.labels is not None and whole.labels is not None
    assert np.array_equal(found.labels, whole.labels[1::3])
    with pytest.raises(FileError, match=r"0\.png"):
        load(tmp_path)


def test_messages_name_the_sample_of_the_source(tmp_path: Path) -> None:
    x = np.zeros((20, 3), np.float32)
    x[7] = np.nan
    np.save(tmp_path / "x.npy", x)
    for source in (x, tmp_path / "x.npy"):
        with pytest.raises(NumericError, match="sample 7 "):
            load(source, choose=every_third)
        assert len(load(source, choose=lambda count: np.arange(7))) == 7


@pytest.mark.parametrize("cut", [1, 5, 100])
def test_a_file_that_is_cut_is_refused(cut: int, sources: dict[str, object]) -> None:
    path = sources["one.npy"]
    assert isinstance(path, Path)
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(FileError, match="damaged"):
        load(path, choose=every_third)
    path.write_bytes(b"\x93NUMPY\1\0")
    with pytest.raises((FileError, DataError)):
        load(path, choose=every_third)


@pytest.mark.parametrize(("count", "most"), [(20, 1024), (300, 1024), (300, 50), (1030, 1024), (3000, 100)])
@pytest.mark.parametrize("check", [None, False])
def test_a_source_that_is_asked_gives_the_same_parts(count: int, most: int, check: bool | None) -> None:
    x, plan = np.arange(count, dtype=np.float32)[:, None], Plan("lq:2", "lq:2", samples=most)
    whole = Parts(plan, check).of(x)
    asked = Parts(plan, check)
    part = asked.of(load(x, choose=asked).samples)
    for one, other in zip(whole, part, strict=True):
        assert np.array_equal(one, other)  # type: ignore[arg-type]
    assert len(part[0]) <= most and asked.count == count  # type: ignore[arg-type]
    if check is False:
        assert np.array_equal(part[0], x[chosen_indices(count, plan)])  # type: ignore[index]


_QUANTIZE = """
import sys
from pathlib import Path
from lowbit.api import quantize_file
from lowbit.plan import Plan

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024

before = peak()
quantize_file(sys.argv[1], sys.argv[3], sys.argv[2], Plan("affine:8", "affine:8", samples=64))
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peaks are read of Linux")
def test_a_large_set_is_never_in_memory(tmp_path: Path) -> None:
    lowbit.write(float_mlp((3 * 64 * 64, 8, 4)), tmp_path / "net.onnx")
    shape = (8192, 3 * 64 * 64)  # 384 MB as float32
    large = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.uint8, shape)
    random = np.random.default_rng(0)
    for start in range(0, len(large), 1024):
        large[start : start + 1024] = random.integers(0, 256, (1024, shape[1]), np.uint8)
    large.flush()
    words = [
        sys.executable,
        "-c",
        _QUANTIZE,
        tmp_path / "net.onnx",
        tmp_path / "x.npy",
        tmp_path / "low.onnx",
    ]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=True)
    assert float(done.stdout) < 150
