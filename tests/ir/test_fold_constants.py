"""Folded constants count against the memory budget as long as something reads them."""

import numpy as np
import pytest

from lowbit.errors import TooLargeError
from lowbit.ir import Graph, Node, Value, infer, run_passes
from lowbit.ir.passes import fold_constants


def test_what_would_be_too_large_is_refused_before_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """A product of a column and a row: 200 KB that ask for 2.5 GB."""
    monkeypatch.setenv("LOWBIT_MEMORY", "100M")
    shape = (25_000, 25_000)
    graph = Graph("outer", ("x",), ("y",), values={"x": Value("x", "float32", shape)})
    graph.add_constant("a", np.ones((shape[0], 1)))
    graph.add_constant("b", np.ones((1, shape[1])))
    graph.nodes = [
        Node("MatMul", ("a", "b"), ("m",), {}, "outer"),
        Node("Add", ("x", "m"), ("y",), {}, "add"),
    ]
    infer(graph)
    with pytest.raises(TooLargeError, match=r"outer.*2500000000 bytes.*LOWBIT_MEMORY"):
        run_passes(graph, [fold_constants])


def test_a_long_chain_holds_two_constants(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = Graph("chain", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 500))})
    graph.add_constant("c0", np.arange(250_000.0).reshape(500, 500))  # 1 MB
    for n in range(30):
        graph.nodes.append(Node("Transpose", (f"c{n}",), (f"c{n + 1}",), {"perm": (1, 0)}, f"t{n}"))
    graph.nodes.append(Node("MatMul", ("x", "c30"), ("y",), {}, "m"))
    infer(graph)
    expected = graph.constant("c0")
    monkeypatch.setenv("LOWBIT_MEMORY", "2M")
    folded = run_passes(graph, [fold_constants]).graph
    assert [node.name for node in folded.nodes] == ["m"]
    np.testing.assert_array_equal(folded.constant("c30"), expected)
    monkeypatch.setenv("LOWBIT_MEMORY", "1M")
    with pytest.raises(TooLargeError):
        run_passes(graph, [fold_constants])


def test_what_is_not_finite_stays_a_node() -> None:
    graph = Graph("nan", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 2))})
    graph.add_constant("zero", np.zeros(2))
    graph.nodes = [
        Node("Div", ("zero", "zero"), ("q",), {}, "quotient"),
        Node("Add", ("x", "q"), ("y",), {}, "add"),
    ]
    infer(graph)
    assert [node.name for node in run_passes(graph, [fold_constants]).graph.nodes] == ["quotient", "add"]
