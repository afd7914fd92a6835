"""What others make of our files, and we of theirs. Each test skips visibly where its tool is absent."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lowbit.backends.litert import interpreter as interpreter_of
from lowbit.formats import read_model, write_model
from lowbit.ir import evaluate
from tests.formats.interop import folder_of, python_with
from tests.formats.networks import affine_mlp
from tests.ir.networks import float_mlp, lowbit_mlp

HERE = Path(__file__).parent

TICO_SCRIPT = """
import sys, torch, tico
torch.manual_seed(0)
nn = torch.nn
body = nn.Sequential(nn.Linear(20, 9), nn.Tanh(), nn.Linear(9, 5), nn.ReLU(), nn.Linear(5, 4), nn.Softmax(-1))
net = nn.Sequential(nn.Flatten(), body).eval()
x = torch.rand(1, 4, 5)
tico.convert(net, (x,)).save(sys.argv[1])
import numpy
numpy.savez(sys.argv[2], x=x.numpy(), y=net(x).detach().numpy())
"""


@pytest.fixture(params=["float", "low-bit", "low-bit with offset", "affine"])
def file(request, tmp_path) -> Path:
    graph = {
        "float": float_mlp,
        "low-bit": lambda: lowbit_mlp((65, 33, 10), 2, 3),
        "low-bit with offset": lambda: lowbit_mlp((33, 10), 1, 1, weight_offset=True),
        "affine": affine_mlp,
    }[request.param]()
    write_model(graph, tmp_path / "m.circle")
    return tmp_path / "m.circle"


def test_circle_schema_reads_the_same_tables(file) -> None:
    pytest.importorskip("circle_schema", reason="pip install circle-schema")
    from circle_schema.v0_10.circle.Model import ModelT

    model = ModelT.InitFromPackedBuf(file.read_bytes(), 0)
    graph = read_model(file)
    (subgraph,) = model.subgraphs
    names = {tensor.name.decode() for tensor in subgraph.tensors}
    assert set(graph.inputs) | set(graph.outputs) <= names
    assert {
        name for name, value in graph.values.items() if value.dtype == "float32" and value.data is None
    } <= names
    for tensor in subgraph.tensors:
        value = graph.values.get(tensor.name.decode())
        if value is not None and value.data is not None and value.dtype != "code":
            assert np.array_equal(
                model.buffers[tensor.buffer].data.view(value.data.dtype), value.data.ravel()
            )
    assert [m.name for m in model.metadata][-1] == b"lowbit.manifest"


def test_tico_verifies_it(file) -> None:
    tool = Path(python_with("tico")).parent / "tico-circle"
    done = subprocess.run([tool, "verify", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "succeeded" in done.stdout


def test_a_file_of_tico_loads_and_computes_the_same(tmp_path) -> None:
    target, arrays = tmp_path / "t.circle", tmp_path / "t.npz"
    command = [python_with("tico"), "-c", TICO_SCRIPT, str(target), str(arrays)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    graph, found = read_model(target), np.load(arrays)
    rows = np.concatenate([found["x"], found["x"] * 0.5])  # the batch is open
    y = evaluate(graph, {graph.inputs[0]: rows})[graph.outputs[0]]
    np.testing.assert_allclose(y[:1], found["y"], atol=1e-6)
    write_model(graph, tmp_path / "again.circle")
    again = read_model(tmp_path / "again.circle")
    np.testing.assert_array_equal(evaluate(again, {graph.inputs[0]: rows})[graph.outputs[0]], y)


def test_the_published_command_line_on_a_file_of_tico(tmp_path, monkeypatch) -> None:
    pytest.importorskip("h5py")
    from lowbit.cli import guarded
    from lowbit.cli.lquantizer import app
    from lowbit.data import Dataset, write_one_hdf5

    source, answer, arrays = tmp_path / "t.circle", tmp_path / "answer.circle", tmp_path / "t.npz"
    subprocess.run(
        [python_with("tico"), "-c", TICO_SCRIPT, str(source), str(arrays)], check=True, capture_output=True
    )
    shape = np.load(arrays)["x"].shape[1:]
    samples = np.random.default_rng(0).normal(size=(64, *shape)).astype(np.float32)
    write_one_hdf5(Dataset(samples, None, "samples"), tmp_path / "train.hdf5", "x")
    words = ["--input_model", source, "--output_model", answer, "--input_data", tmp_path / "train.hdf5"]
    monkeypatch.setattr(sys, "argv", ["lquantizer", *map(str, words), "--encode_bits", "3"])
    assert guarded(app) == 0
    low, graph = read_model(answer), read_model(source)
    assert "Linear" in {node.op for node in low.nodes}
    outputs = [evaluate(g, {g.inputs[0]: samples})[g.outputs[0]] for g in (low, graph)]
    assert np.corrcoef(outputs[0].ravel(), outputs[1].ravel())[0, 1] > 0.9


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
def test_netron_shows_operator_options_and_names(tmp_path) -> None:
    graph = lowbit_mlp((65, 33, 10), 2, 3)
    write_model(graph, tmp_path / "m.circle")
    command = ["node", HERE / "netron.mjs", folder_of("netron"), tmp_path / "m.circle"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, second, softmax = json.loads(done.stdout)["nodes"]
    assert first["type"] == second["type"] == "LQFullyConnected" and softmax["type"] == "Softmax"
    options = first["attributes"]
    assert options["weights_hidden_size"] == 65 and options["fused_activation_function"] == "TANH"
    encoding = graph.value("x/codes").encoding
    assert options["input_thresholds"] == encoding.thresholds()[0].tolist()
    assert options["input_offset"] == encoding.offset[0] and options["input_top"] == encoding.top[0]
    assert options["weights_top"] == graph.value("fc1/weights").encoding.top.tolist()
    parts = ("fc1/weights_scales", "fc1/weights_binary", "fc1/bias")
    assert first["inputs"] == ["x", "x/codes_scales", *parts]


@pytest.mark.parametrize("weight_offset", [False, True])
def test_onert_runs_it_with_our_kernel(tmp_path, weight_offset: bool) -> None:
    """On a runtime that passes floats between layers; the sample has no activation near a threshold."""
    python = python_with("onert")
    graph = lowbit_mlp((65, 33, 10), 2, 3, seed=3, weight_offset=weight_offset)
    write_model(graph, tmp_path / "m.circle")
    x = np.random.default_rng(5).normal(size=(1, 65)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    files = [str(tmp_path / name) for name in ("m.circle", "x.npy", "y.npy")]
    # A child process: a native runtime that crashes must not take the tests with it.
    done = subprocess.run(
        [python, HERE / "onert_child.py", *files], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), evaluate(graph, {"x": x})["y"], atol=1e-6)


@pytest.mark.skipif(sys.platform != "linux", reason="LiteRT has wheels for Linux only here")
def test_litert_runs_our_int8_file_and_gives_our_classes(tmp_path) -> None:
    pytest.importorskip("ai_edge_litert.interpreter", reason="pip install ai-edge-litert")
    from lowbit.bench.litert_int8 import chain, int8_tflite

    graph = float_mlp((64, 32, 10), seed=4)
    samples = np.random.default_rng(0).random((200, 64), np.float32)
    file = tmp_path / "m.tflite"
    file.write_bytes(int8_tflite(chain(graph), samples))
    wanted = evaluate(graph, {"x": samples})["y"]
    interpreter = interpreter_of(file.read_bytes())
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    ours = evaluate(read_model(file), {"input_float": samples})["output_float"]
    theirs = []
    for sample in samples:
        interpreter.set_tensor(source, sample[None])
        interpreter.invoke()
        theirs.append(interpreter.get_tensor(target)[0])
    assert np.abs(np.array(theirs) - wanted).max() < 0.1  # int8 against float
    assert np.abs(np.array(theirs) - ours).max() < 0.05  # two readings of one int8 file
    assert (np.argmax(theirs, axis=1) == wanted.argmax(axis=1)).mean() > 0.95
