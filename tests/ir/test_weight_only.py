"""Layers with planes that read floats: against a float product of the levels, and what they refuse."""

import numpy as np
import pytest

from lowbit.errors import GraphError
from lowbit.ir import Graph, Node, evaluate, infer, verify
from lowbit.ir.activations import apply_activation
from lowbit.ir.weight_only import tolerance, weight_levels
from tests.ir.networks import Convolution, weight_only_convnet, weight_only_mlp


@pytest.mark.parametrize("activation", ["none", "relu", "tanh"])
@pytest.mark.parametrize("bits", [1, 2, 3, 8])
def test_a_fully_connected_layer_is_a_product_with_levels(bits: int, activation: str) -> None:
    graph = weight_only_mlp((65, 33), bits, activation=activation)
    x = np.random.default_rng(1).normal(size=(4, 65)).astype(np.float32)
    weights, bias = graph.value("fc1/weights"), graph.constant("fc1/bias")
    levels = weights.encoding.levels()
    signs = 2.0 * ((weights.data[:, :, np.arange(65) // 32] >> (np.arange(65, dtype=np.uint32) % 32)) & 1) - 1
    basis, offset = weights.encoding.basis.astype(np.float64), weights.encoding.offset.astype(np.float64)
    expected = np.einsum("oj,ojn,sn->so", basis, signs, x.astype(np.float64)) + bias
    expected += offset * x.astype(np.float64).sum(axis=1, keepdims=True)
    found = evaluate(graph, {"x": x})["y"]
    np.testing.assert_allclose(found, apply_activation(activation, expected), rtol=1e-6, atol=1e-6)
    assert weight_levels(weights).shape == (33, 65) and levels.shape == (33, 1 << bits)


def test_a_convolution_skips_padding() -> None:
    layer = Convolution(6, kernel=(3, 2), strides=(2, 1), pads=(1, 0, 2, 1), group=2)
    graph = weight_only_convnet((4, 5, 6), (layer,), 2)
    x = np.random.default_rng(1).normal(size=(2, 4, 5, 6)).astype(np.float32)
    weights = graph.value("conv1/weights")
    plain = Graph("plain", ("x",), ("y",), values={"x": graph.value("x")})
    rows = weight_levels(weights).reshape([int(extent) for extent in weights.shape])
    plain.add_constant("w", rows.transpose(0, 3, 1, 2))
    plain.add_constant("b", graph.constant("conv1/bias"))
    attributes = {name: item for name, item in layer.attributes("none").items() if name != "activation"}
    plain.nodes = [Node("Conv", ("x", "w", "b"), ("y",), attributes, "conv")]
    infer(plain)
    np.testing.assert_allclose(
        evaluate(graph, {"x": x})["y"], evaluate(plain, {"x": x})["y"], rtol=1e-5, atol=1e-5
    )


def test_any_order_of_summation_stays_within_the_tolerance() -> None:
    graph = weight_only_mlp((1000, 5), 3)
    weights, bias = graph.value("fc1/weights"), graph.constant("fc1/bias")
    x = np.random.default_rng(1).normal(size=(3, 1000)).astype(np.float32)
    exact = evaluate(graph, {"x": x})["y"]
    bound = tolerance(weights, bias, np.abs(x).sum(axis=1))
    levels = weight_levels(weights).astype(np.float32)
    for order in (np.arange(1000), np.arange(1000)[::-1], np.argsort(x[0]), np.argsort(np.abs(x[1]))):
        sums = np.zeros((3, 5), np.float32)
        for n in order:
            sums += x[:, n, None] * levels[:, n]
        assert (np.abs(sums + bias - exact) <= bound).all()
    one_weight = np.abs(2 * weights.encoding.basis[:, 0] * np.abs(x).mean())
    assert (bound.max(axis=0) < one_weight).all(), "a single wrong bit would not be seen"


def test_thresholds_need_codes() -> None:
    graph = weight_only_mlp((5, 3), 2)
    graph.add_constant("t", np.zeros(3))
    node = graph.nodes[0]
    graph.nodes[0] = Node(node.op, (*node.inputs, "t"), node.outputs, node.attributes, node.name, node.domain)
    with pytest.raises(GraphError, match="thresholds of a layer that reads floats"):
        verify(graph)


def test_an_input_of_another_type_or_length_is_refused() -> None:
    graph = weight_only_mlp((5, 3), 2)
    graph.update("x", shape=("n", 6))
    with pytest.raises(GraphError, match=r"input shape.*\[..., 5\]"):
        verify(graph)
    graph.update("x", shape=("n", 5), dtype="int64")
    with pytest.raises(GraphError, match="float32"):
        verify(graph)
