"""The engine runs every network of the zoo; binary ones give the reference's numbers exactly."""

import numpy as np
import pytest

import lowbit
from lowbit.engine import Program
from lowbit.ir import evaluate
from lowbit.zoo import NETWORKS, binary_graph, float_graph

BINARY = [name for name in NETWORKS if "lst" not in name]


@pytest.mark.parametrize("name", BINARY)
def test_binary_networks_are_exact(name: str) -> None:
    graph = binary_graph(NETWORKS[name], seed=1)
    x = np.random.default_rng(2).random((3, *NETWORKS[name].input_shape), np.float32)
    np.testing.assert_array_equal(Program(graph).run(x), evaluate(graph, {"x": x})["logits"])


@pytest.mark.parametrize("name", NETWORKS)
def test_float_networks_are_close(name: str) -> None:
    graph = float_graph(NETWORKS[name], seed=1)
    x = np.random.default_rng(2).random((2, *NETWORKS[name].input_shape), np.float32)
    wanted = evaluate(graph, {"x": x})["logits"]
    np.testing.assert_allclose(Program(graph).run(x), wanted, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("bits", [1, 2, 3])
def test_quantized_transforms_are_exact(bits: int) -> None:
    """Codes pass from a map to one of other pixels."""
    x = np.random.default_rng(2).random((8, 1, 28, 28), np.float32)
    graph, _ = lowbit.quantize(float_graph(NETWORKS["reslst"], seed=1), x, bits=bits)
    np.testing.assert_array_equal(Program(graph).run(x), evaluate(graph, {"x": x})["logits"])
