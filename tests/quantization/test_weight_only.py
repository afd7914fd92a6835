"""Quantization of weights alone: activations stay float, in the graph and behind every file."""

import numpy as np
import pytest

from lowbit.engine import Program
from lowbit.errors import PlanError
from lowbit.ir import Graph, evaluate
from lowbit.ir.graph import Array
from lowbit.quantization import Plan, quantize
from lowbit.zoo import NETWORKS, float_graph
from tests.ir.networks import float_mlp


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
