"""Floats of a program are the same bits on every level: none of them is a mathematics library's."""

import numpy as np
import pytest

from lowbit.engine import Program, kernel_levels
from lowbit.ir import Graph, Node, Value, evaluate, infer, verify

_FUNCTIONS = ("Tanh", "Sigmoid", "Elu", "Exp", "Abs", "Softplus", "HardSwish", "Mish")


def network(seed: int) -> Graph:
    """Return a float network of convolutions, pools, functions, layers and a softmax, of odd sizes."""
    random = np.random.default_rng(seed)
    channels, height, width = (int(length) for length in random.integers((1, 5, 5), (9, 12, 12)))
    graph = Graph("bits", ("x",), ("y",), values={"x": Value("x", "float32", ("n", channels, height, width))})

    def add(op: str, *inputs: str, **attributes: object) -> str:
        name = f"v{len(graph.nodes)}"
        graph.nodes.append(Node(op, inputs, (name,), attributes, name))  # type: ignore[arg-type]
        return name

    def constant(*shape: int) -> str:
        data = random.normal(size=shape).astype(np.float32) * 0.7
        return graph.add_constant(graph.fresh_name("c"), data)

    last = "x"
    for _ in range(3):
        outputs, kernel = int(random.integers(1, 40)), int(random.choice([1, 3]))
        weights = constant(outputs, channels, kernel, kernel)
        last = add("Conv", last, weights, constant(outputs), pads=(kernel // 2,) * 4)
        last = add(str(random.choice(_FUNCTIONS)), add("Mul", last, constant(outputs, 1, 1)))
        channels = outputs
    last = add("Flatten", add("AveragePool", last, kernel_shape=(2, 3)))
    features = channels * (height - 1) * (width - 2)
    last = add("Tanh", add("Gemm", last, constant(features, 21), constant(21)))
    graph.nodes.append(Node(str(random.choice(["Softmax", "LogSoftmax"])), (last,), ("y",), {}, "y"))
    infer(graph)
    verify(graph)
    return graph


@pytest.mark.parametrize("seed", range(6))
def test_levels_threads_and_blocks_give_the_same_bits(seed: int) -> None:
    graph = network(seed)
    shape = graph.value("x").shape[1:]
    x = np.random.default_rng(100 + seed).normal(size=(70, *shape)).astype(np.float32)  # type: ignore[arg-type]
    expected = evaluate(graph, {"x": x})["y"]
    given = Program(graph, kernels="portable").run(x)
    np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-5)
    for level in kernel_levels():
        for threads in (1, 2):
            program = Program(graph, kernels=level, threads=threads)
            np.testing.assert_array_equal(program.run(x), given)
            np.testing.assert_array_equal(program.run(x[:1]), given[:1])
