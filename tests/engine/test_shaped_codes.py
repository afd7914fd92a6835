"""Codes made in one shape and read as maps: of a 1-D convolution behind a slice and an activation."""

import numpy as np
import pytest

from lowbit.engine import Program
from lowbit.ir import Graph, Node, Value, evaluate, infer, verify
from lowbit.quantization import Plan, quantize


def causal(activation: str, kernel: int, dilation: int) -> Graph:
    """Return two 1-D convolutions padded on both sides, with what looks ahead cut off behind each."""
    random, padding = np.random.default_rng(kernel + dilation), (kernel - 1) * dilation
    graph = Graph("net", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 5, 23))})
    graph.add_constant("w1", random.normal(size=(20, 5, kernel)))
    graph.add_constant("w2", random.normal(size=(7, 20, kernel)))
    for name, number in (("from", 0), ("to", -padding), ("axis", 2)):
        graph.add_constant(name, [number], "int64")
    settings = {"pads": (padding, padding), "dilations": (dilation,), "kernel_shape": (kernel,)}
    graph.nodes = [
        Node("Conv", ("x", "w1"), ("a",), settings, "first"),
        Node("Slice", ("a", "from", "to", "axis"), ("b",), {}, "cut"),
        Node(activation, ("b",), ("c",), {}, "activation"),
        Node("Conv", ("c", "w2"), ("d",), settings, "second"),
        Node("Slice", ("d", "from", "to", "axis"), ("y",), {}, "cut again"),
    ]
    infer(graph)
    verify(graph)
    return graph


@pytest.mark.parametrize("plan", ["binary", "lq:2", "lq:4", "affine:4", "affine:8"])
@pytest.mark.parametrize(("activation", "kernel", "dilation"), [("Relu", 3, 1), ("Tanh", 2, 3)])
def test_the_engine_runs_them_as_the_reference(
    plan: str, activation: str, kernel: int, dilation: int
) -> None:
    x = np.random.default_rng(1).normal(size=(24, 5, 23)).astype(np.float32)
    low, _ = quantize(causal(activation, kernel, dilation), x, Plan(plan, plan))
    np.testing.assert_allclose(Program(low).run(x), evaluate(low, {"x": x})["y"], rtol=1e-6, atol=1e-6)
