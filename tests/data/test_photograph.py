"""Photographs of every kind become what a network takes; what is no picture, or a bomb, is refused."""

import io
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from lowbit.data.photograph import picture_shape, read_photograph, required_picture_shape
from lowbit.errors import DataError, FileError, LowbitError, MissingExtra, TooLargeError
from tests.data.test_pictures import png_that_claims

image = pytest.importorskip("PIL.Image")


def save(path: Path, pixels: npt.NDArray[np.generic], **options: object) -> Path:
    image.fromarray(pixels).save(path, **options)
    return path


def test_the_middle_is_kept(tmp_path: Path) -> None:
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 200
    found = read_photograph(save(tmp_path / "a.png", wide), (3, 8, 8))
    assert found.shape == (3, 8, 8) and found.dtype == np.uint8
    assert (found[:, :, 1:7] > 190).all()  # the filter looks a little beyond
    tall = read_photograph(save(tmp_path / "b.png", wide.transpose(1, 0, 2).copy()), (1, 5, 7))
    assert tall.shape == (1, 5, 7) and tall[0, 2, 3] > 190


def test_a_part_is_that_of_the_upright_photograph(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for suffix, turn in (("png", 1), ("png", 6), ("png", 3)):
        height, width = random.integers(40, 90, 2)
        pixels = random.integers(0, 256, (height, width, 3)).astype(np.uint8)
        picture = image.fromarray(pixels)
        notes = picture.getexif()
        notes[0x0112] = turn
        picture.save(tmp_path / f"a.{suffix}", exif=notes)
        upright = np.rot90(pixels, {1: 0, 6: -1, 3: 2}[turn])
        for _ in range(10):
            left, top = random.integers(0, upright.shape[1] - 8), random.integers(0, upright.shape[0] - 7)
            crop = (int(left), int(top), 8, 7)
            found = read_photograph(tmp_path / f"a.{suffix}", (3, 7, 8), crop=crop)
            np.testing.assert_array_equal(found, upright[top : top + 7, left : left + 8].transpose(2, 0, 1))


def test_a_part_of_a_large_jpeg_is_not_of_a_smaller_one(tmp_path: Path) -> None:
    pixels = np.zeros((800, 800), np.uint8)
    pixels[600:700, 500:600] = 255
    save(tmp_path / "a.jpg", pixels, quality=95)
    assert read_photograph(tmp_path / "a.jpg", (1, 8, 8), crop=(510, 610, 80, 80)).min() > 240
    assert read_photograph(tmp_path / "a.jpg", (1, 8, 8), crop=(0, 0, 400, 400)).max() < 10


OUTSIDE = ((0, 0, 0, 5), (0, 0, 5, 0), (1, 0, 9, 5), (0, 3, 5, 5), (-1, 0, 5, 5), (9**9, 0, 1, 1))


@pytest.mark.parametrize("crop", OUTSIDE)
def test_a_part_is_inside(tmp_path: Path, crop: tuple[int, int, int, int]) -> None:
    save(tmp_path / "a.png", np.zeros((7, 9, 3), np.uint8))
    with pytest.raises(DataError, match="within 9 x 7 pixels"):
        read_photograph(tmp_path / "a.png", (3, 4, 4), crop=crop)


def test_a_picture_of_the_right_size_is_not_touched(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (31, 33, 3)).astype(np.uint8)
    found = read_photograph(save(tmp_path / "a.png", pixels), (3, 31, 33))
    np.testing.assert_array_equal(found, pixels.transpose(2, 0, 1))
    black = read_photograph(tmp_path / "a.png", (3, 31, 33), invert=True)
    np.testing.assert_array_equal(black, 255 - pixels.transpose(2, 0, 1))


def test_transparent_is_white_and_deep_is_eight_bits(tmp_path: Path) -> None:
    clear = np.zeros((4, 4, 4), np.uint8)
    assert (read_photograph(save(tmp_path / "clear.png", clear), (3, 4, 4)) == 255).all()
    deep = np.full((4, 4), 0x8000, np.uint16)
    assert (read_photograph(save(tmp_path / "deep.png", deep), (1, 4, 4)) == 0x80).all()
    palette = image.fromarray(clear).convert("P")
    palette.save(tmp_path / "palette.png", transparency=0)
    assert read_photograph(tmp_path / "palette.png", (3, 4, 4)).shape == (3, 4, 4)


def test_a_camera_that_was_held_upright(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8), np.uint8)
    pixels[0] = 255
    picture = image.fromarray(pixels)
    notes = picture.getexif()
    notes[0x0112] = 3  # upside down
    picture.save(tmp_path / "a.png", exif=notes)
    found = read_photograph(tmp_path / "a.png", (1, 8, 8))
    assert (found[0, 7] == 255).all() and not found[0, 0].any()


@pytest.mark.parametrize("side", [10_000, 60_000, 2**31 - 1])
def test_a_bomb_takes_no_memory(side: int, tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(png_that_claims(side, side))
    tracemalloc.start()
    with pytest.raises((TooLargeError, FileError), match=r"bomb\.png"):
        read_photograph(tmp_path / "bomb.png", (3, 8, 8))
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    tracemalloc.stop()


@pytest.mark.parametrize(
    "content", [b"", b"<svg onload='alert(1)'/>", b"\x89PNG\r\n\x1a\n", b"GIF89a" + bytes(40)]
)
def test_no_picture(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(FileError, match=r"a\.png.*(no picture|empty)"):
        read_photograph(tmp_path / "a.png", (3, 8, 8))


def test_mutated_photographs_are_read_or_refused(tmp_path: Path) -> None:
    generator, path = np.random.default_rng(3), tmp_path / "mutated"
    pixels = generator.integers(0, 256, (40, 50, 3)).astype(np.uint8)
    for kind in ("PNG", "JPEG", "BMP", "PPM"):
        buffer = io.BytesIO()
        image.fromarray(pixels).save(buffer, kind)
        for _ in range(40):
            content = bytearray(buffer.getvalue())
            for at in generator.integers(0, len(content), generator.integers(1, 6)):
                content[at] = generator.integers(256)
            path.write_bytes(content)
            try:
                assert read_photograph(path, (3, 8, 8)).shape == (3, 8, 8)
            except LowbitError as error:
                assert "mutated" in str(error)


def test_shapes() -> None:
    assert picture_shape((3, 32, 32)) == (3, 32, 32) and picture_shape((28, 27)) == (1, 28, 27)
    assert picture_shape((784,)) == (1, 28, 28) and picture_shape((3072,)) == (3, 32, 32)
    assert picture_shape((783,)) is picture_shape((2, 8, 8)) is picture_shape(("n", 8, 8)) is None
    with pytest.raises(DataError, match="no pictures"):
        required_picture_shape((7,), "net")


def test_pillow_is_named_when_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "a.png", np.zeros((4, 4), np.uint8))
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtra, match="data"):
        read_photograph(tmp_path / "a.png", (1, 4, 4))
