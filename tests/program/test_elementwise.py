"""Functions of floats in the engine: the reference's values, on rows and on maps."""

import numpy as np
import pytest

from lowbit.engine import Program, kernel_levels
from lowbit.ir import Graph, Node, Value, evaluate, infer, verify
from lowbit.ir.graph import Attribute

SHAPES = {"row": (7,), "map": (3, 4, 5)}
CASES: list[tuple[str, dict[str, Attribute]]] = [
    ("LeakyRelu", {}),
    ("LeakyRelu", {"alpha": 0.3}),
    ("Elu", {}),
    ("Elu", {"alpha": 2.0}),
    ("HardSigmoid", {}),
    ("HardSigmoid", {"alpha": 0.5, "beta": 0.1}),
    ("HardSwish", {}),
    ("Abs", {}),
    ("Exp", {}),
    ("Sign", {}),
    ("Softplus", {}),
    ("Mish", {}),
]


def network(op: str, shape: tuple[int, ...], attributes: dict[str, Attribute], slope: object = None) -> Graph:
    """Return the function, behind a pool where the sample is a map, so that it lies as one."""
    graph = Graph("functions", ("x",), ("y",), values={"x": Value("x", "float32", ("n", *shape))})
    source = "x"
    if len(shape) == 3:
        graph.nodes.append(Node("AveragePool", ("x",), ("p",), {"kernel_shape": (1, 1)}, "pool"))
        source = "p"
    inputs = (source,) if slope is None else (source, graph.add_constant("slope", np.asarray(slope)))
    graph.nodes.append(Node(op, inputs, ("y",), attributes, "function"))
    infer(graph)
    verify(graph)
    return graph


def check(graph: Graph) -> None:
    shape = graph.value("x").shape[1:]
    x = np.random.default_rng(1).normal(size=(5, *shape)).astype(np.float32) * 4
    x[0].flat[:5] = [0.0, -0.0, np.inf, -np.inf, 1e-30]
    with np.errstate(all="ignore"):
        expected = evaluate(graph, {"x": x})["y"]
    np.testing.assert_allclose(Program(graph).run(x), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("op", "attributes"), CASES, ids=lambda part: part if isinstance(part, str) else "")
def test_functions(op: str, attributes: dict[str, Attribute], shape: str) -> None:
    check(network(op, SHAPES[shape], attributes))


@pytest.mark.parametrize("slope_shape", [(), (1,), (3, 1, 1), (1, 4, 1), (3, 4, 5)])
def test_prelu_takes_any_slope(slope_shape: tuple[int, ...]) -> None:
    slope = np.random.default_rng(2).normal(size=slope_shape)
    check(network("PRelu", SHAPES["map"], {}, slope))


def test_a_computed_slope_runs() -> None:
    graph = network("PRelu", (7,), {}, 0.5)
    node = graph.nodes[0]
    graph.nodes = [
        Node("Tanh", ("x",), ("slope",), {}, "slope"),
        Node(node.op, ("x", "slope"), node.outputs, {}, node.name),
    ]
    del graph.values["slope"]
    infer(graph)
    check(graph)


@pytest.mark.parametrize("op", ["Softplus", "Mish"])
def test_tails_are_no_zeros(op: str) -> None:
    """A threshold at zero tells the smallest number from none, so an error is a share of the result."""
    x = -np.geomspace(1e-6, 80, 500).astype(np.float32)[None]
    graph = Graph("tail", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 500))})
    graph.nodes = [Node(op, ("x",), ("y",), {}, "f")]
    infer(graph)
    for level in kernel_levels():
        np.testing.assert_allclose(
            Program(graph, kernels=level).run(x), evaluate(graph, {"x": x})["y"], rtol=2e-5, atol=0
        )
