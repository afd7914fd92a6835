"""Graphs that are LST networks, and what is said of those that are not."""

import numpy as np
import pytest

from lowbit.data import load
from lowbit.errors import DataError, SchemeError, UnsupportedError
from lowbit.ir import Graph, Node, evaluate
from lowbit.rtl.lst.from_graph import from_graph, in_fixed_point
from lowbit.rtl.pictures import pixel_values, reference_scores, to_bytes
from lowbit.schemes import FixedPoint
from lowbit.zoo import float_graph, network
from tests.rtl.networks import NORMALIZE, random_graph


@pytest.fixture
def lst1() -> Graph:
    return float_graph(network("lst1"))


def test_float_networks_are_rounded_and_others_stay(lst1: Graph) -> None:
    rounded = in_fixed_point(lst1, FixedPoint(6, 4, "floor"))
    assert from_graph(rounded, NORMALIZE).encoding == FixedPoint(6, 4, "floor")
    assert from_graph(in_fixed_point(lst1, None), NORMALIZE).number_format == "Q6.7"
    assert in_fixed_point(rounded, None) is rounded
    with pytest.raises(UnsupportedError, match="already"):
        in_fixed_point(rounded, FixedPoint(6, 4))


def test_layers_keep_their_names_and_integers(lst1: Graph) -> None:
    found = from_graph(in_fixed_point(lst1, None), NORMALIZE)
    assert [layer.name for layer in (found.by_rows, found.by_columns, found.output)] == [
        "fc1/product",
        "fc2/product",
        "fc3",
    ]
    weights = lst1.constant("fc1.weight").T.astype(np.float64)
    assert np.array_equal(found.by_rows.weights, np.floor(weights * 128 + 0.5))


def test_reference_scores_come_near_those_of_the_float_network(lst1: Graph) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (1003, 28, 28)).astype(np.uint8)
    scores = reference_scores(in_fixed_point(lst1, FixedPoint(6, 10)), pictures, NORMALIZE)
    x = ((pictures / 255 - 0.5) / 0.5).astype(np.float32).reshape(-1, 1, 28, 28)
    assert np.abs(scores - evaluate(lst1, {"x": x})["logits"]).max() < 0.02


def _renamed(graph: Graph, name: str, op: str) -> Graph:
    at = next(index for index, node in enumerate(graph.nodes) if node.name == name)
    node = graph.nodes[at]
    graph.nodes[at] = Node(op, node.inputs, node.outputs, {}, node.name, node.domain)
    return graph


@pytest.mark.parametrize(
    ("name", "op"), [("rows/t", "MaxPool"), ("columns/f", "Transpose"), ("rows/f", "Exp")]
)
def test_another_network_is_refused_by_node(name: str, op: str) -> None:
    with pytest.raises(UnsupportedError) as refused:
        from_graph(_renamed(random_graph(), name, op), NORMALIZE)
    assert refused.value.where == name and refused.value.found == op and refused.value.remedy


def test_two_formats_are_refused_by_node() -> None:
    graph = random_graph()
    node = next(node for node in graph.nodes if node.name == "columns/p")
    graph.update(node.inputs[1], encoding=FixedPoint(5, 8))
    with pytest.raises(UnsupportedError) as refused:
        from_graph(graph, NORMALIZE)
    assert refused.value.where == "columns/p" and refused.value.found == "fixed:5.8"


@pytest.mark.parametrize("name", ["lst2", "reslst", "mlp"])
def test_other_networks_of_the_zoo_are_refused(name: str) -> None:
    with pytest.raises(UnsupportedError, match="LST engine"):
        from_graph(in_fixed_point(float_graph(network(name)), None), NORMALIZE)


@pytest.mark.parametrize("text", ["6", "9.9", "0.4", "6.7.1", ""])
def test_impossible_formats_are_refused(text: str) -> None:
    with pytest.raises(SchemeError):
        FixedPoint.from_text(text)


@pytest.mark.parametrize("byte", [1 / 16, 1.0, 0.5, 1 / 3])
def test_samples_of_other_steps_are_bytes_when_that_is_said(byte: float) -> None:
    bytes_ = np.random.default_rng(0).integers(0, 256, (4, 3)).astype(np.uint8)
    samples = pixel_values(None, byte)[bytes_]
    assert np.array_equal(samples, bytes_ * np.float32(byte))
    assert np.array_equal(to_bytes(load(samples), 3, byte=byte), bytes_)
    with pytest.raises(DataError) as refused:
        to_bytes(load(samples), 3)
    assert f"--byte {'1' if byte == 1 else f'1/{1 / byte:g}'}" in refused.value.remedy


def test_a_step_is_only_proposed_where_there_is_one() -> None:
    with pytest.raises(DataError) as refused:
        to_bytes(load(np.array([[0.1234, 0.4321, -1.0]], np.float32)), 3)
    assert "--byte" not in refused.value.remedy
