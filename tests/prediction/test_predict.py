"""Predictions: the same as the network's output, from a picture or a data set; names; what does not fit."""

import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import lowbit
from lowbit import api
from lowbit.data import load
from lowbit.errors import DataError, MissingExtra, PlanError
from lowbit.prediction import Prediction, class_names, draw_prediction, predict, sample_of_data
from lowbit.scores import probabilities, score
from tests.command import Command
from tests.ir.networks import beyond_the_engine, float_convnet, float_mlp

image = pytest.importorskip("PIL.Image")


@pytest.fixture
def command(command: Command) -> Command:
    return partial(command, "predict")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "mlp.circle"
    lowbit.write(float_mlp((64, 33, 10)), path)
    return path


def test_probabilities() -> None:
    shares = np.array([[0.25, 0.75], [1, 0]], np.float32)
    np.testing.assert_array_equal(probabilities(shares), shares)
    logits = np.array([[1000, 1000, 1000 + np.log(2)], [0, 0, 0]], np.float32)
    np.testing.assert_allclose(probabilities(logits), [[0.25, 0.25, 0.5], [1 / 3] * 3], atol=1e-4)
    np.testing.assert_allclose(probabilities(np.log(np.array([[0.1, 0.9]]))), [[0.1, 0.9]])


def test_a_sample_of_a_data_set(model: Path) -> None:
    graph, digits = lowbit.read(model), load("digits", "test")
    found = predict(graph, sample_of_data("digits", 7, graph), against=graph)
    wanted = lowbit.load(graph).run(digits.samples[7:8])[0]
    np.testing.assert_array_equal(found.probabilities, wanted.astype(np.float64))
    np.testing.assert_array_equal(found.float_probabilities, found.probabilities)
    assert digits.labels is not None and found.sample.label == digits.labels[7] and found.backend == "engine"
    assert found.ranked(3)[0] == int(wanted.argmax()) and len(found.ranked(3)) == 3
    np.testing.assert_array_equal(
        found.sample.picture, np.rint(255 * digits.samples[7]).reshape(8, 8).astype(np.uint8)
    )


def test_normalization_is_not_seen_in_the_picture(model: Path) -> None:
    graph = lowbit.read(model)
    plain, moved = (sample_of_data("digits", 3, graph, normalize=each) for each in (None, (0.3, 0.7)))
    np.testing.assert_array_equal(plain.picture, moved.picture)
    np.testing.assert_allclose((plain.values - 0.3) / 0.7, moved.values, rtol=1e-5)


def test_what_the_engine_does_not_run_is_run_by_the_reference() -> None:
    graph = beyond_the_engine(float_mlp((64, 10)))
    samples = load("digits", "test").samples[:3]
    found = score(graph, samples)
    assert found.backend == "reference" and found.why
    np.testing.assert_array_equal(found.values, score(graph, samples, "reference").values)
    with pytest.raises(lowbit.errors.LowbitError):
        score(graph, samples, "engine")
    with pytest.raises(PlanError, match="backend"):
        score(graph, samples, "guess")


def test_a_photograph(model: Path, tmp_path: Path, command: Command) -> None:
    lowbit.write(float_convnet(), tmp_path / "net.onnx")
    pixels = np.random.default_rng(0).integers(0, 256, (50, 40, 3)).astype(np.uint8)
    image.fromarray(pixels).save(tmp_path / "photo.jpg")
    names = tmp_path / "names.txt"
    names.write_text(
        "\n".join(["[red]ape[/red]", "$\\frac$", "<b>bee</b>", "dog"][: classes_of(tmp_path / "net.onnx")])
    )
    chart = tmp_path / "chart.png"
    words = (
        tmp_path / "net.onnx",
        tmp_path / "photo.jpg",
        "--classes",
        names,
        "--against",
        tmp_path / "net.onnx",
    )
    code, out, _ = command(*words, "-o", chart)
    assert code == 0 and "[red]ape[/red]" in out and "%" in out
    with image.open(chart) as drawn:
        assert drawn.format == "PNG" and drawn.size[0] > 600
    found = json.loads(command(*words, "--json")[1])
    assert abs(sum(found["probabilities"]) - 1) < 1e-4 and found["class"] in found["classes"]
    assert found["probabilities"] == found["float_probabilities"]


def test_a_part_of_a_photograph(tmp_path: Path, command: Command) -> None:
    lowbit.write(float_convnet(), tmp_path / "net.onnx")
    pixels = np.random.default_rng(0).integers(0, 256, (50, 40, 3)).astype(np.uint8)
    image.fromarray(pixels).save(tmp_path / "photo.png")
    image.fromarray(pixels[10:34, 5:29]).save(tmp_path / "part.png")
    words = (tmp_path / "net.onnx", tmp_path / "photo.png", "--json", "--crop")
    code, out, _ = command(*words, "5,10,24,24")
    cut = json.loads(command(tmp_path / "net.onnx", tmp_path / "part.png", "--json")[1])
    assert code == 0 and json.loads(out)["probabilities"] == cut["probabilities"]
    code, out, error = command(*words, "5,10,36,24")
    assert code == 4 and "within 40 x 50 pixels" in " ".join((out + error).split())


def classes_of(path: Path) -> int:
    return int(lowbit.read(path).value(lowbit.read(path).outputs[0]).shape[-1])


def test_names_of_classes(tmp_path: Path) -> None:
    assert class_names("cifar10")[3] == "cat" and class_names("fashion")[9] == "ankle boot"
    (tmp_path / "names").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="UTF-8"):
        class_names(str(tmp_path / "names"))


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--data", "digits", "--index", "500"), 4, "0 to 499"),
        ((), 2, "either"),
        (("photo.png", "--data", "digits"), 2, "either"),
        (("photo.png",), 3, "photo.png"),
        (("--data", "digits", "--crop", "0,0,4,4"), 2, "a part is cut"),
        *(
            (("photo.png", "--crop", text), 2, "X,Y,W,H")
            for text in ("", "1,2,3", "1,2,3,4,5", "a,0,1,1", "-1,0,1,1")
        ),
        (("names.txt",), 3, "no picture"),
        (("--data", "digits", "--classes", "names.txt"), 4, "10 names"),
        (("--data", "digits", "-o", "chart.svg"), 2, "png"),
        (("--data", "other.npz"), 4, "do not fit"),
        (("--data", "digits", "--against", "other.onnx"), 4, "other classes"),
    ],
)
def test_what_does_not_fit(
    words: tuple[str, ...],
    code: int,
    says: str,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: Command,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    Path("names.txt").write_text("one\ntwo")
    np.savez("other.npz", x=np.zeros((3, 7), np.float32))
    lowbit.write(float_mlp((64, 12)), "other.onnx")
    found = command(model, *words)
    assert found[0] == code and says in found[1] + found[2]


def test_a_label_that_is_no_class(model: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((3, 64), np.float32), y=np.array([0, 1, 10]))
    graph = lowbit.read(model)
    assert predict(graph, sample_of_data(str(tmp_path / "a.npz"), 1, graph)).sample.label == 1
    with pytest.raises(DataError, match="no class"):
        predict(graph, sample_of_data(str(tmp_path / "a.npz"), 2, graph))
    with pytest.raises(DataError, match="from 0"):
        sample_of_data("digits", -1, graph)
    with pytest.raises(DataError, match="either"):
        api.predict(model)


def test_samples_that_are_no_pictures(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    lowbit.write(float_mlp((7, 3)), tmp_path / "net.onnx")
    np.save(tmp_path / "x.npy", np.zeros((2, 7), np.float32))
    found = api.predict(tmp_path / "net.onnx", data=str(tmp_path / "x.npy"))
    assert isinstance(found, Prediction) and found.sample.picture is None and found.classes == ("0", "1", "2")
    draw_prediction(found, tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


def test_matplotlib_is_named_when_it_is_missing(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtra, match="report"):
        draw_prediction(api.predict(model, data="digits"), tmp_path / "chart.png")
