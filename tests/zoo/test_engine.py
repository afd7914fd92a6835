"""The engine runs every network of the zoo; binary ones give the reference's numbers exactly."""

import numpy as np
import pytest

from lowbit.engine import Program
from lowbit.ir import evaluate
from lowbit.zoo import NETWORKS, binary_graph, float_graph

RUNS = [
    name for name in NETWORKS if "lst" not in name
]  # products of maps are the reference's, and hardware's


@pytest.mark.parametrize("name", RUNS)
def test_binary_networks_are_exact(name: str) -> None:
    graph = binary_graph(NETWORKS[name], seed=1)
    x = np.random.default_rng(2).random((3, *NETWORKS[name].input_shape), np.float32)
    np.testing.assert_array_equal(Program(graph).run(x), evaluate(graph, {"x": x})["logits"])


@pytest.mark.parametrize("name", RUNS)
def test_float_networks_are_close(name: str) -> None:
    graph = float_graph(NETWORKS[name], seed=1)
    x = np.random.default_rng(2).random((2, *NETWORKS[name].input_shape), np.float32)
    wanted = evaluate(graph, {"x": x})["logits"]
    np.testing.assert_allclose(Program(graph).run(x), wanted, atol=1e-5 * np.abs(wanted).max())
