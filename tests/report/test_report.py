"""Reports: figures are those of the other commands, every name stays a name, and bad input is told."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lowbit
from lowbit import api
from lowbit.cli import app, guarded
from lowbit.data import Dataset, load
from lowbit.errors import DataError, FileError, PlanError
from lowbit.ir import Graph, Trait, has
from lowbit.report import Findings, examine
from lowbit.report.numbers import kilobytes, microseconds, percent, signed, times
from tests.ir.networks import beyond_the_engine, float_convnet, float_mlp
from tests.page.test_markup import Reader

HOSTILE = "<script>document.title='owned'</script>"


def renamed(graph: Graph, suffix: str) -> Graph:
    """Return a network whose nodes and values have markup in their names."""
    names = {name: f"{name}{suffix}" for name in graph.values}
    result = Graph(f"net{suffix}", tuple(map(names.get, graph.inputs)), tuple(map(names.get, graph.outputs)))
    result.values = {names[name]: replace(value, name=names[name]) for name, value in graph.values.items()}
    result.nodes = [
        replace(
            node,
            name=f"{node.name}{suffix}",
            inputs=tuple(names.get(name, "") for name in node.inputs),
            outputs=tuple(names[name] for name in node.outputs),
        )
        for node in graph.nodes
    ]
    return result


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A float network and a low-bit one of it, with markup in every name."""
    folder = tmp_path_factory.mktemp("models")
    lowbit.write(renamed(float_mlp((64, 33, 10)), HOSTILE), folder / "float.circle")
    api.quantize_file(
        folder / "float.circle", folder / "low.circle", "digits", lowbit.quantization.Plan(samples=100)
    )
    return folder / "low.circle", folder / "float.circle"


@pytest.fixture(scope="module")
def found(files: tuple[Path, Path]) -> Findings:
    return examine(files[0], "digits", against=files[1], command="lowbit report <b>")


def test_figures_are_those_of_the_other_commands(files: tuple[Path, Path], found: Findings) -> None:
    low, beside = files
    assert found.accuracy is not None and found.origin_accuracy is not None and found.speed.steps is not None
    for accuracy, path in ((found.accuracy, low), (found.origin_accuracy, beside)):
        wanted = lowbit.evaluate(path, "digits")
        assert (accuracy.top1, accuracy.top5) == (wanted["top1"], wanted["top5"])
        assert accuracy.confusion.top1 == accuracy.top1 and accuracy.confusion.samples == 500
    assert sum(row["bytes"] for row in found.network.table) == found.network.bytes == low.stat().st_size
    assert len(found.speed.steps.layers) == len(lowbit.load(low).kernels)
    assert {picture.use.kind for picture in found.pictures} == {"weights", "activations"}


def test_the_page_says_them(files: tuple[Path, Path], found: Findings) -> None:
    page = Reader(found.to_html())
    text = " ".join(page.texts)
    assert found.accuracy is not None and found.origin_accuracy is not None
    for figure in (
        percent(found.accuracy.top1),
        percent(found.origin_accuracy.top1),
        kilobytes(found.network.bytes),
    ):
        assert figure in text
    for title in ("asked", "Accuracy", "byte", "hurts", "kernel", "Levels", "Confusion", "again"):
        assert any(title in each for each in page.texts)
    assert "weights=lq:3" in text and found.network.sha256 in text and "lowbit report <b>" in text
    assert "Hardware" not in text and page.tags.count("svg") == len(found.pictures) + 2


def test_bytes_of_the_page_add_up(found: Findings) -> None:
    """The last row of the table is the sum of the others."""
    from lowbit.report.cost import _held

    rows, rest = _held(found.network)
    assert sum(held for _, held in rows) + sum(rest.values()) == found.network.bytes
    assert [label for label, _ in rows] == [layer.name for layer in found.network.layers]


def test_names_stay_names(found: Findings) -> None:
    for page in (found.to_html(), found._repr_html_(), found.network.graph._repr_html_()):
        assert "<script" not in page and "&lt;script&gt;" in page
        assert "script" not in Reader(page).tags
    named = replace(found, data=replace(found.data, name=HOSTILE), data_name=HOSTILE)
    assert "<script" not in named.to_html()


def test_classes_with_markup(files: tuple[Path, Path]) -> None:
    digits = load("digits", "test")
    data = Dataset(digits.samples, digits.labels, "x", classes=tuple(f"{HOSTILE}{n}" for n in range(10)))
    page = examine(files[0], data).to_html()
    assert "<script" not in page and "&lt;script&gt;" in page


def test_without_a_float_network(files: tuple[Path, Path]) -> None:
    found = examine(files[0], "digits")
    text = " ".join(Reader(found.to_html()).texts)
    assert found.origin is None and found.agreement is None and not found.errors
    assert "--against" in text and "Right in float" not in text


def test_without_labels(files: tuple[Path, Path]) -> None:
    samples = load("digits", "test").samples
    with pytest.raises(DataError, match="labels"):
        examine(files[0], samples)
    found = examine(files[0], samples, against=files[1], labels=False)
    text = " ".join(Reader(found.to_html()).texts)
    assert found.accuracy is None and "no labels" in text and "Confusion" not in text
    assert percent(found.agreement or 0) in text
    assert "Accuracy" not in Reader(examine(files[0], samples, labels=False).to_html()).texts


def test_labels_and_classes_that_do_not_match(files: tuple[Path, Path], tmp_path: Path) -> None:
    digits = load("digits", "test")
    with pytest.raises(DataError, match="no classes"):
        examine(
            files[0], Dataset(digits.samples, digits.labels + 1 if digits.labels is not None else None, "x")
        )
    with pytest.raises(DataError, match="do not fit"):
        examine(files[0], (np.zeros((2, 9)), np.zeros(2)))
    lowbit.write(float_mlp((64, 12)), tmp_path / "other.circle")
    with pytest.raises(DataError, match="other classes"):
        examine(files[0], "digits", against=tmp_path / "other.circle")


def test_a_network_that_the_engine_does_not_run(files: tuple[Path, Path], tmp_path: Path) -> None:
    lowbit.write(beyond_the_engine(lowbit.read(files[0])), tmp_path / "other.txt")
    found = examine(tmp_path / "other.txt", "digits", against=files[1])
    text = " ".join(Reader(found.to_html()).texts)
    assert found.speed.steps is None and found.speed.why_not in text and "reference evaluator" in text
    assert found.accuracy is not None and len(found.pictures) >= 4


def test_maps(tmp_path: Path) -> None:
    graph, random = float_convnet(), np.random.default_rng(0)
    lowbit.write(graph, tmp_path / "float.onnx")
    samples = random.random((60, 3, 9, 8), np.float32)
    api.quantize_file(tmp_path / "float.onnx", tmp_path / "low.onnx", samples, lowbit.quantization.Plan())
    classes = int(graph.value(graph.outputs[0]).shape[-1])
    data = Dataset(samples, random.integers(0, classes, 60), "random")
    found = examine(tmp_path / "low.onnx", data, against=tmp_path / "float.onnx")
    assert found.errors and len(found.network.layer_bytes) == len(found.network.layers)
    drawn = [picture.use.name for picture in found.pictures if picture.use.kind == "activations"]
    low = lowbit.read(tmp_path / "low.onnx")
    made = [node for node in map(low.producer, drawn) if node is not None]
    assert len(made) == len(drawn) > 0 and not any(has(node, Trait.CARRIES) for node in made)
    assert "nan" not in found.to_html().lower().replace("nano", "")


@pytest.mark.parametrize(
    "settings",
    [
        {"scheme": "affine", "weight_bits": 8, "activation_bits": 8},
        {"scheme": "pow2", "weight_bits": 3, "activation_bits": 8},
        {"weight_bits": 4, "activation_bits": 32},
        {"weight_bits": 1, "activation_bits": 1},
        {"layers": {"first": {"scheme": "float"}}},
    ],
    ids=["affine", "power of two", "weights alone", "one bit", "mixed"],
)
def test_every_scheme(settings: dict[str, Any], files: tuple[Path, Path], tmp_path: Path) -> None:
    plan = lowbit.quantization.Plan(samples=50, **settings)
    api.quantize_file(files[1], tmp_path / "low.circle", "digits", plan)
    found = examine(tmp_path / "low.circle", "digits", against=files[1])
    text = " ".join(Reader(found.to_html()).texts)
    assert str(plan) in text and found.errors and found.speed.steps is not None
    drawn = [picture.use.name for picture in found.pictures if picture.use.kind == "weights"]
    assert drawn == [layer.name for layer in found.network.layers if layer.weight_bits < 32]


def report(folder: Path, **changes: Any) -> Path:
    facts = {
        "variant": "shared",
        "target": HOSTILE,
        "number_format": "Q6.7",
        "cycles_per_image": 1568,
        "lut": 271,
    }
    path = folder / "report.json"
    path.write_text(json.dumps(facts | {"images": 100, "mismatches": 0, "fmax_mhz": 96.18} | changes))
    return path


def test_hardware(files: tuple[Path, Path], tmp_path: Path) -> None:
    report(tmp_path)
    for source in (tmp_path, tmp_path / "report.json"):
        page = examine(files[0], "digits", hardware=source).to_html()
        text = " ".join(Reader(page).texts)
        assert "1,568" in text and "96.2" in text and "equals the reference" in text and "<script" not in page
    report(tmp_path, mismatches=3)
    assert "equals the reference" not in examine(files[0], "digits", hardware=tmp_path).to_html()
    (tmp_path / "rows.json").write_text(json.dumps({"rows": [json.loads(report(tmp_path).read_text())] * 2}))
    assert len(examine(files[0], "digits", hardware=tmp_path / "rows.json").hardware) == 2


@pytest.mark.parametrize(
    "text", ["", "[", "3", "[]", "{}", '{"rows": 1}', '{"rows": [1]}', '{"variant": []}']
)
def test_no_hardware_report(text: str, files: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match="no hardware report"):
        examine(files[0], "digits", hardware=tmp_path / "a.json")
    with pytest.raises(FileError):
        examine(files[0], "digits", hardware=tmp_path / "none.json")


def test_the_command(
    files: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["lowbit", "report", *map(str, words)])
        code = guarded(app)
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    page = tmp_path / "a.html"
    code, text = run(files[0], "--against", files[1], "--data", "digits", "-o", page)
    assert code == 0 and str(page.name) in text.replace("\n", "") and "top-1" in text
    assert f"lowbit report {files[0]}" in " ".join(Reader(page.read_text()).texts)
    code, text = run(files[0], "--data", "digits", "-o", page, "--json")
    assert code == 0 and json.loads(text)["bytes"] == page.stat().st_size
    np.save(tmp_path / "x.npy", load("digits", "test").samples)
    assert run(files[0], "--data", tmp_path / "x.npy", "-o", page)[0] == 4
    assert run(files[0], "--data", tmp_path / "x.npy", "--unlabelled", "-o", page)[0] == 0
    assert run(files[0], "--data", "digits", "-o", tmp_path / "none" / "a.html")[0] == 3
    assert run(tmp_path / "none.circle", "--data", "digits")[0] == 3


def test_plans_say_what_was_asked() -> None:
    plan = lowbit.quantization.Plan
    assert str(plan()) == "weights=lq:3 activations=lq:3 method=gptq samples=1024 seed=0"
    assert str(plan(damping=0.25, layers={"a": {"bits": 2}})).endswith("damping=0.25 layers.a={'bits': 2}")
    with pytest.raises(PlanError):
        plan(scheme="none")


def test_numbers_for_people() -> None:
    found = [percent(0.98765), kilobytes(2048), kilobytes(20), kilobytes(3e8), times(14.52), times(342)]
    found += [
        microseconds(2.6e-6),
        microseconds(1.7e-3),
        microseconds(0.5),
        signed(-0.004, 2),
        signed(-1, 1),
        signed(2, 1),
    ]
    wanted = "98.77 % 2.0 KB 20 B 286.1 MB 14.5 × 342 × 2.60 µs 1700 µs 500.0 ms 0.00 −1.0 +2.0"
    assert re.sub("\u202f", " ", " ".join(found)) == wanted
