"""Layers of codes that look at single rows run for several maps of one sample, as turned tokens do."""

import numpy as np
import pytest

from lowbit.engine import Program
from lowbit.ir import Graph, Node, Value, evaluate, infer, verify
from lowbit.ir.binding import bound
from lowbit.quantization import Plan, quantize


@pytest.mark.parametrize(
    "plan", [Plan("affine:8", "affine:8"), Plan("lq:3", "affine:8"), Plan("lq:2", "lq:2")], ids=str
)
@pytest.mark.parametrize("kernel", [1, 3])
def test_they_give_the_same_integers(plan: Plan, kernel: int) -> None:
    random = np.random.default_rng(0)
    graph = Graph("net", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 4, 2, 6))})
    graph.add_constant("w1", random.normal(size=(8, 4, 1, kernel)))
    graph.add_constant("w2", random.normal(size=(3, 8, 1, kernel)))
    pads = {"pads": (0, kernel // 2, 0, kernel // 2)}
    graph.nodes = [
        Node("Conv", ("x", "w1"), ("a",), pads, "first"),
        Node("Relu", ("a",), ("r",), {}, "relu"),
        Node("Conv", ("r", "w2"), ("b",), pads, "second"),
        Node("Transpose", ("b",), ("y",), {"perm": (2, 3, 0, 1)}, "turn"),  # not batched any more
    ]
    infer(graph)
    verify(graph)
    x = random.normal(size=(40, 4, 2, 6)).astype(np.float32)
    low, _ = quantize(graph, x, plan)
    five = bound(low, {"n": 5})
    found = Program(five).run(x[:5])
    np.testing.assert_allclose(found, evaluate(five, {"x": x[:5]})["y"], rtol=1e-6, atol=1e-6)
