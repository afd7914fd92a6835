"""`lowbit analyze`, `plot` and `sweep` end to end on the digits, and what they say to bad input."""

import json
from pathlib import Path

import numpy as np
import pytest

import lowbit
from lowbit.analysis import trace
from lowbit.backends import Runner
from lowbit.data import load, write_npz
from tests.command import Command
from tests.ir.networks import float_mlp

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")
pytest.importorskip("joblib")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a float network and a low-bit one made of it."""
    folder = tmp_path_factory.mktemp("models")
    graph = float_mlp((64, 33, 10), activation="Relu")
    low, _ = lowbit.quantize(graph, load("digits").samples.reshape(-1, 64)[:200], bits=2)
    lowbit.write(graph, folder / "mlp.onnx")
    lowbit.write(low, folder / "low.circle")
    return folder / "mlp.onnx", folder / "low.circle"


def test_analyze_has_every_layer(models: tuple[Path, Path], command: Command) -> None:
    full, low = models
    words = ("analyze", low, "--against", full, "--data", "digits", "--samples", 100, "--backend", "engine")
    code, out, _ = command(*words, "--json")
    found = json.loads(out)
    assert code == 0 and found["divergence"] is None and len(found["layers"]) == 2
    first = found["layers"][0]
    assert first["weight_bits"] == 2 and first["traffic"] < first["float_traffic"] / 5
    assert first["divergence"] > 0 and 5 < first["snr_db"] < 40 and 1 < first["entropy"] <= 2
    code, out, _ = command(*words)
    assert code == 0 and "agree on all 100 samples" in out
    assert command("analyze", full)[0] == 0
    assert command("analyze", low, "--backend", "engine")[0] == 2
    assert command("analyze", low, "--data", "digits", "--backend", "fpga")[0] == 6


def test_sensitivity_has_a_row_for_every_layer(models: tuple[Path, Path], command: Command) -> None:
    words = ("analyze", models[0], "--data", "digits", "--sensitivity", "4,2")
    code, out, _ = command(*words, "--json")
    found = json.loads(out)["sensitivity"]
    assert code == 0 and [(row["layer"], row["bits"]) for row in found] == [
        *(("fc1", bits) for bits in (4, 2)),
        *(("fc2", bits) for bits in (4, 2)),
    ]
    assert command("analyze", models[0], "--sensitivity", "4")[0] == 2


def test_every_picture_from_one_command(models: tuple[Path, Path], tmp_path: Path, command: Command) -> None:
    full, low = models
    data = ("--data", "digits")
    commands = {
        "levels": ("levels", low, "--against", full, "--layer", "fc2", "--neuron", 3),
        "fixed": ("levels", full, "--scheme", "fixed:3.2"),
        "weights": ("weights", full, low, "--weights", "fixed:4.4", "--weights", "fixed:4.1"),
        "hidden": ("hidden", low, *data),
        "tsne": ("tsne", low, *data, "--samples", 60, "--perplexity", 5),
        "confusion": ("confusion", full, low, *data, "--scheme", "fixed:4.4", "--limit", 100),
    }
    for name, words in commands.items():
        target = tmp_path / f"{name}.png"
        code, out, error = command("plot", *words, "-o", target, "--json")
        assert code == 0, error
        assert json.loads(out)["output"] == str(target) and target.stat().st_size > 5000
    names = [matrix["name"] for matrix in json.loads(out)["matrices"]]
    assert names == ["mlp", "low", "Q4.4"]


def test_a_sweep_is_drawn(models: tuple[Path, Path], tmp_path: Path, command: Command) -> None:
    words = ("sweep", models[0], "--data", "digits", "--schemes", "fixed:4,lq", "--bits", "4,2-1")
    kept = ("--samples", 50, "--cache", tmp_path / "cache", "-o", tmp_path / "sweep.json")
    code, out, error = command(*words, *kept, "--plot", tmp_path / "one.svg", "--published", "lst1")
    assert code == 0 and "Q4.1" in out and "lq 4" in out, error
    source = ("plot", "sweep", tmp_path / "sweep.json", "-o")
    assert command(*source, tmp_path / "two.svg", "--published", "lst1")[0] == 0
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    for kind in ("bits", "front"):
        assert command(*source, tmp_path / f"{kind}.png", "--kind", kind)[0] == 0
    made = json.loads((tmp_path / "sweep.json").read_text())
    assert len(made["rows"]) == 9 and made["command"].startswith("lowbit sweep MODEL --data digits")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("plot", "levels", "LOW", "--layer", "fc3", "-o", "x.png"), 6, "fc2 or fc1"),
        (("plot", "levels", "LOW", "--neuron", 33, "-o", "x.png"), 6, "0 to 32"),
        (("plot", "levels", "FULL", "-o", "x.png"), 6, "float"),
        (("plot", "levels", "LOW", "-o", "x.jpg"), 6, ".png or .svg"),
        (("plot", "weights", "FULL", "-o", "x.png"), 6, "nothing to compare"),
        (("plot", "weights", "FULL", "--weights", "lq:2", "-o", "x.png"), 6, "one format of fixed point"),
        (("plot", "hidden", "LOW", "--data", "digits", "--layer", "act", "-o", "x.png"), 6, "of that name"),
        (("plot", "tsne", "LOW", "--data", "digits", "--samples", 20, "-o", "x.png"), 4, "perplexity"),
        (("plot", "confusion", "LOW", "--data", "UNLABELLED", "-o", "x.png"), 4, "needs labels"),
        (("plot", "confusion", "LOW", "--data", "OTHER", "-o", "x.png"), 4, "no classes"),
        (("plot", "confusion", "FULL", "--data", "digits", "--hardware", "-o", "x.png"), 5, "LST engine"),
        (("plot", "sweep", "UNLABELLED", "-o", "x.png"), 3, "no sweep"),
        (("sweep", "FULL", "--data", "UNLABELLED", "--schemes", "fixed:4"), 4, "needs labels"),
        (("sweep", "FULL", "--data", "digits", "--bits", "x"), 2, "8-1"),
        (("sweep", "FULL", "--data", "digits", "--bits", "1-999999"), 2, "not meant"),
        (("sweep", "FULL", "--data", "digits", "--schemes", "lqq"), 6, "unknown scheme"),
    ],
)
def test_bad_questions(
    words: tuple[object, ...],
    code: int,
    message: str,
    models: tuple[Path, Path],
    tmp_path: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    x = np.zeros((5, 64), np.float32)
    write_npz({"x": x}, tmp_path / "unlabelled.npz")
    write_npz({"x": x, "y": np.full(5, 10)}, tmp_path / "other.npz")
    places = {"FULL": models[0], "LOW": models[1], "UNLABELLED": "unlabelled.npz", "OTHER": "other.npz"}
    found, out, error = command(*(places.get(str(word), word) for word in words))
    assert found == code and message in " ".join((out + error).replace("│", " ").split()), out + error
    assert not list(tmp_path.glob("x.*"))


def test_a_planted_fault_is_reported(
    models: tuple[Path, Path], command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(graph: lowbit.ir.Graph) -> Runner:
        def run(x: np.ndarray) -> dict[str, np.ndarray]:
            values = trace(graph)(x)
            name = next(node.outputs[0] for node in graph.nodes if node.name == "fc1")
            values[name] = values[name].copy()
            values[name][4, 7] ^= 1
            return values

        return Runner(trace, run)

    monkeypatch.setattr("lowbit.backends.engine.load", broken)
    words = ("analyze", models[1], "--data", "digits", "--backend", "engine", "--samples", 20)
    found = json.loads(command(*words, "--json")[1])["divergence"]
    assert (found["node"], found["sample"], found["position"]) == ("fc1", 4, [7])
    assert "part at fc1 (Linear), input 4, channel 7" in " ".join(command(*words)[1].split())
