"""Peers get what the float network's own file takes, or are absent with the reason."""

from pathlib import Path

import numpy as np
import pytest

from lowbit.bench.peers import PEERS, Absent, build_peer

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

SAMPLE = np.random.default_rng(0).random((1, 6), np.float32)
ORT = [name for name, (package, _) in PEERS.items() if package == "onnxruntime"]
TYPES = ("float32", "float64", "uint8", "int8", "int32", "int64", "bool")


def network(path: Path, dtype: str = "float32", inputs: int = 1, batch: int | str = "n") -> Path:
    """Write a layer behind a cast, with inputs that nothing reads."""
    helper = onnx.helper
    weights = np.random.default_rng(1).standard_normal((6, 5)).astype(np.float32)
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    nodes = [helper.make_node("Cast", ["x0"], ["f"], to=1), helper.make_node("MatMul", ["f", "w"], ["y"])]
    given = [helper.make_tensor_value_info(f"x{n}", kind, [batch, 6]) for n in range(inputs)]
    result = helper.make_tensor_value_info("y", 1, [batch, 5])
    graph = helper.make_graph(nodes, "net", given, [result], [onnx.numpy_helper.from_array(weights, "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("peer", ORT)
def test_a_peer_gets_the_type_of_its_own_input(peer: str, dtype: str, tmp_path: Path) -> None:
    _, call = build_peer(peer, network(tmp_path / "net.onnx", dtype), (SAMPLE,), 1)
    (scores,) = call()
    assert scores.shape == (1, 5)


@pytest.mark.parametrize("peer", ORT)
def test_inputs_that_nothing_reads_are_named(peer: str, tmp_path: Path) -> None:
    with pytest.raises(Absent, match="2 inputs: x0, x1"):
        build_peer(peer, network(tmp_path / "net.onnx", inputs=2), (SAMPLE,), 1)


@pytest.mark.parametrize("peer", ORT)
def test_what_fails_only_when_it_runs_is_absent(peer: str, tmp_path: Path) -> None:
    with pytest.raises(Absent, match="it fails"):
        build_peer(peer, network(tmp_path / "net.onnx", batch=3), (SAMPLE,), 1)
