"""Graphs that are LST networks, and what is said of those that are not."""

from collections.abc import Callable

import numpy as np
import pytest

from lowbit.errors import PlanError, UnsupportedError
from lowbit.ir import Graph, Node, evaluate
from lowbit.rtl.lst.from_graph import from_graph
from lowbit.zoo import float_graph, network


@pytest.fixture
def lst1() -> Graph:
    return float_graph(network("lst1"))


def test_scores_come_near_those_of_the_float_network(lst1: Graph) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (20, 28, 28)).astype(np.uint8)
    fixed = from_graph(lst1, "Q6.10").scores(pictures) / 2**10
    x = ((pictures / 255 - 0.5) / 0.5).astype(np.float32).reshape(-1, 1, 28, 28)
    real = evaluate(lst1, {lst1.inputs[0]: x})[lst1.outputs[0]]
    assert np.abs(fixed - real).max() < 0.02


def test_layers_keep_their_names_and_codes(lst1: Graph) -> None:
    found = from_graph(lst1, "Q6.7")
    assert [layer.name for layer in (found.by_rows, found.by_columns, found.output)] == ["fc1", "fc2", "fc3"]
    weights = lst1.constant("fc1.weight").T.astype(np.float64)
    assert np.array_equal(found.by_rows.weights, np.floor(weights * 128 + 0.5))


def test_a_network_without_biases_has_zeros(lst1: Graph) -> None:
    product = next(node for node in lst1.nodes if node.name == "fc1/product")
    add = next(node for node in lst1.nodes if node.name == "fc1")
    lst1.nodes = [node for node in lst1.nodes if node is not add]
    lst1.nodes[lst1.nodes.index(product)] = Node("MatMul", product.inputs, add.outputs, {}, "fc1/product")
    assert not from_graph(lst1, "Q6.7").by_rows.bias.any()


def _replace(graph: Graph, name: str, op: str) -> None:
    at = next(index for index, node in enumerate(graph.nodes) if node.name == name)
    node = graph.nodes[at]
    graph.nodes[at] = Node(op, node.inputs, node.outputs, {}, node.name)


@pytest.mark.parametrize(
    ("spoil", "node", "expected"),
    [
        (lambda graph: _replace(graph, "transpose1", "Softmax"), "transpose1", "Transpose"),
        (lambda graph: _replace(graph, "act2", "Sigmoid"), "act2", "Tanh"),
        (lambda graph: _replace(graph, "act1", "Exp"), "act1", "activation"),
    ],
)
def test_another_network_is_refused_by_node(
    lst1: Graph, spoil: Callable[[Graph], None], node: str, expected: str
) -> None:
    spoil(lst1)
    with pytest.raises(UnsupportedError) as refused:
        from_graph(lst1, "Q6.7")
    assert refused.value.where == node and expected in refused.value.expected and refused.value.remedy


@pytest.mark.parametrize("name", ["lst2", "reslst", "mlp", "lenet"])
def test_other_networks_of_the_zoo_are_refused(name: str) -> None:
    with pytest.raises(UnsupportedError, match="LST engine"):
        from_graph(float_graph(network(name)), "Q6.7")


@pytest.mark.parametrize("text", ["6.7", "Q6", "Q-1.3", "Q9.9", "Q0.4", "q6.7.1", ""])
def test_impossible_formats_are_refused(lst1: Graph, text: str) -> None:
    with pytest.raises(PlanError, match="format"):
        from_graph(lst1, text)
