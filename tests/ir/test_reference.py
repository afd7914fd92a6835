"""The reference evaluator against the formulas, written out independently."""

import numpy as np
import pytest

from lowbit.errors import DataError
from lowbit.ir import Graph, Node, Value, evaluate, infer, verify
from lowbit.ir.deployed import deployed_layer
from lowbit.planes import pack
from lowbit.schemes import Affine, LearnedBasis
from tests.ir.networks import float_mlp, lowbit_mlp


def test_float_network_is_numpy() -> None:
    graph = float_mlp()
    x = np.random.default_rng(1).normal(size=(6, 5)).astype(np.float32)
    c = {name: value.data for name, value in graph.values.items() if value.data is not None}
    hidden = np.tanh(x @ c["fc1.weight"] + c["fc1.bias"])
    logits = hidden @ c["fc2.weight"] + c["fc2.bias"]
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(evaluate(graph, {"x": x})["y"], expected, rtol=1e-5)


@pytest.mark.parametrize("weight_offset", [False, True])
@pytest.mark.parametrize(("input_bits", "weight_bits"), [(1, 1), (2, 3), (4, 4)])
def test_integer_layer_equals_real_arithmetic(input_bits: int, weight_bits: int, weight_offset: bool) -> None:
    graph = lowbit_mlp((65, 33), input_bits, weight_bits, weight_offset=weight_offset, softmax=False)
    x = np.random.default_rng(2).normal(size=(9, 65)).astype(np.float32)
    source, weights = graph.value("x/codes").encoding, graph.value("fc1/weights")
    layer = deployed_layer(source, weights, graph.constant("fc1/bias"))
    levels = source.decode(source.encode(x)).astype(np.float64)
    real_weights = layer.weights * weights.encoding.integer_scale()[:, None]
    expected = levels @ real_weights.T + graph.constant("fc1/bias")
    np.testing.assert_allclose(evaluate(graph, {"x": x})["y"], expected, rtol=1e-5, atol=1e-5)


def test_hidden_codes_are_the_codes_of_the_activation() -> None:
    graph = lowbit_mlp((65, 200, 10), 3, 2)
    seen: dict[str, np.ndarray] = {}
    x = np.random.default_rng(3).normal(size=(50, 65)).astype(np.float32)
    evaluate(graph, {"x": x}, seen.__setitem__)
    source, hidden = graph.value("x/codes").encoding, graph.value("fc1/codes").encoding
    layer = deployed_layer(source, graph.value("fc1/weights"), graph.constant("fc1/bias"))
    sums = layer.input_levels[seen["x/codes"]] @ layer.weights.T
    expected = hidden.encode(np.tanh(layer.scale * sums + layer.bias))
    assert np.array_equal(seen["fc1/codes"], expected)  # no value lies within rounding of a threshold


def test_integer_thresholds_on_exact_ties() -> None:
    encoding = LearnedBasis(np.array([[0.5]]), np.array([0.5]), np.array([1]))  # levels 0, 1: integers -1, 1
    weights = Value(
        "w", "planes", (1, 2), pack(np.array([[1, 1]]), 1), LearnedBasis(np.ones((1, 1)), [0], [1])
    )
    layer = deployed_layer(encoding, weights, np.zeros(1))
    assert layer.weights.tolist() == [[1, 1]] and layer.scale[0] == 0.5 and layer.bias[0] == 1.0
    # y = 0.5 * acc + 1 with acc in -2, 0, 2: the value 1 equals the threshold 1 and stays below it.
    assert layer.integer_thresholds(np.float32([1.0])).tolist() == [[0]]
    below = np.nextafter(np.float32(1), np.float32(0))
    assert layer.integer_thresholds(below[None]).tolist() == [[-1]]


def test_thresholds_saturate() -> None:
    graph = lowbit_mlp()
    layer = deployed_layer(
        graph.value("x/codes").encoding, graph.value("fc1/weights"), graph.constant("fc1/bias")
    )
    ends = layer.integer_thresholds(np.float32([-3e38, 3e38]))
    assert set(ends[:, 0]) == {-(2**31)} and set(ends[:, 1]) == {2**31 - 1}


def test_accumulator_bound_is_reached_exactly() -> None:
    graph = lowbit_mlp((33, 7), 2, 3, weight_offset=True, softmax=False)
    layer = deployed_layer(
        graph.value("x/codes").encoding, graph.value("fc1/weights"), graph.constant("fc1/bias")
    )
    low, high = layer.input_levels.min(), layer.input_levels.max()
    worst = max(
        abs(int(np.where(row * sign > 0, high, low).astype(np.int64) @ row))
        for row in layer.weights.astype(np.int64)
        for sign in (1, -1)
    )
    assert layer.accumulator_bound() == worst


def test_row_sums_come_from_the_planes() -> None:
    graph = lowbit_mlp((65, 33), 1, 3, weight_offset=True, softmax=False)
    bias = np.zeros(33, np.float32)
    source = graph.value("x/codes").encoding
    layer = deployed_layer(source, graph.value("fc1/weights"), bias)
    scale = graph.value("fc1/weights").encoding.integer_scale()
    expected = source.offset.astype(np.float64)[0] * (scale * layer.weights.sum(axis=1))
    assert np.array_equal(layer.bias, expected)


def test_the_bound_of_a_layer_is_exact() -> None:
    bits = 7
    wide = LearnedBasis(2.0 ** np.arange(bits)[None], [0], [2 ** (bits - 1)])
    source = LearnedBasis(np.array([[1.0, 40.0]]), [0], [1000])
    packed = np.full((1, bits, 17000 // 32 + 1), 0xFFFFFFFF, np.uint32)
    packed[..., -1] = (1 << 17000 % 32) - 1
    layer = deployed_layer(source, Value("w", "planes", (1, 17000), packed, wide), np.zeros(1))
    assert layer.accumulator_bound() == 1025 * 127 * 17000 > 2**31
    assert layer.is_wide and layer.integer_thresholds([1e30]).dtype == np.int64


def affine_layer(output: Affine | None) -> Graph:
    random = np.random.default_rng(0)
    graph = Graph("affine", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 7))})
    graph.add(Value("q", "code", ("n", 7), None, Affine(8, np.array([0.02]), np.array([100]))))
    weights = Affine(8, random.uniform(0.01, 0.02, 5), np.full(5, 128))
    graph.add(Value("w", "code", (5, 7), random.integers(0, 256, (5, 7)).astype(np.uint8), weights))
    graph.add_constant("b", random.integers(-1000, 1000, 5), "int32")
    graph.nodes = [
        Node("Encode", ("x",), ("q",), {}, "encode", "lowbit"),
        Node("Linear", ("q", "w", "b"), ("y" if output is None else "a",), {}, "fc", "lowbit"),
    ]
    if output is not None:
        graph.add(Value("a", "code", ("n", 5), None, output))
        graph.add(Value("t", "code", ("n", 5), None, Affine(8, np.array([1 / 128]), np.array([128]))))
        graph.nodes += [
            Node("Tanh", ("a",), ("t",), {}, "tanh"),
            Node("Decode", ("t",), ("y",), {}, "decode", "lowbit"),
        ]
    infer(graph)
    verify(graph)
    return graph


def test_affine_layer_equals_real_arithmetic() -> None:
    graph = affine_layer(None)
    x = np.random.default_rng(1).normal(size=(6, 7)).astype(np.float32)
    source, weights = graph.value("q").encoding, graph.value("w")
    scale = source.scale[0] * weights.encoding.scale.astype(np.float64)
    expected = (
        source.decode(source.encode(x)) @ weights.encoding.decode(weights.data).T
        + graph.constant("b") * scale
    )
    np.testing.assert_allclose(evaluate(graph, {"x": x})["y"], expected, rtol=1e-5, atol=1e-5)


def test_affine_codes_are_rounded_half_to_even_and_saturated() -> None:
    encoding = Affine(8, np.array([0.05]), np.array([128]))
    graph, plain = affine_layer(encoding), affine_layer(None)
    x = np.random.default_rng(1).normal(size=(50, 7)).astype(np.float32) * 3
    seen: dict[str, np.ndarray] = {}
    evaluate(graph, {"x": x}, seen.__setitem__)
    real = evaluate(plain, {"x": x})["y"].astype(np.float64)
    expected = np.clip(np.rint(real / np.float64(np.float32(0.05))) + 128, 0, 255)
    assert np.array_equal(seen["a"], expected)
    assert {0, 255} <= set(seen["a"].ravel().tolist())
    table = graph.value("t").encoding.encode(np.tanh(encoding.levels()[0]))
    assert np.array_equal(seen["t"], table[seen["a"]])


@pytest.mark.parametrize(
    "feed", [{}, {"x": np.zeros((2, 6))}, {"x": np.zeros(5)}, {"x": np.array([["a"] * 5])}]
)
def test_inputs_that_do_not_fit_are_refused(feed: dict[str, np.ndarray]) -> None:
    with pytest.raises(DataError, match="input"):
        evaluate(float_mlp(), feed)
