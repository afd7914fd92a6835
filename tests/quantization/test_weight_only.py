"""Quantization of weights alone: activations stay float, in the graph and behind every file."""

from pathlib import Path

import numpy as np
import pytest

from lowbit import c99, read, write
from lowbit.engine import Program
from lowbit.errors import PlanError, UnsupportedError
from lowbit.ir import Graph, evaluate
from lowbit.ir.graph import Array
from lowbit.quantization import Plan, quantize
from lowbit.zoo import NETWORKS, float_graph
from tests.ir.networks import float_mlp
from tests.quantization.test_robustness import two_layers


@pytest.fixture(scope="module")
def samples() -> Array:
    random = np.random.default_rng(1)
    return (random.normal(size=(300, 8)) @ random.normal(size=(8, 33))).astype(np.float32)


def error(low: Graph, graph: Graph, x: Array) -> float:
    """Return the squared error of the output relative to its variance."""
    exact, found = (evaluate(network, {"x": x})["y"] for network in (graph, low))
    return float(((found - exact) ** 2).mean(0).sum() / exact.var(0).sum())


@pytest.mark.parametrize("scheme", ["lq", "affine"])
def test_more_bits_come_nearer(scheme: str, samples: Array) -> None:
    graph = float_mlp((33, 40, 20, 5))
    errors = []
    for bits in (2, 3, 4):
        low, report = quantize(graph, samples, Plan(scheme, bits, 32))
        assert [node.op for node in low.nodes] == ["Linear"] * 3 + ["Softmax"]
        assert all(low.value(node.inputs[0]).encoding is None for node in low.nodes)
        assert {layer.activation_bits for layer in report.layers} == {32}
        errors.append(error(low, graph, samples))
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.02


def test_restoring_beats_rounding(samples: Array) -> None:
    graph = float_mlp((33, 40, 20, 5))
    restored, plain = (
        error(quantize(graph, samples, Plan("lq", 2, 32, method))[0], graph, samples)
        for method in ("restore", "plain")
    )
    assert restored < plain


def test_eight_bits_of_an_affine_grid(samples: Array) -> None:
    graph = float_mlp((33, 40, 5))
    low, _ = quantize(graph, samples, Plan("affine", 8, 32, "gptq"))
    assert error(low, graph, samples) < 1e-4
    np.testing.assert_allclose(Program(low).run(samples), evaluate(low, {"x": samples})["y"], atol=1e-5)


def test_layers_may_differ(samples: Array) -> None:
    graph = float_mlp((33, 40, 20, 5))
    low, _ = quantize(graph, samples, Plan("lq", 2, 32, layers={"last": {"activation_bits": 2}}))
    operators = [node.op for node in low.nodes]
    assert operators == ["Linear", "Linear", "Encode", "Linear", "Softmax"]
    np.testing.assert_allclose(Program(low).run(samples), evaluate(low, {"x": samples})["y"], atol=1e-4)


def test_a_convolutional_network() -> None:
    graph = float_graph(NETWORKS["lenet"])
    x = np.random.default_rng(1).random((6, 1, 28, 28), np.float32)
    low, _ = quantize(graph, x, Plan("lq", 3, 32, "plain"))
    assert {node.op for node in low.nodes if node.domain} == {"Convolution", "Linear"}
    expected = evaluate(low, {"x": x})[low.outputs[0]]
    np.testing.assert_allclose(Program(low).run(x), expected, rtol=1e-4, atol=1e-4)


def test_powers_of_two_need_codes() -> None:
    with pytest.raises(PlanError, match="32 leaves activations float, with lq and affine"):
        Plan("pow2", 4, 32)


@pytest.mark.parametrize("method", ["rtn", "gptq", "bias"])
def test_groups_come_nearer(method: str, samples: Array) -> None:
    graph, found = float_mlp((33, 40, 20, 5)), []
    for weights in ("affine:3", "affine:3:group=16", "affine:3:group=4"):
        low, report = quantize(graph, samples, Plan(weights=weights, method=method))
        assert [node.op for node in low.nodes] == ["Linear"] * 3 + ["Softmax"]
        assert {layer.weight_bits for layer in report.layers} == {3}
        found.append(error(low, graph, samples))
    assert found[2] < found[1] < found[0]


@pytest.mark.parametrize("suffix", [".txt", ".circle", ".onnx", ".qdq.onnx"])
@pytest.mark.parametrize("kind", ["fully connected", "convolution"])
def test_groups_survive_files(kind: str, suffix: str, tmp_path: Path) -> None:
    graph = float_mlp((33, 20, 5)) if kind == "fully connected" else two_layers("convolution")
    shape = [int(length) for length in graph.value(graph.inputs[0]).shape[1:]]
    x = np.random.default_rng(3).normal(size=(20, *shape)).astype(np.float32)
    low, _ = quantize(graph, x, Plan(weights="affine:3:group=5", symmetric=False, method="rtn"))
    write(low, path := tmp_path / f"net{suffix}")
    back, source = read(path), graph.inputs[0]
    before, after = (
        [net.value(node.inputs[1]).encoding for node in net.nodes if node.op in ("Linear", "Convolution")]
        for net in (low, back)
    )
    assert len(before) == len(after) == 2 and all(each is not None and each.group == 5 for each in after)
    expected = evaluate(low, {source: x})[low.outputs[0]]
    np.testing.assert_array_equal(evaluate(back, {back.inputs[0]: x})[back.outputs[0]], expected)
    run = Program(back).run(x)
    first = run if isinstance(run, np.ndarray) else run[0]
    np.testing.assert_allclose(first, expected, atol=1e-5 * np.abs(expected).max())


def test_groups_have_no_qonnx_and_no_c(samples: Array, tmp_path: Path) -> None:
    low, _ = quantize(float_mlp((33, 5)), samples, Plan(weights="affine:4:group=16"))
    with pytest.raises(UnsupportedError, match="groups of weights"):
        write(low, tmp_path / "net.qonnx.onnx")
    with pytest.raises(UnsupportedError, match="C99 has no step GroupedFullyConnected"):
        c99.write(low, tmp_path / "net.c")
