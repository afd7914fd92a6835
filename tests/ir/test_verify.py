"""Every invariant has a graph that breaks it."""

from dataclasses import replace

import numpy as np
import pytest

from lowbit.errors import GraphError
from lowbit.ir import Graph, Node, Value, findings, verify
from tests.ir.networks import float_mlp, lowbit_mlp, with_powers


def codes(graph: Graph) -> set[str]:
    return {finding.code for finding in findings(graph)}


def test_good_graphs_have_no_findings() -> None:
    assert findings(float_mlp()) == findings(lowbit_mlp()) == []


def test_undefined_input() -> None:
    graph = float_mlp()
    graph.nodes[0] = replace(graph.nodes[0], inputs=("nowhere", "fc1.weight"))
    assert "UNDEFINED-INPUT" in codes(graph)


def test_order_matters() -> None:
    graph = float_mlp()
    graph.nodes.reverse()
    assert "UNDEFINED-INPUT" in codes(graph)


def test_duplicate_producer_and_node_name() -> None:
    graph = float_mlp()
    graph.nodes.append(graph.nodes[0])
    assert codes(graph) == {"DUPLICATE-PRODUCER", "NODE-NAME"}


def test_output_that_nothing_computes() -> None:
    graph = float_mlp()
    graph.add(Value("z", "float32", ("n", 1)))
    graph.outputs = ("z",)
    assert codes(graph) == {"UNDEFINED-OUTPUT"}


def test_codes_need_an_encoding() -> None:
    graph = lowbit_mlp()
    graph.update("x/codes", encoding=None)
    assert "VALUE-ENCODING" in codes(graph)


def test_constants_match_what_they_declare() -> None:
    graph = float_mlp()
    graph.update("fc1.bias", data=np.zeros(2, np.float32))
    graph.update("fc1.weight", data=np.full((5, 3), np.nan, np.float32))
    graph.update("fc2.bias", data=np.zeros(4))
    assert codes(graph) == {"CONSTANT-SHAPE", "CONSTANT-FINITE", "CONSTANT-DTYPE"}


def test_operators_are_checked_and_named() -> None:
    graph = lowbit_mlp()
    graph.nodes[1] = replace(graph.nodes[1], attributes={"activation": "softsign"})
    with pytest.raises(GraphError, match=r"lowbit-mlp/fc1.*activation; expected none, relu.*found softsign"):
        verify(graph)


def test_unknown_operators_list_near_ones() -> None:
    graph = float_mlp()
    graph.nodes[2] = replace(graph.nodes[2], op="Tanhh")
    with pytest.raises(GraphError, match=r"operator not supported; expected Tanh"):
        verify(graph)


def test_unknown_attributes_are_named() -> None:
    graph = float_mlp()
    graph.nodes[2] = replace(graph.nodes[2], attributes={"speed": 1})
    with pytest.raises(GraphError, match="unknown attribute; expected no attribute; found speed"):
        verify(graph)


def test_shapes_that_do_not_fit_name_the_node() -> None:
    graph = float_mlp()
    graph.add_constant("wrong", np.zeros((6, 3)))
    graph.nodes[0] = replace(graph.nodes[0], inputs=("x", "wrong"))
    with pytest.raises(
        GraphError, match=r"fc1 \(MatMul\): inner lengths differ; expected 6 for .*wrong.*; found 5 in .*"
    ):
        verify(graph)


def test_a_count_of_inputs_is_checked() -> None:
    graph = float_mlp()
    graph.nodes[2] = Node("Tanh", ("a1", "a1"), ("h1",), {}, "t")
    with pytest.raises(GraphError, match="wrong number of inputs"):
        verify(graph)


def test_constant_codes_are_codes_of_their_encoding() -> None:
    graph = with_powers(lowbit_mlp((9, 4)), 3)
    assert not codes(graph)
    data = graph.constant("fc1/weights").copy()
    data[1, 2] = 8
    graph.update("fc1/weights", data=data)
    assert codes(graph) == {"CONSTANT-CODES"}
    graph.update("fc1/weights", data=np.zeros((4, 0), np.uint8))
    assert "CONSTANT-CODES" not in codes(graph)
