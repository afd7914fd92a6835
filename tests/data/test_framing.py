"""Pictures of any size become the size that a network takes."""

from pathlib import Path

import numpy as np
import pytest

import lowbit
from lowbit.data import Framing, asked_framing, load, remember_framing, remembered_framing
from lowbit.data.dataset import Raw
from lowbit.data.framing import framed
from lowbit.errors import DataError, ModelFormatError
from lowbit.ir import Graph, Node, Value, infer

Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for index in range(12):
        size = tuple(random.integers(20, 60, 2))
        pixels = random.integers(0, 256, (*size, 3)).astype(np.uint8)
        place = tmp_path / "pictures" / "test" / "ab"[index % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / f"{index:02d}.png")
    return tmp_path / "pictures"


def network() -> Graph:
    graph = Graph("net", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 3, 16, 12))})
    graph.add_constant("w", np.random.default_rng(0).normal(size=(2, 3, 16, 12)))
    graph.nodes = [
        Node("Conv", ("x", "w"), ("c",), {}, "conv"),
        Node("Flatten", ("c",), ("y",), {}, "flatten"),
    ]
    infer(graph)
    return graph


def test_pictures_of_any_size_become_one(folder: Path) -> None:
    found = load(folder, "test", framing=Framing.of("18", "16x12"))
    assert found.samples.shape == (12, 3, 16, 12)
    image = Image.open(folder / "test" / "a" / "00.png")
    short = min(image.size)
    scaled = image.resize(tuple(18 * side // short for side in image.size), Image.Resampling.BILINEAR)
    left, top = round((scaled.width - 12) / 2), round((scaled.height - 16) / 2)
    wanted = np.asarray(scaled.crop((left, top, left + 12, top + 16)), np.float32) / np.float32(255)
    assert np.array_equal(found.samples[0], wanted.transpose(2, 0, 1))
    assert "resize=18 crop=16x12" in found.notes


def test_without_a_size_they_are_refused_with_what_to_do(folder: Path) -> None:
    with pytest.raises(DataError, match=r"differ in size.*--resize 256 --crop 224"):
        load(folder, "test")
    with pytest.raises(DataError, match=r"smaller than what is to be cropped.*--resize"):
        load(folder, "test", framing=Framing.of(None, "200"))


def test_a_quantized_file_remembers(folder: Path, tmp_path: Path) -> None:
    lowbit.write(network(), tmp_path / "net.onnx")
    plan, framing = lowbit.Plan("affine:8", "affine:8"), Framing.of("16x12", None)
    from lowbit.api import quantize_file

    quantize_file(
        tmp_path / "net.onnx",
        tmp_path / "low.onnx",
        str(folder),
        plan,
        split="test",
        framing=framing,
        check=False,
    )
    found = lowbit.evaluate(tmp_path / "low.onnx", str(folder))
    assert found["samples"] == 12
    assert "resize=16x12 crop=none" in found["notes"]


@pytest.mark.parametrize("framing", [Framing((256,), (224, 224)), Framing((8, 9)), Framing((), (5, 5))])
def test_what_is_remembered_is_what_was_said(framing: Framing) -> None:
    graph = network()
    remember_framing(graph, framing)
    assert remembered_framing(graph) == framing


@pytest.mark.parametrize("text", ["", "resize=0 crop=1", "resize=none crop=none", "resize=1x2x3 crop=none"])
def test_notes_of_others_are_refused(text: str) -> None:
    graph = network()
    graph.metadata["pictures"] = text
    with pytest.raises(ModelFormatError, match="--resize, --crop"):
        remembered_framing(graph)


@pytest.mark.parametrize("words", [("0", None), ("a", None), (None, "-1"), ("99999", None), ("1x", None)])
def test_what_is_no_size_is_refused(words: tuple[str | None, str | None]) -> None:
    with pytest.raises(DataError, match="256x320"):
        Framing.of(*words)


@pytest.mark.parametrize("channels", [1, 3])
def test_arrays_of_pictures_are_framed_and_others_refused(channels: int) -> None:
    bytes_of = np.random.default_rng(0).integers(0, 256, (4, channels, 8, 10)).astype(np.uint8)
    found = framed(Raw(bytes_of, pictures=True), Framing.of(None, "6x5"), "made")
    assert np.array_equal(found.samples, bytes_of[:, :, 1:7, 2:7])
    with pytest.raises(DataError, match="only pictures"):
        load(np.zeros((3, 3, 8, 8), np.float32), framing=Framing.of("6", None))


def test_a_photograph_is_framed_as_its_network_remembers(tmp_path: Path) -> None:
    from lowbit.prediction import sample_of_picture

    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "one.png")
    graph = network()
    framing = Framing.of("20", "16x12")
    assert framing is not None
    remember_framing(graph, framing)
    found = sample_of_picture(tmp_path / "one.png", graph).values[0]
    wanted = np.asarray(framing.applied(Image.fromarray(pixels), ""), np.float32).transpose(2, 0, 1) / 255
    assert np.allclose(found, wanted, atol=1e-7)
    with asked_framing(Framing.of("16x12", None)):
        squeezed = sample_of_picture(tmp_path / "one.png", graph).values[0]
    assert not np.array_equal(squeezed, found)
    with asked_framing(Framing.of("20", None)), pytest.raises(DataError, match=r"--crop 16x12"):
        sample_of_picture(tmp_path / "one.png", graph)


def test_what_is_asked_for_around_holds_inside_alone(folder: Path) -> None:
    with asked_framing(Framing.of("16x12", None)):
        assert load(folder, "test").samples.shape == (12, 3, 16, 12)
        with asked_framing(None):
            assert load(folder, "test").samples.shape == (12, 3, 16, 12)
        assert load(folder, "test", framing=Framing.of("9x9", None)).samples.shape == (12, 3, 9, 9)
    with pytest.raises(DataError, match="differ in size"):
        load(folder, "test")
