"""Errors, divergences, levels, bytes and confusions of networks whose answers are known."""

import math

import numpy as np
import pytest

from lowbit import analysis
from lowbit.errors import DataError, PlanError
from lowbit.ir import Graph, Node, Value, infer
from lowbit.quantization import Plan, quantize, to_fixed_point
from tests.ir.networks import float_convnet, float_mlp, lowbit_mlp


def samples(graph: Graph, count: int = 300, seed: int = 3) -> np.ndarray:
    shape = graph.value(graph.inputs[0]).shape[1:]
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32)


def test_a_network_is_no_distance_from_itself() -> None:
    graph = lowbit_mlp()
    for backend in ("reference", "engine"):
        errors = analysis.layer_errors(graph, graph, samples(graph), backends=("reference", backend))
        coded = [error for error in errors if error.differing is not None]
        assert [error.layer for error in errors] == ["x/encode", "fc1", "fc2", "softmax"]
        assert all(error.snr_db == math.inf and error.differing == 0 for error in coded)
        assert all(error.cosine == pytest.approx(1) for error in errors)


def test_errors_are_those_of_the_formula() -> None:
    graph = float_mlp((6, 5, 4))
    low, x = to_fixed_point(graph, 4, 5), samples(graph, 7)
    (first, *_) = analysis.layer_errors(graph, low, x)
    rounded = np.floor(x.astype(np.float64) * 32 + 0.5) / 32
    assert first.value == "x/codes" and first.differing == 0 and first.elements == x.size
    assert first.snr_db == pytest.approx(
        10 * math.log10((x.astype(float) ** 2).sum() / ((x - rounded) ** 2).sum())
    )


def test_finer_formats_have_smaller_errors() -> None:
    graph = float_mlp((12, 9, 4))
    x = samples(graph)
    last = [analysis.layer_errors(graph, to_fixed_point(graph, 4, n), x)[-1].snr_db for n in (3, 5, 7, 9)]
    assert last == sorted(last) and last[-1] - last[0] == pytest.approx(36, abs=8)  # 6 dB a bit


def test_equalized_channels_are_compared_at_their_own_scale() -> None:
    graph = float_mlp((16, 12, 4), activation="Relu")
    graph.update("fc1.weight", data=graph.constant("fc1.weight") * np.logspace(-2, 2, 12, dtype=np.float32))
    x = samples(graph)
    low, _ = quantize(graph, x, Plan(weight_bits=4, activation_bits=4))
    hidden = next(error for error in analysis.layer_errors(graph, low, x) if error.layer.startswith("fc1"))
    assert hidden.cosine > 0.95


def test_layers_of_maps_are_found_too() -> None:
    graph = float_convnet(8)
    x = samples(graph, 40)
    low, _ = quantize(graph, x, Plan(weight_bits=4, activation_bits=4))
    errors = analysis.layer_errors(graph, low, x)
    assert {layer.layer for layer in analysis.layer_bytes(low)} <= {error.layer for error in errors}
    assert all(error.snr_db > 5 for error in errors)


def test_unrelated_networks_have_nothing_to_compare() -> None:
    with pytest.raises(DataError, match="no layer of the same name"):
        analysis.weight_divergence(float_convnet(), float_mlp())
    one, other = _identity("a", "b"), _identity("c", "d")
    with pytest.raises(DataError, match="no values of the same name"):
        analysis.layer_errors(one, other, samples(one))


def _identity(source: str, result: str) -> Graph:
    graph = Graph("identity", (source,), (result,), [Node("Relu", (source,), (result,), {}, "relu")])
    graph.add(Value(source, "float32", ("n", 3)))
    infer(graph)
    return graph


def test_divergence_is_zero_for_equal_weights_and_grows_with_the_step() -> None:
    graph = float_mlp((64, 48, 10))
    found = [
        analysis.weight_divergence(graph, to_fixed_point(graph, 4, n))[0].divergence for n in (12, 6, 3, 2)
    ]
    assert found[0] < 1e-3 and found == sorted(found)
    assert analysis.weight_divergence(graph, graph)[0].divergence == 0
    assert analysis.divergence([1, 3], [1, 3]) == 0
    assert analysis.divergence([1, 3], [3, 1], floor=0) == pytest.approx(0.5 * math.log(3))


def test_levels_are_counted_by_rank() -> None:
    graph = lowbit_mlp((65, 33, 10), 2, 3)
    use = {each.name: each for each in analysis.level_use(graph, samples(graph))}
    weights = analysis.layer_weights(graph, "fc1")
    assert weights.encoding is not None and weights.codes is not None
    lowest = weights.encoding.code_of_rank()[:, :1]
    assert use["fc1"].counts[0] == np.count_nonzero(weights.codes == lowest)
    assert sum(use["fc1"].counts) == 65 * 33 and sum(use["x/codes"].counts) == 65 * 300
    assert 0 < use["fc1"].entropy <= 3 and 0 < use["x/codes"].entropy <= 2
    assert use["x/codes"].kind == "activations"


def test_unused_levels_are_found() -> None:
    graph = lowbit_mlp((65, 33, 10), 2, 2)
    x = np.full((4, 65), 1e9, np.float32)
    codes = next(use for use in analysis.level_use(graph, x) if use.name == "x/codes")
    assert codes.unused == 0.75 and codes.entropy == 0 and codes.counts[-1] == 4 * 65


def test_bytes_are_those_of_the_bits() -> None:
    first, _ = analysis.layer_bytes(lowbit_mlp((65, 33, 10), 2, 3))
    assert first.weights == 65 * 33 and first.weight_bytes == 33 * 3 * 3 * 4  # 65 bits are three words
    assert first.multiply_adds == 65 * 33 and first.float_bytes == 4 * (65 * 33 + 33)
    assert first.traffic < first.float_traffic / 4
    one, many = (analysis.layer_bytes(float_mlp(), batch)[0] for batch in (1, 10))
    assert one.bytes == one.float_bytes and one.traffic == one.float_traffic
    assert many.traffic - one.traffic == 9 * 4 * (5 + 3) and many.multiply_adds == 10 * one.multiply_adds


def test_confusions_count_and_refuse() -> None:
    found = analysis.confusion([0, 1, 1, 2], np.eye(3)[[0, 1, 2, 2]], name="float", classes=["a", "b", "c"])
    assert found.top1 == 0.75 and found.counts[1, 2] == 1 and found.to_dict()["classes"] == ["a", "b", "c"]
    with pytest.raises(DataError, match="needs labels"):
        analysis.confusion(None, np.eye(3))
    with pytest.raises(DataError, match="do not match"):
        analysis.confusion([0, 1], np.eye(3))
    with pytest.raises(DataError, match="no classes"):
        analysis.confusion([0, 1, 3], np.eye(3))


def test_an_unknown_layer_lists_near_names() -> None:
    graph = lowbit_mlp()
    with pytest.raises(PlanError, match="fc2 or fc1"):
        analysis.layer_weights(graph, "fc3")
    with pytest.raises(PlanError, match="engine"):
        analysis.trace(graph, "engin")
