"""What a reader leaves out of a file is said by every command that reads it."""

import json
from pathlib import Path

import numpy as np
import pytest

import lowbit
from lowbit.errors import ModelFormatError, UnsupportedError
from lowbit.scores import outputs_of
from tests.command import Command

onnx = pytest.importorskip("onnx")


def classifier(path: Path, *, zipmap: bool) -> None:
    """A network as scikit-learn's converter makes them: a label, and scores that may be a map."""
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["scores"]),
        helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
    ]
    outputs = [helper.make_tensor_value_info("label", TensorProto.INT64, ["n"])]
    opsets = [helper.make_opsetid("", 17)]
    if zipmap:
        keys = {"domain": "ai.onnx.ml", "classlabels_int64s": [0, 1, 2]}
        nodes.append(helper.make_node("ZipMap", ["scores"], ["chances"], **keys))
        real = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
        kind = helper.make_map_type_proto(TensorProto.INT64, real)
        outputs.append(helper.make_value_info("chances", helper.make_sequence_type_proto(kind)))
        opsets.append(helper.make_opsetid("ai.onnx.ml", 3))
    else:
        outputs.append(helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 3]))
    random = np.random.default_rng(0)
    weights = [
        onnx.numpy_helper.from_array(random.standard_normal(shape).astype(np.float32), name)
        for name, shape in (("w", (64, 3)), ("b", (3,)))
    ]
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64]),
        helper.make_tensor_value_info("spare", TensorProto.FLOAT, ["n", 2]),
    ]
    graph = helper.make_graph(nodes, "g", inputs, outputs, weights)
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)


@pytest.mark.parametrize("zipmap", [False, True])
def test_dropped_outputs_are_named(zipmap: bool, tmp_path: Path, command: Command) -> None:
    path = tmp_path / "net.onnx"
    classifier(path, zipmap=zipmap)
    wanted = ["label", "spare", *(["chances", "ZipMap"] if zipmap else [])]
    notes = " ".join(lowbit.read(path).notes)
    assert all(word in notes for word in wanted)
    data = tmp_path / "data.npz"
    np.savez(data, x=np.random.default_rng(0).random((20, 64)), y=np.arange(20) % 3)
    for words in (
        ("inspect", path),
        ("convert", path, tmp_path / "net.circle"),
        ("quantize", path, "-o", tmp_path / "low.circle", "--data", data, "--bits", 4),
        ("eval", path, "--data", data),
        ("run", path, "--data", data, "-o", tmp_path / "out.npz"),
    ):
        status, text, said = command(*words)
        assert status == 0, said
        assert all(word in " ".join(text.split()) for word in wanted), text
        found = json.loads(command(*words, "--json")[1])
        assert all(word in " ".join(found["notes"]) for word in wanted)
    assert not lowbit.read(tmp_path / "net.circle").notes, "what is written is whole"


def test_all_outputs_are_written(tmp_path: Path, command: Command) -> None:
    from tests.data.test_conventions import network

    graph = network((6,))
    graph.outputs = ("y", "flat")
    lowbit.write(graph, tmp_path / "net.txt")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((5, 6)))
    words = ("run", tmp_path / "net.txt", "--data", tmp_path / "x.npy", "-o", tmp_path / "out.npz")
    assert command(*words, "--backend", "reference")[0] == 0
    with np.load(tmp_path / "out.npz") as arrays:
        assert set(arrays) == {"y", "flat"}
    samples = np.random.default_rng(0).random((5, 6)).astype(np.float32)
    np.testing.assert_array_equal(outputs_of(graph, samples, "auto")["flat"], samples)
    found = lowbit.evaluate(graph, (samples, np.zeros(5)), backend="reference")
    assert any("output y; not judged: flat" in note for note in found["notes"])


def test_a_graph_without_nodes_is_unsupported_and_an_empty_file_is_damaged(tmp_path: Path) -> None:
    x = onnx.helper.make_tensor_value_info("x", 1, ["n", 4])
    graph = onnx.helper.make_graph([], "g", [x], [x])
    onnx.save(onnx.helper.make_model(graph, ir_version=8), tmp_path / "net.onnx")
    (tmp_path / "empty.onnx").write_bytes(b"")
    with pytest.raises(UnsupportedError, match="computes nothing"):
        lowbit.read(tmp_path / "net.onnx")
    with pytest.raises(ModelFormatError):
        lowbit.read(tmp_path / "empty.onnx")
