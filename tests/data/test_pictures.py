"""Picture files: in Parquet and in folders; lossy ones say so; sizes, colours and bombs."""

import io
import random
import struct
import sys
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from lowbit.data import load
from lowbit.data.pictures import decode_pictures
from lowbit.errors import DataError, FileError, LowbitError, MissingExtra, TooLargeError
from tests.fuzz.test_onnx_mutations import mutate

image = pytest.importorskip("PIL.Image")
arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

COLOUR = np.random.default_rng(5).integers(0, 256, (5, 6, 7, 3)).astype(np.uint8)  # n h w c
GREY = COLOUR[..., 0]
CLASSES = [3, 0, 2, 2, 9]


def encoded(pixels: npt.NDArray[np.uint8], kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def write_parquet(path: Path, files: list[bytes], labels: object = None, column: str = "img") -> None:
    rows = [{"bytes": content, "path": f"{index}.png"} for index, content in enumerate(files)]
    table = {column: rows} | ({} if labels is None else {"label": labels})
    parquet.write_table(arrow.table(table), path)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "PPM"])
def test_parquet_of_exact_pictures(kind: str, tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", [encoded(one, kind) for one in COLOUR], CLASSES)
    for source in (tmp_path, tmp_path / "train.parquet"):
        found = load(source)
        np.testing.assert_array_equal(found.samples, COLOUR.transpose(0, 3, 1, 2).astype(np.float32) / 255)
        np.testing.assert_array_equal(found.labels, CLASSES)
        assert found.exactness == ""


@pytest.mark.parametrize("quality", [1, 75, 90, 100])
def test_jpeg_says_its_quality(quality: int, tmp_path: Path) -> None:
    files = [encoded(one, "JPEG", quality=quality) for one in COLOUR]
    write_parquet(tmp_path / "test.parquet", files, CLASSES)
    assert load(tmp_path, "test").exactness == f"JPEG q{quality}"
    assert decode_pictures([("a", files[0]), ("b", encoded(COLOUR[1], "JPEG", quality=42))])[1] == "JPEG"
    assert decode_pictures([("a", encoded(COLOUR[0])), ("b", files[1])])[1] == f"JPEG q{quality}"


def test_jpeg_is_what_pillow_decodes() -> None:
    content = encoded(COLOUR[0], "JPEG", quality=75)
    wanted = np.asarray(image.open(io.BytesIO(content))).transpose(2, 0, 1)
    np.testing.assert_array_equal(decode_pictures([("a", content)])[0][0], wanted)


def test_parts_of_a_split_in_order(tmp_path: Path) -> None:
    files = [encoded(one) for one in GREY]
    (tmp_path / "data").mkdir()
    write_parquet(tmp_path / "data" / "train-00001-of-00002.parquet", files[3:], CLASSES[3:], "image")
    write_parquet(tmp_path / "data" / "train-00000-of-00002.parquet", files[:3], CLASSES[:3], "image")
    found = load(tmp_path)
    np.testing.assert_array_equal(found.samples[:, 0], GREY.astype(np.float32) / 255)
    np.testing.assert_array_equal(found.labels, CLASSES)


def test_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(arrow.table({"photo": [encoded(one) for one in GREY]}), path)
    with pytest.raises(DataError, match="photo"):
        load(path)
    assert load(path, input_name="photo").labels is None
    write_parquet(path, [encoded(GREY[0])], [0.5])
    with pytest.raises(DataError, match="class numbers"):
        load(path)
    write_parquet(path, [encoded(GREY[0])], arrow.array([None], arrow.int64()))
    with pytest.raises(DataError, match="class numbers"):
        load(path)
    parquet.write_table(arrow.table({"img": arrow.array([None], arrow.binary())}), path)
    with pytest.raises(DataError, match="row 0"):
        load(path)


def test_a_damaged_picture_is_named_by_its_row(tmp_path: Path) -> None:
    files = [encoded(one) for one in COLOUR]
    files[3] = files[3][:40]
    write_parquet(tmp_path / "train.parquet", files)
    with pytest.raises(FileError, match=r"train\.parquet, row 3.*damaged"):
        load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1", b"something else"])
def test_damaged_parquet(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "train.parquet").write_bytes(content)
    with pytest.raises(FileError, match=r"train\.parquet.*damaged"):
        load(tmp_path)


def test_parquet_that_expands_too_far(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    rows = arrow.array([bytes(1 << 20)] * 80, arrow.binary())
    parquet.write_table(arrow.table({"img": rows}), path, use_dictionary=False, compression="zstd")
    assert path.stat().st_size < 1 << 18
    with pytest.raises(TooLargeError, match="expands"):
        load(tmp_path)


def write_folder(root: Path) -> None:
    for split, names in (("train", ("ape", "bee", "cat")), ("test", ("ape", "cat"))):
        for index, name in enumerate(names):
            (root / split / name).mkdir(parents=True)
            (root / split / name / f"{index}.png").write_bytes(encoded(COLOUR[index]))


def test_folders_of_classes(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "train" / "ape" / "notes.txt").write_text("no picture")
    train, test = load(tmp_path), load(tmp_path, "test")
    np.testing.assert_array_equal(train.labels, [0, 1, 2])
    np.testing.assert_array_equal(test.labels, [0, 2])  # a class that one split lacks moves no number
    np.testing.assert_array_equal(train.samples, COLOUR[:3].transpose(0, 3, 1, 2).astype(np.float32) / 255)
    assert train.classes == test.classes == ("ape", "bee", "cat")
    assert load(tmp_path / "train").labels is not None  # without splits
    with pytest.raises(DataError, match="of this split"):
        (tmp_path / "test").rename(tmp_path / "val")
        (tmp_path / "train").rename(tmp_path / "first")
        load(tmp_path)


def test_another_size_or_colour_names_the_file(tmp_path: Path) -> None:
    write_folder(tmp_path)
    odd = tmp_path / "train" / "bee" / "odd.png"
    odd.write_bytes(encoded(COLOUR[0][:-1]))
    with pytest.raises(DataError, match=r"odd\.png.*\(3, 6, 7\).*\(3, 5, 7\)"):
        load(tmp_path)
    odd.write_bytes(encoded(GREY[0]))
    with pytest.raises(DataError, match=r"odd\.png.*\(1, 6, 7\)"):
        load(tmp_path)
    odd.write_bytes(encoded(np.dstack([COLOUR[0], GREY[0]])))
    with pytest.raises(DataError, match=r"odd\.png.*RGBA.*Convert"):
        load(tmp_path)
    odd.write_bytes(encoded(COLOUR[0], "GIF"))
    with pytest.raises(FileError, match=r"odd\.png.*PNG"):
        load(tmp_path)


def test_no_pictures() -> None:
    with pytest.raises(DataError, match="no pictures"):
        decode_pictures([])


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1 << 20))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [5_000, 12_000, 60_000, 2**31 - 1])
def test_a_bomb_takes_no_memory(side: int) -> None:
    tracemalloc.start()
    with pytest.raises((TooLargeError, FileError)):
        decode_pictures([("bomb", png_that_claims(side, side))])
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    tracemalloc.stop()


def test_many_pictures_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOWBIT_MEMORY", str(4 * 5 * COLOUR[0].size))  # a byte, and four as float32
    assert len(decode_pictures([("a", encoded(COLOUR[0]))] * 4)[0]) == 4
    with pytest.raises(TooLargeError, match="LOWBIT_MEMORY"):
        decode_pictures([("a", encoded(COLOUR[0]))] * 5)


def test_mutated_pictures_are_read_or_refused() -> None:
    generator = np.random.default_rng(11)
    for kind in ("PNG", "JPEG", "BMP", "PPM"):
        good = encoded(COLOUR[0], kind)
        for _ in range(60):
            content = bytearray(good)
            for at in generator.integers(0, len(good), generator.integers(1, 6)):
                content[at] = generator.integers(256)
            try:
                assert decode_pictures([("mutated", bytes(content))])[0].ndim == 4
            except LowbitError as error:
                assert "mutated" in str(error)


def test_mutated_parquet_is_read_or_refused(tmp_path: Path) -> None:
    path, generator, refused = tmp_path / "train.parquet", random.Random(5), 0  # noqa: S311
    write_parquet(path, [encoded(one) for one in COLOUR], CLASSES)
    good = path.read_bytes()
    for _ in range(300):
        path.write_bytes(mutate(good, generator))
        try:
            load(path)
        except LowbitError as error:
            assert str(path) in str(error)
            refused += 1
    assert 0 < refused < 300


@pytest.mark.parametrize(("package", "found"), [("pyarrow", "pyarrow"), ("PIL", "pillow")])
def test_a_missing_package_is_named(
    package: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_parquet(tmp_path / "train.parquet", [encoded(COLOUR[0])])
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=found):
        load(tmp_path)
