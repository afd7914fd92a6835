"""Names in files that TensorFlow made: readable, each once, and such as a plan can use."""

from dataclasses import replace

import numpy as np
import pytest

from lowbit.formats.circle.reader import read_content
from lowbit.formats.circle.schema import SAME, Conv2DOptions, FullyConnectedOptions, ReshapeOptions
from lowbit.formats.paths import layer_of_path
from lowbit.ir import Graph
from lowbit.plan import Plan
from lowbit.quantization import quantize
from tests.formats.test_tflite_int8 import RELU, Author

LAYERS = ["model/block_1/conv", "model/block_1/deep/conv", "model/fc", "model/fc_2"]


@pytest.mark.parametrize(
    "operator", ["Conv2D", "convolution", "MatMul", "depthwise", "Conv2D1", "MatMul/Read:0"]
)
@pytest.mark.parametrize("layer", [*LAYERS, "conv2d_2"])
@pytest.mark.parametrize("before", ["", "model/norm/batchnorm/mul_1;", "model/act/Relu;model/norm/FusedV3;"])
def test_a_layer_is_called_after_the_scope_of_its_weights(operator: str, layer: str, before: str) -> None:
    assert layer_of_path(f"{before}{layer}/{operator};model/other/Conv2D") == layer


@pytest.mark.parametrize(
    "name", ["", "MatMul", "x/kernel", "onnx::Conv_80", "model/conv2d_1", "model/conv_w"]
)
def test_other_names_say_no_layer(name: str) -> None:
    assert layer_of_path(name) == ""


def network() -> Graph:
    """Return what is read of two convolutions and two layers whose names are joined paths."""
    author, width = Author(np.random.default_rng(0)), 3
    names: dict[int, str] = {}

    def constant(shape: tuple[int, ...]) -> int:
        return author.tensor(shape, "float32", None, author.random.normal(size=shape).astype(np.float32))

    source = at = author.tensor((1, 6, 6, 3), "float32")
    for layer in LAYERS[:2]:
        weights, bias = constant((4, 3, 3, width)), constant((4,))
        output = author.tensor((1, 6, 6, 4), "float32")
        at = author.operator("CONV_2D", (at, weights, bias), output, Conv2DOptions(SAME, 1, 1, RELU))
        names |= {weights: f"{layer}/Conv2D", at: f"{layer}/Relu;model/norm/add;{layer}/Conv2D1"}
        width = 4
    flat = author.tensor((1, 144), "float32")
    at = author.operator("RESHAPE", (at, author.integers(-1, 144)), flat, ReshapeOptions((-1, 144)))
    for layer, inputs in zip(LAYERS[2:], (144, 5), strict=True):
        weights, bias = constant((5, inputs)), constant((5,))
        output = author.tensor((1, 5), "float32")
        at = author.operator("FULLY_CONNECTED", (at, weights, bias), output, FullyConnectedOptions())
        names |= {weights: f"{layer}/MatMul", at: f"{layer}/MatMul;{layer}/BiasAdd"}
    author.tensors = [replace(each, name=names.get(i, each.name)) for i, each in enumerate(author.tensors)]
    return read_content(author.content(source, at), "net.tflite")


def test_nodes_have_names_for_people_each_once() -> None:
    names = [node.name for node in network().nodes]
    assert len(set(names)) == len(names)
    assert set(LAYERS) <= set(names)
    assert not any(";" in name for name in names)


def test_a_plan_names_them() -> None:
    plan = Plan(
        "affine:8",
        "affine:8",
        method="rtn",
        layers={
            "model/block_1/*": {"weights": "affine:4"},
            "model/fc_2": {"weights": "float", "activations": "float"},
        },
    )
    samples = np.random.default_rng(1).normal(size=(8, 6, 6, 3)).astype(np.float32)
    _, report = quantize(network(), samples, plan)
    bits = {layer.name: layer.weight_bits for layer in report.layers}
    assert bits == {LAYERS[0]: 4, LAYERS[1]: 4, LAYERS[2]: 8}
