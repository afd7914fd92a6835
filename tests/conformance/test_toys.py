"""What is declared in one place runs everywhere: an operator by its body, an activation of layers by its row.

Both are made here and are gone afterwards, so that no back end can have a line about them.
"""

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from lowbit.backends import BACKENDS
from lowbit.engine import Program, kernel_levels
from lowbit.formats import read_model, write_model
from lowbit.ir import Graph, Node, Value, evaluate, infer, verify
from lowbit.ir.activations import ACTIVATIONS, Activation
from lowbit.quantization import Plan, quantize
from tests.ir.toys import samples, toy, toy_activation

BODIES = {
    "Squashed": "X / (1 + Abs(X))",
    "Mishlike": "X * Tanh(Softplus(X)) / 2",
    "Bounded": "low = Clip(steep * X, -1, 1)\nlow * low / (low + 3) - Sigmoid(X) * HardSwish(X)",
    "Constants": "(2 - X) / 3 + 1 / (Exp(-Abs(X)) + 1) - 4 / 2 * steep",
}


def network(op: str, shape: tuple[int, ...], domain: str) -> Graph:
    """Return a network with the operator behind a pool, where it lies as a map, and at its end."""
    graph = Graph("net", ("x",), ("y",), values={"x": Value("x", "float32", ("n", *shape))})
    source = "x"
    if len(shape) == 3:
        graph.nodes.append(Node("AveragePool", ("x",), ("p",), {"kernel_shape": (1, 1)}, "pool"))
        source = "p"
    graph.nodes.append(Node(op, (source,), ("a",), {}, "first", domain))
    graph.nodes.append(Node(op, ("a",), ("y",), {"steep": -0.75}, "second", domain))
    infer(graph)
    verify(graph)
    return graph


@pytest.mark.parametrize("shape", [(7,), (3, 4, 5)], ids=str)
@pytest.mark.parametrize("domain", ["", "lowbit"])
@pytest.mark.parametrize("name", BODIES)
def test_an_operator_of_one_line_runs_everywhere(
    name: str, domain: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    with toy(name, "X", BODIES[name], domain, steep=0.5):
        graph = network(name, shape, domain)
        x = np.clip(samples(shape), -60, 60)  # LiteRT's functions overflow sooner than ONNX's
        expected = evaluate(graph, {"x": x})["y"]
        for level in kernel_levels():
            program = Program(graph, kernels=level)
            np.testing.assert_allclose(program.run(x), expected, rtol=3e-6, atol=3e-6)
            assert set(program.trace(x)) <= graph.values.keys()
        for backend in BACKENDS.values():
            if not backend.blockers(graph):
                np.testing.assert_allclose(backend.load(graph).run(x)[0], expected, rtol=3e-6, atol=3e-6)
        for suffix in (".onnx", ".circle", ".txt"):
            path = tmp_path / f"net{suffix}"
            write_model(graph, path)
            again = read_model(path)
            result = evaluate(again, {again.inputs[0]: x})[again.outputs[0]]
            np.testing.assert_allclose(result, expected, rtol=3e-6, atol=3e-6)
            if suffix != ".circle":  # which has what it is made of
                assert [node.op for node in again.nodes] == [node.op for node in graph.nodes]


ROWS = {
    "toy_elu": Activation(lambda a: np.where(a < 0, np.expm1(np.minimum(a, 0)), a), "Elu"),
    "toy_clip": Activation(lambda a: np.clip(a, -0.25, 1.5), "Clip", bounds=(-0.25, 1.5)),
}


def with_activation(row: Activation, *, at_end: bool) -> Graph:
    """Return a float network of a convolution and two layers, an activation behind each, or all but one."""
    random = np.random.default_rng(3)
    graph = Graph("net", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 2, 6, 6))})
    for name, shape in {"a/w": (5, 2, 3, 3), "b/w": (7, 80), "c/w": (3, 7)}.items():
        graph.add_constant(name, random.normal(size=shape) / np.sqrt(np.prod(shape[1:])) * 2)
        graph.add_constant(f"{name[0]}/b", random.normal(size=shape[0]) / 4)
    bounds = [graph.add_constant(f"bound{n}", np.float32(bound)) for n, bound in enumerate(row.bounds or ())]
    nodes = [
        Node("Conv", ("x", "a/w", "a/b"), ("a",), {}, "a"),
        Node(row.operator, ("a", *bounds), ("fa",), {}, "fa"),
        Node("Flatten", ("fa",), ("flat",), {}, "flat"),
        Node("Gemm", ("flat", "b/w", "b/b"), ("b",), {"transB": 1}, "b"),
        Node(row.operator, ("b", *bounds), ("fb",), {}, "fb"),
        Node("Gemm", ("fb", "c/w", "c/b"), ("c" if at_end else "y",), {"transB": 1}, "c"),
    ]
    graph.nodes = [*nodes, *([Node(row.operator, ("c", *bounds), ("y",), {}, "fc")] if at_end else [])]
    infer(graph)
    verify(graph)
    return graph


PLANS = {
    "lq": Plan(weights="lq:2", activations="lq:3"),
    "affine": Plan(weights="affine:8", activations="affine:8"),
    "weights": Plan(weights="lq:3", activations="float"),
}


@pytest.mark.parametrize("at_end", [False, True], ids=["inside", "at the end"])
@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("name", [*ROWS, "softplus"])
def test_an_activation_of_one_row_runs_everywhere(name: str, plan: str, at_end: bool, tmp_path: Path) -> None:
    x = np.random.default_rng(4).normal(size=(300, 2, 6, 6)).astype(np.float32)
    row = ACTIVATIONS.get(name) or ROWS[name]
    with nullcontext() if name in ACTIVATIONS else toy_activation(name, row):
        graph, _ = quantize(with_activation(row, at_end=at_end), x, PLANS[plan])
        of_layers = [node for node in graph.nodes if node.attributes.get("activation", "none") != "none"]
        assert plan == "affine" or len(of_layers) == 2 + at_end
        x = x[:40]
        expected = evaluate(graph, {"x": x})["y"]
        near = {"rtol": 2e-5, "atol": 2e-5} if plan == "weights" else {"rtol": 1e-6, "atol": 1e-6}
        for level in kernel_levels():
            np.testing.assert_allclose(Program(graph, kernels=level).run(x), expected, **near)
        assert not BACKENDS["onnxruntime"].blockers(graph) and not BACKENDS["engine"].blockers(graph)
        np.testing.assert_allclose(BACKENDS["onnxruntime"].load(graph).run(x)[0], expected, **near)
        for suffix in (".onnx", ".circle", ".txt"):
            write_model(graph, tmp_path / f"net{suffix}")
            again = read_model(tmp_path / f"net{suffix}")
            result = evaluate(again, {again.inputs[0]: x})[again.outputs[0]]
            # At the end, floats may be written as what the function is made of.
            np.testing.assert_allclose(result, expected, **(near if at_end else {"rtol": 0, "atol": 0}))
