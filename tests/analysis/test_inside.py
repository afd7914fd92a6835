"""Neurons and their levels, hidden codes, t-SNE, and which layer hurts."""

import numpy as np
import pytest

from lowbit import analysis
from lowbit.data import load
from lowbit.errors import DataError, PlanError
from lowbit.ir import Graph
from lowbit.quantization import Plan, quantize, to_fixed_point
from tests.ir.networks import Convolution, float_convnet, float_mlp, lowbit_convnet, lowbit_mlp


def samples(graph: Graph, count: int = 60) -> np.ndarray:
    shape = graph.value(graph.inputs[0]).shape[1:]
    return np.random.default_rng(3).normal(size=(count, *shape)).astype(np.float32)


def test_a_neuron_has_its_own_levels() -> None:
    graph = float_mlp((40, 12, 4))
    low, _ = quantize(graph, samples(graph), Plan(weight_bits=2, activation_bits=2, method="plain"))
    found = analysis.neuron_levels(low, "fc1", 5, graph)
    np.testing.assert_array_equal(found.weights, graph.constant("fc1.weight")[:, 5].astype(np.float64))
    assert found.scheme == "lq" and found.bits == 2 and found.counts.sum() == 40
    assert len(found.levels) == 4 and len(found.thresholds) == 3
    nearest = found.levels[np.searchsorted(found.thresholds, found.weights)]
    assert ((found.weights - nearest) ** 2).mean() < found.weights.var() / 4


def test_convolutions_keep_the_order_of_their_weights() -> None:
    graph = float_convnet(8)
    low, _ = quantize(graph, samples(graph, 30), Plan(weight_bits=4, activation_bits=4, method="plain"))
    coded, plain = (analysis.layer_weights(g, "Conv_2") for g in (low, graph))
    similar = [np.corrcoef(*rows)[0, 1] for rows in zip(coded.values, plain.values, strict=True)]
    assert min(similar) > 0.97


def test_a_neuron_without_a_float_network_shows_what_it_has() -> None:
    found = analysis.neuron_levels(lowbit_mlp((65, 33, 10), 2, 3), "fc1", 32)
    distance = np.abs(found.weights[:, None] - found.levels).min(axis=1)
    assert found.factor == pytest.approx(1) and distance.max() < 1e-6


@pytest.mark.parametrize(
    ("layer", "neuron", "message"),
    [("fc9", 0, "fc"), ("fc1", 33, "0 to 32"), ("fc1", -1, "0 to 32")],
)
def test_neurons_that_are_not_there(layer: str, neuron: int, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        analysis.neuron_levels(lowbit_mlp(), layer, neuron)
    with pytest.raises(PlanError, match="float"):
        analysis.neuron_levels(float_mlp((65, 33, 10)), "fc1")


def test_hidden_codes_are_what_the_last_layer_reads() -> None:
    graph = lowbit_convnet((3, 8, 8), (Convolution(6), Convolution(5)), classes=4)
    x = samples(graph, 9)
    found = analysis.hidden(graph, x)
    assert found.value == "conv2/codes" and found.bits == 2 and found.reals.shape == (9, 5, 8, 8)
    pictures = found.pictures()
    assert pictures.shape == (9, 8, 40)
    np.testing.assert_array_equal(pictures[2, :, 16:24], found.reals[2, 2])
    engine = analysis.hidden(graph, x, "conv2", backend="engine")
    np.testing.assert_array_equal(engine.reals, found.reals)


@pytest.mark.parametrize(("length", "shape"), [(1, (1, 1)), (31, (1, 31)), (64, (8, 8)), (680, (20, 34))])
def test_vectors_become_blocks(length: int, shape: tuple[int, int]) -> None:
    found = analysis.Hidden("h", None, np.zeros((2, length), np.float32), None)
    assert found.pictures().shape == (2, *shape)


def test_hidden_of_what_is_not_there() -> None:
    graph = lowbit_mlp()
    with pytest.raises(PlanError, match="fc1"):
        analysis.hidden(graph, samples(graph, 2), "fc")
    with pytest.raises(PlanError, match="layer with weights"):
        relu = Graph("empty", ("x",), ("x",), values={"x": graph.value("x")})
        analysis.hidden(relu, samples(graph, 2))


def test_tsne_separates_what_is_apart() -> None:
    pytest.importorskip("sklearn")
    random, labels = np.random.default_rng(0), np.repeat([0, 1], 30)
    reals = (random.normal(size=(60, 5)) + 20 * labels[:, None]).astype(np.float32)
    found = analysis.tsne(analysis.Hidden("h", 2, reals, labels), perplexity=10)
    centres = [found.points[labels == label].mean(axis=0) for label in (0, 1)]
    spread = max(found.points[labels == label].std() for label in (0, 1))
    assert np.linalg.norm(centres[0] - centres[1]) > 2 * spread and found.seed == 0
    with pytest.raises(DataError, match="more than 60 samples"):
        analysis.tsne(analysis.Hidden("h", 2, reals, labels), perplexity=60)


def test_fewer_bits_hurt_more() -> None:
    random = np.random.default_rng(1)
    graph = float_mlp((16, 24, 6), activation="Relu", seed=4)
    x = random.normal(size=(400, 16)).astype(np.float32)
    labels = analysis.trace(graph)(x)["y"].argmax(axis=1)
    dataset = load((x, labels))
    found = analysis.sensitivity(graph, x, dataset, bits=(4, 1), plan=Plan(method="plain"))
    assert [(row.layer, row.bits) for row in found] == [("fc1", 4), ("fc1", 1), ("fc2", 4), ("fc2", 1)]
    assert all(row.drop == pytest.approx(1 - row.top1) for row in found)
    assert found[0].drop < found[1].drop and found[2].drop < found[3].drop
    with pytest.raises(PlanError, match="fc2"):
        analysis.sensitivity(graph, x, dataset, layers=["fc22"])
    with pytest.raises(DataError, match="labels"):
        analysis.sensitivity(graph, x, load(x))


def test_fixed_point_has_levels_too() -> None:
    low = to_fixed_point(float_mlp((12, 5, 3)), 3, 2)
    found = analysis.neuron_levels(low, "fc1", 1, float_mlp((12, 5, 3)))
    assert len(found.levels) == 32 and found.scheme == "fixed"
