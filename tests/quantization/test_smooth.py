"""Channels of unlike sizes: weights take the difference over where a real is encoded, and nowhere else."""

import numpy as np
import pytest

from lowbit.calibrate import engine_or_reference
from lowbit.ir import Graph, Node, Value, evaluate, infer, verify
from lowbit.quantization import Plan, quantize
from lowbit.quantization.shared import layer_form, layer_names
from lowbit.quantization.smooth import smooth

PLAN = Plan("affine:8", "affine:8")
WIDTH = 24


def network(before: str) -> Graph:
    """Return two layers that read what an operator makes of ``x``, its channels up to 100 times as large."""
    random = np.random.default_rng(0)
    graph = Graph("net", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 7, WIDTH))})
    sizes = np.geomspace(0.1, 10, WIDTH)
    for name, data in (
        ("gain", sizes),
        ("zero", np.zeros(WIDTH)),
        ("w0", random.normal(size=(WIDTH, WIDTH)) * sizes / 5),
        ("w1", random.normal(size=(WIDTH, 9)) / sizes[:, None]),
        ("w2", random.normal(size=(WIDTH, 9)) / sizes[:, None]),
    ):
        graph.add_constant(name, data)
    made = {
        "normalization": [Node("LayerNormalization", ("x", "gain", "zero"), ("h",), {"axis": -1}, "norm")],
        "gelu": [Node("Mul", ("x", "gain"), ("m",), {}, "scale"), Node("Gelu", ("m",), ("h",), {}, "gelu")],
        "layer": [Node("MatMul", ("x", "w0"), ("m",), {}, "fc0"), Node("Relu", ("m",), ("h",), {}, "relu")],
        "sum": [Node("MatMul", ("x", "w0"), ("m",), {}, "fc0"), Node("Add", ("m", "x"), ("h",), {}, "sum")],
        "input": [],
    }
    source = "h" if made[before] else "x"
    graph.nodes = [
        *made[before],
        Node("MatMul", (source, "w1"), ("a",), {}, "fc1"),
        Node("MatMul", (source, "w2"), ("b",), {}, "fc2"),
        Node("Mul", ("a", "b"), ("y",), {}, "product"),
    ]
    graph.remove_unused()
    infer(graph)
    verify(graph)
    return graph


def samples(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 7, WIDTH)).astype(np.float32)


def smoothed(graph: Graph, plan: Plan = PLAN) -> tuple[Graph, Graph]:
    """Return a network as quantization starts from it, and smooth."""
    start = layer_form(graph)
    plans = dict.fromkeys(layer_names(start), plan)
    return start, smooth(start, {"x": samples(64)}, engine_or_reference, plans, 0)


@pytest.mark.parametrize("before", ["normalization", "gelu"])
def test_a_factor_before_layers_changes_nothing_but_what_codes_lose(before):
    graph = network(before)
    start, made = smoothed(graph)
    verify(made)
    assert len(made.nodes) == len(start.nodes) + 1  # one for both layers
    x = samples(50, seed=2)
    exact = evaluate(graph, {"x": x})["y"]
    np.testing.assert_allclose(
        evaluate(made, {"x": x})["y"], exact, rtol=1e-4, atol=1e-4 * np.abs(exact).max()
    )
    low, _ = quantize(graph, samples(64), PLAN)
    assert any(node.name.startswith(made.nodes[-1].name) or "smooth" in node.name for node in low.nodes)
    error = ((evaluate(low, {"x": x})["y"] - exact) ** 2).sum() / (exact**2).sum()
    assert error < 2e-3  # 5e-2 and more without


@pytest.mark.parametrize("before", ["layer", "sum", "input"])
def test_nothing_is_put_between_codes_nor_behind_an_input(before):
    start, made = smoothed(network(before))
    assert made.nodes == start.nodes


def test_inputs_that_stay_float_are_not_smoothed():
    start, made = smoothed(network("normalization"), Plan("affine:4", "float"))
    assert made.nodes == start.nodes
