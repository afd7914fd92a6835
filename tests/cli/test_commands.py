"""Every command end to end on the digits: outputs for scripts, exit codes, and what bad input says."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import lowbit
from lowbit.cli import guarded
from lowbit.cli.envelope import SCHEMA
from lowbit.ir.layers import layers_of
from tests.command import Command
from tests.ir.networks import float_mlp


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "mlp.circle"
    lowbit.write(float_mlp((64, 33, 10)), path)
    return path


@pytest.fixture
def small(model: Path, tmp_path: Path, command: Command) -> Path:
    path = tmp_path / "small.circle"
    assert command("quantize", model, "-o", path, "--data", "digits", "--bits", 2, "--samples", 100)[0] == 0
    return path


def test_quantize_reports_layers_and_sizes(model: Path, tmp_path: Path, command: Command) -> None:
    output = tmp_path / "q.circle"
    code, out, _ = command(
        "quantize", model, "-o", output, "--data", "digits", "--bits", 3, "--samples", 50, "--json"
    )
    result = json.loads(out)
    assert code == 0 and result["samples"] == 50
    assert result["bytes_after"] == output.stat().st_size < result["bytes_before"] == model.stat().st_size
    assert [layer["weight_bits"] for layer in result["layers"]] == [3, 3]


def test_a_file_that_grows_is_remarked(model: Path, tmp_path: Path, command: Command) -> None:
    small = tmp_path / "tiny.txt"
    lowbit.write(float_mlp((64, 2, 10)), small)
    words = ("--data", "digits", "--bits", 4, "--samples", 50)
    for source, output, grows in ((model, "q.circle", False), (small, "tiny.circle", True)):
        said = command("quantize", source, "-o", tmp_path / output, *words)[1]
        sizes = (tmp_path / output).stat().st_size, source.stat().st_size
        assert ("did not become smaller" in said) == (sizes[0] >= sizes[1]) == grows


def test_fixed_point_needs_no_samples(model: Path, tmp_path: Path, command: Command) -> None:
    output = tmp_path / "fixed.txt"
    status, text = command("quantize", model, "-o", output, "--scheme", "fixed:4.8", "--json")[:2]
    assert status == 0 and output.exists()
    assert {(row["scheme"], row["weight_bits"]) for row in json.loads(text)["layers"]} == {("fixed:4.8", 12)}
    status, text = command("eval", output, "--data", "digits", "--backend", "reference", "--json")[:2]
    wanted = json.loads(command("eval", model, "--data", "digits", "--json")[1])["top1"]
    assert status == 0 and abs(json.loads(text)["top1"] - wanted) < 0.01


def test_weight_only_leaves_activations_float(model: Path, tmp_path: Path, command: Command) -> None:
    output = tmp_path / "q.circle"
    words = (
        "quantize",
        model,
        "-o",
        output,
        "--data",
        "digits",
        "--bits",
        4,
        "--weight-only",
        "--samples",
        50,
    )
    assert command(*words)[0] == 0
    layers = [layer for layer in layers_of(lowbit.read(output)) if layer.scheme == "lq"]
    assert [(layer.weight_bits, layer.activation_bits) for layer in layers] == [(4, 32), (4, 32)]
    code, out, _ = command("eval", output, "--data", "digits", "--json")
    assert code == 0 and json.loads(out)["samples"] > 0
    assert "float" in command(*words)[1]


def test_quantize_is_deterministic(model: Path, tmp_path: Path, command: Command) -> None:
    contents = []
    for name in ("a.circle", "b.circle"):
        command("quantize", model, "-o", tmp_path / name, "--data", "digits", "--bits", 1, "--seed", 3)
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]


def test_a_plan_file_sets_single_layers(model: Path, tmp_path: Path, command: Command) -> None:
    plan, output = tmp_path / "plan.toml", tmp_path / "q.circle"
    layers = [layer["name"] for layer in json.loads(command("inspect", model, "--json")[1])["layers"]]
    plan.write_text(f'bits = 2\nsamples = 40\n[layers."{layers[1]}"]\nscheme = "affine"\nbits = 4\n')
    assert command("quantize", model, "-o", output, "--data", "digits", "--plan", plan)[0] == 0
    found = json.loads(command("inspect", output, "--json")[1])["layers"]
    assert [(row["scheme"], row["weight_bits"]) for row in found] == [("lq", 2), ("affine", 4)]


@pytest.mark.parametrize("backend", ["engine", "reference"])
def test_eval_keys_and_agreement(small: Path, command: Command, backend: str) -> None:
    code, out, _ = command("eval", small, "--data", "digits", "--backend", backend, "--json")
    result = json.loads(out)
    asked = {"model": str(small), "data": "digits", "split": "test", "backend": backend}
    envelope = {"schema": SCHEMA, "lowbit": lowbit.__version__}
    assert code == 0 and result == envelope | asked | lowbit.evaluate(small, "digits", backend=backend)


def test_run_writes_what_the_network_says(small: Path, tmp_path: Path, command: Command) -> None:
    output = tmp_path / "out.npz"
    code, out, _ = command("run", small, "--data", "digits", "-o", output, "--json")
    shapes = json.loads(out)["arrays"]
    with np.load(output) as arrays:
        assert code == 0 and {name: list(arrays[name].shape) for name in arrays} == shapes
        (scores,) = arrays.values()
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)


def test_run_by_the_reference_says_the_same(small: Path, tmp_path: Path, command: Command) -> None:
    scores = []
    for backend in ("engine", "reference"):
        assert (
            command("run", small, "--data", "digits", "-o", tmp_path / "x.npz", "--backend", backend)[0] == 0
        )
        with np.load(tmp_path / "x.npz") as arrays:
            scores += arrays.values()
    np.testing.assert_allclose(*scores, rtol=1e-5, atol=1e-7)


def test_inspect_adds_up(small: Path, command: Command) -> None:
    code, out, _ = command("inspect", small, "--verify", "--json")
    result = json.loads(out)
    assert code == 0
    assert sum(row["bytes"] for row in result["table"]) == result["bytes"] == small.stat().st_size
    assert {"name", "scheme", "weight_bits", "activation_bits", "bytes"} <= set(result["layers"][0])


def test_inspect_verify_finds_a_changed_byte(small: Path, command: Command) -> None:
    content, graph = bytearray(small.read_bytes()), lowbit.read(small)
    bias = graph.constant(layers_of(graph)[0].constants[1])
    at = content.index(np.asarray(bias, "<f4").tobytes())
    content[at] ^= 1
    small.write_bytes(content)
    code, _, err = command("inspect", small, "--verify")
    assert code == 3 and "was changed after it was written" in " ".join(err.split())


@pytest.mark.parametrize("suffix", [".onnx", ".txt", ".circle"])
def test_convert_there_and_back(small: Path, tmp_path: Path, command: Command, suffix: str) -> None:
    there, back = tmp_path / f"there{suffix}", tmp_path / "back.circle"
    assert command("convert", small, there)[0] == 0
    assert command("convert", there, back)[0] == 0
    assert lowbit.evaluate(back, "digits") == lowbit.evaluate(small, "digits")


def test_bench_without_peers_says_how_to_get_them(small: Path, command: Command) -> None:
    code, out, _ = command("bench", small, "--repeats", 1, "--json")
    result = json.loads(out)
    assert code == 0 and result["threads"] == 1 and result["latency_us"] > 0 and result["load_us"] > 0
    assert result["peers"] == {} and "--against" in result["absent"]["onnxruntime-fp32"]


def test_bench_beside_onnx_runtime(
    small: Path, model: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr("lowbit.bench.timing.Latency.preempted", False)  # whoever else runs meanwhile
    source = tmp_path / "float.onnx"
    command("convert", model, source)
    result = json.loads(command("bench", small, "--against", source, "--repeats", 1, "--json")[1])
    peer = result["peers"]["onnxruntime-fp32"]
    assert peer["ratio"] == pytest.approx(peer["latency_us"] / result["latency_us"])
    assert peer["version"]


def test_the_published_command_line(
    model: Path, tmp_path: Path, command: Command, monkeypatch, capsys
) -> None:
    pytest.importorskip("h5py")
    from lowbit.cli.lquantizer import app as published

    data, answer = tmp_path / "train.hdf5", tmp_path / "answer.circle"
    assert command("data", "convert", "digits", data, "--limit", 64)[0] == 0
    words = ["--input_model", model, "--output_model", answer, "--input_data", data, "--encode_bits", 3]
    monkeypatch.setattr(sys, "argv", ["lquantizer", *map(str, words)])
    assert guarded(published) == 0
    assert "64 samples" in capsys.readouterr().out
    assert [
        layer["weight_bits"] for layer in json.loads(command("inspect", answer, "--json")[1])["layers"]
    ] == [3, 3]


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["eval", "missing.circle", "--data", "digits"], 3, "missing.circle"),
        (["eval", "MODEL", "--data", "nowhere"], 4, "nowhere"),
        (
            ["quantize", "MODEL", "-o", "OUT", "--data", "digits", "--bits", "9"],
            6,
            "expected 2 to 8 for affine",
        ),
        (
            ["quantize", "MODEL", "-o", "OUT", "--data", "digits", "--bits", "1", "--scheme", "affine"],
            6,
            "2 to 8",
        ),
        (
            [
                "quantize",
                "MODEL",
                "-o",
                "/proc/x/y.circle",
                "--data",
                "digits",
                "--bits",
                "2",
                "--samples",
                "9",
            ],
            3,
            "/proc/x",
        ),
        (["quantize", "MODEL", "-o", "OUT", "--data", "digits", "--normalize", "1"], 2, "MEAN,STD"),
        (["convert", "MODEL", "x.pt"], 5, ".circle, .tflite, .onnx, .txt"),
        (["quantize"], 2, "Missing"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_bad_input_has_a_message_and_an_exit_code(
    model: Path, tmp_path: Path, command: Command, words: list[str], code: int, text: str
) -> None:
    output = tmp_path / "out.circle"
    filled = [{"MODEL": str(model), "OUT": str(output)}.get(word, word) for word in words]
    found, out, err = command(*filled)
    assert found == code
    assert text in "".join((out + err).split("\n")), out + err
    assert not list(tmp_path.iterdir()), "nothing half-written is left"


def test_errors_are_json_when_asked(command: Command) -> None:
    code, out, _ = command("eval", "missing.circle", "--data", "digits", "--json")
    error = json.loads(out)["error"]
    assert code == 3 and error["where"].endswith("missing.circle") and error["remedy"]


@pytest.mark.parametrize("name", ["quantize", "eval", "run", "bench", "inspect", "convert", "data convert"])
def test_help_has_an_example(command: Command, name: str) -> None:
    code, out, _ = command(*name.split(), "--help")
    assert code == 0 and "Example" in out


def test_data_fetch_says_what_is_wrong(command: Command, tmp_path: Path) -> None:
    code, _, err = command("data", "fetch", "mnist", "--from", "file:///etc", "--to", tmp_path)
    assert code == 4 and "http" in err
    assert command("data", "fetch", "mnist", "--to", tmp_path)[0] == 2
