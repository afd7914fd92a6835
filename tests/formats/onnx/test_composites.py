"""Operators with a body in .onnx files: an unmodified ONNX Runtime runs them, and they are read back."""

from pathlib import Path

import numpy as np
import pytest

from lowbit.backends.onnxruntime import session
from lowbit.errors import UnsupportedError
from lowbit.formats import read_model, write_model
from lowbit.ir import OPERATORS, Graph, evaluate, to_text
from tests.ir.toys import network, samples, toy

pytest.importorskip("onnxruntime")


def run(path: Path, x: np.ndarray) -> np.ndarray:
    return session(path).run(None, {"x": x})[0]


def check(graph: Graph, path: Path) -> None:
    write_model(graph, path)
    x = samples(tuple(int(length) for length in graph.value("x").shape[1:]))
    x = np.clip(x, -1e30, 1e30)  # a Clip without a bound is one at the largest number in ONNX Runtime
    expected = evaluate(graph, {"x": x})["y"]
    np.testing.assert_allclose(run(path, x), expected, rtol=1e-5, atol=1e-6)
    again = read_model(path)
    assert [(node.domain, node.op) for node in again.nodes] == [
        (node.domain, node.op) for node in graph.nodes
    ]
    np.testing.assert_array_equal(evaluate(again, {"x": x})["y"], expected)
    write_model(again, path.with_name("again.onnx"))
    assert path.read_bytes() == path.with_name("again.onnx").read_bytes()


@pytest.mark.parametrize("domain", ["", "lowbit"])
@pytest.mark.parametrize("attributes", [{}, {"rate": 0.25}, {"rate": -2.0, "power": 3}])
def test_a_composite_is_a_function_of_the_file(tmp_path: Path, domain: str, attributes: dict) -> None:
    body = "half = X / 2\nhalf * Tanh(rate * half - 1) - Clip(half, max=power) + Softplus(X) / rate"
    with toy("Toy", "X", body, domain, rate=3.0, power=1):
        check(network("Toy", (3, 4), attributes, domain), tmp_path / "toy.onnx")


def test_functions_call_functions(tmp_path: Path) -> None:
    with (
        toy("Inner", "X", "X * 2"),
        toy("Other", "X", "Inner(X) * Inner(X)", "lowbit"),
        toy("Outer", "X", "HardSwish(Inner(X)) + lowbit.Other(X)"),
    ):
        check(network("Outer", (3, 4)), tmp_path / "outer.onnx")


def test_attributes_of_steps_are_those_of_the_node(tmp_path: Path) -> None:
    with toy(
        "Toy", "X", "Elu(X, alpha=steep) + Elu(X, alpha=2) + Softmax(X, axis=along)", steep=0.5, along=-1
    ):
        for attributes in ({}, {"steep": 3.0, "along": 1}):
            check(network("Toy", (3, 4), attributes), tmp_path / "toy.onnx")


def test_two_inputs(tmp_path: Path) -> None:
    with toy("Toy", "X slope", "X * slope - Relu(X)"):
        check(network("Toy", (3, 4), constants={"slope": np.ones((3, 1))}), tmp_path / "toy.onnx")


def test_what_onnx_has_itself_is_written_as_it_is(tmp_path: Path) -> None:
    import onnx

    graph = network("HardSwish", (5,))
    write_model(graph, tmp_path / "net.onnx")
    model = onnx.load(tmp_path / "net.onnx")
    assert (model.graph.node[0].domain, len(model.functions)) == ("", 0)


def test_a_file_with_an_operator_that_is_gone_is_refused(tmp_path: Path) -> None:
    with toy("Toy", "X", "X * 2"):
        write_model(network("Toy", (5,)), tmp_path / "net.onnx")
    with pytest.raises(UnsupportedError, match="Toy"):
        read_model(tmp_path / "net.onnx")
    assert ("", "Toy") not in OPERATORS


def test_the_text_form_keeps_a_composite(tmp_path: Path) -> None:
    with toy("Toy", "X", "X * rate", rate=2.0):
        graph = network("Toy", (5,), {"rate": 0.5})
        write_model(graph, tmp_path / "net.txt")
        assert to_text(read_model(tmp_path / "net.txt")) == to_text(graph)
