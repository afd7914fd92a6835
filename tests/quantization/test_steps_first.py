"""Networks whose tokens or sums quantization once took for others: they run in the engine."""

import numpy as np
import pytest

from lowbit.engine import Program
from lowbit.ir import Graph, Node, Value, evaluate, infer, verify
from lowbit.quantization import Plan, quantize

QUICK = {"restarts": 0, "rounds": 1, "patches": 256}


@pytest.mark.parametrize("batch", ["n", 1])
@pytest.mark.parametrize("plan", ["lq:2", "affine:8"])
def test_layers_of_tokens_whose_steps_come_first(batch: str | int, plan: str) -> None:
    """Attention that torch exports turns [n, t, c] to [t, n, c] before its layers."""
    random = np.random.default_rng(0)
    graph = Graph("steps", ("x",), ("y",), values={"x": Value("x", "float32", (batch, 5, 6))})
    for name, shape in (("v", (6, 8)), ("w", (8, 3))):
        graph.add_constant(name, random.normal(size=shape))
    graph.nodes = [
        Node("Transpose", ("x",), ("t",), {"perm": (1, 0, 2)}, "turn"),
        Node("MatMul", ("t", "v"), ("h",), {}, "first"),
        Node("Tanh", ("h",), ("a",), {}, "function"),
        Node("MatMul", ("a", "w"), ("o",), {}, "last"),
        Node("Transpose", ("o",), ("b",), {"perm": (1, 0, 2)}, "back"),
        Node("LogSoftmax", ("b",), ("y",), {"axis": -1}, "scores"),
    ]
    check(graph, random.normal(size=(8, 5, 6)).astype(np.float32), plan)


def test_a_layer_whose_sum_is_with_a_constant_of_its_shape() -> None:
    """Places that are added to a batch of one have no error that the layer could make up for."""
    random = np.random.default_rng(1)
    graph = Graph("places", ("x",), ("y",), values={"x": Value("x", "float32", (1, 5, 6))})
    for name, shape in (("v", (6, 8)), ("p", (1, 5, 8)), ("w", (8, 3))):
        graph.add_constant(name, random.normal(size=shape))
    graph.nodes = [
        Node("MatMul", ("x", "v"), ("h",), {}, "first"),
        Node("Add", ("h", "p"), ("s",), {}, "sum"),
        Node("MatMul", ("s", "w"), ("y",), {}, "last"),
    ]
    check(graph, random.normal(size=(8, 5, 6)).astype(np.float32), "lq:2")


def check(graph: Graph, samples: np.ndarray, plan: str) -> None:
    """Quantize, and compare the codes of engine and reference."""
    infer(graph)
    verify(graph)
    low, _ = quantize(graph, samples, Plan(plan, plan, **QUICK))
    assert sum(node.op in ("Convolution", "Linear") for node in low.nodes) == 2
    x = samples[:1]
    expected: dict[str, np.ndarray] = {}
    evaluate(low, {"x": x}, expected.__setitem__)
    found = Program(low).trace(x)
    coded = [name for name in expected if low.value(name).encoding is not None and name in found]
    assert coded
    for name in coded:
        np.testing.assert_array_equal(found[name].reshape(expected[name].shape), expected[name], err_msg=name)
    np.testing.assert_allclose(found["y"].reshape(expected["y"].shape), expected["y"], 1e-5, 1e-5)
