"""Files as TensorFlow Lite's converter writes them: 8-bit residual and depthwise networks, float16 weights.

The files are built here, table by table; LiteRT runs the same bytes.
"""

from dataclasses import replace

import numpy as np
import pytest

from lowbit.engine import Program
from lowbit.errors import UnsupportedError
from lowbit.formats.circle.model_file import read_model
from lowbit.formats.circle.reader import read_content
from lowbit.formats.circle.schema import (
    SAME,
    TENSOR_TYPES,
    TFLITE,
    VALID,
    AddOptions,
    Conv2DOptions,
    DepthwiseConv2DOptions,
    DequantizeOptions,
    FullyConnectedOptions,
    OperatorCode,
    Pool2DOptions,
    QuantizeOptions,
    ReducerOptions,
    ReshapeOptions,
    SoftmaxOptions,
    Tensor,
)
from lowbit.formats.circle.writer import content_of
from lowbit.formats.flatbuffer_writer import write_flatbuffer
from lowbit.ir import Graph, evaluate, run_passes, verify
from lowbit.ir.passes import decode_layers
from lowbit.quantization import Plan, quantize
from tests.formats.test_circle_functions import litert
from tests.formats.tflite_author import Author

RELU, RELU6 = 1, 3


def residual_network(seed: int, *, mean: bool, act: int) -> bytes:
    """Return conv, depthwise conv, a residual sum, a pool or a mean, a layer, softmax; floats at the ends."""
    author = Author(np.random.default_rng(seed))
    x = author.tensor((1, 8, 8, 3), "float32")
    codes = author.operator("QUANTIZE", (x,), author.codes_of((1, 8, 8, 3), 2 / 255, 0), QuantizeOptions())
    weights = author.weights((6, 3, 3, 3), 0, codes, 0.4)
    wide = author.codes_of((1, 8, 8, 6), 6 / 255 if act == RELU6 else 0.02, -128)
    author.operator("CONV_2D", (codes, *weights), wide, Conv2DOptions(SAME, 1, 1, act))
    weights = author.weights((1, 3, 3, 6), 3, wide, 0.5)
    deep = author.codes_of((1, 8, 8, 6), 0.03, 5)
    author.operator("DEPTHWISE_CONV_2D", (wide, *weights), deep, DepthwiseConv2DOptions(SAME, 1, 1, 1))
    total = author.codes_of((1, 8, 8, 6), 0.035, -128)
    author.operator("ADD", (wide, deep), total, AddOptions(RELU))
    if mean:
        flat = author.codes_of((1, 6), 0.02, -128)
        author.operator("MEAN", (total, author.integers(1, 2)), flat, ReducerOptions(False))
    else:
        pooled = author.codes_of((1, 4, 4, 6), 0.035, -128)
        author.operator("AVERAGE_POOL_2D", (total,), pooled, Pool2DOptions(VALID, 2, 2, 2, 2))
        flat = author.codes_of((1, 96), 0.035, -128)
        author.operator("RESHAPE", (pooled, author.integers(-1, 96)), flat, ReshapeOptions((-1, 96)))
    weights = author.weights((5, 6 if mean else 96), 0, flat, 1.0 if mean else 0.3)
    scores = author.codes_of((1, 5), 0.06, 3)
    author.operator("FULLY_CONNECTED", (flat, *weights), scores, FullyConnectedOptions())
    shares = author.codes_of((1, 5), 1 / 256, -128)
    author.operator("SOFTMAX", (scores,), shares, SoftmaxOptions(1.0))
    y = author.tensor((1, 5), "float32")
    author.operator("DEQUANTIZE", (shares,), y, DequantizeOptions())
    return author.content(x, y)


def read(content: bytes) -> Graph:
    graph = read_content(content, "net.tflite")
    verify(graph)
    return graph


def pictures(count: int) -> np.ndarray:
    return np.random.default_rng(9).uniform(-1, 1, size=(count, 8, 8, 3)).astype(np.float32)


@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("act", [RELU, RELU6])
def test_the_classes_of_litert(mean: bool, act: int) -> None:
    agreed = []
    for seed in range(4):
        content, x = residual_network(seed, mean=mean, act=act), pictures(50)
        graph = read(content)
        assert {node.op for node in graph.nodes} >= {"Convolution", "Linear"}
        assert [node.op for node in graph.nodes].count("Transpose") == 1, "one, at the input"
        (found,) = evaluate(graph, {graph.inputs[0]: x}).values()
        expected = litert(content, x)
        assert np.abs(found - expected).max() <= 0.02, "one code of the scores"
        second, first = np.sort(expected, axis=1)[:, -2:].T
        same = found.argmax(1) == expected.argmax(1)
        assert same[first - second > 0.04].all(), "where the classes differ by more than the codes do"
        agreed.append(same.mean())
        assert (
            np.array_equal(Program(graph).run(x), found) or np.abs(Program(graph).run(x) - found).max() < 1e-6
        )
    assert np.mean(agreed) >= 0.93


def test_what_was_read_is_written_and_quantized_again() -> None:
    graph, x = read(residual_network(1, mean=False, act=RELU6)), pictures(64)
    (name,), (expected,) = graph.inputs, evaluate(graph, {graph.inputs[0]: pictures(64)}).values()
    again = read(bytes(content_of(graph)))
    np.testing.assert_array_equal(next(iter(evaluate(again, {name: x}).values())), expected)
    decoded = run_passes(graph, [decode_layers]).graph
    assert not any(value.encoding for value in decoded.values.values())
    (floats,) = evaluate(decoded, {name: x}).values()
    assert np.abs(floats - expected).max() < 0.05
    for bits, scheme in ((8, "affine"), (4, "lq"), (2, "lq")):
        low, report = quantize(graph, x, Plan(scheme=scheme, weight_bits=bits, activation_bits=bits))
        assert len(report.layers) == 3
        (codes,) = evaluate(low, {name: x}).values()
        np.testing.assert_allclose(Program(low).run(x), codes, rtol=1e-5, atol=1e-6)
        read(bytes(content_of(low)))


def float16_layer(function: str = "RELU6") -> bytes:
    """Return a layer whose float16 weights are dequantized, and a function."""
    author = Author(np.random.default_rng(0))
    x = author.tensor((1, 4), "float32")
    half = author.random.normal(size=(3, 4)).astype(np.float16)
    stored = author.tensor((3, 4), "float16", None, half)
    weights = author.operator("DEQUANTIZE", (stored,), author.tensor((3, 4), "float32"), DequantizeOptions())
    bias = author.tensor((3,), "float32", None, np.ones(3, np.float32))
    linear = author.tensor((1, 3), "float32")
    author.operator("FULLY_CONNECTED", (x, weights, bias), linear, FullyConnectedOptions())
    y = author.operator(function, (linear,), author.tensor((1, 3), "float32"))
    return author.content(x, y)


def test_float16_weights_are_floats() -> None:
    content = float16_layer()
    graph = read(content)
    assert [node.op for node in graph.nodes] == ["Gemm", "Clip"]
    x = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32) * 3
    (found,) = evaluate(graph, {graph.inputs[0]: x}).values()
    np.testing.assert_allclose(found, litert(content, x), rtol=1e-5, atol=1e-6)


def test_every_missing_operator_is_named_with_its_count() -> None:
    author = Author(np.random.default_rng(0))
    x, y, z = (author.tensor((1, 4), "float32") for _ in range(3))
    author.operator("ELU", (x,), y)
    author.operator("ELU", (y,), z)
    author.operator("RELU", (z,), author.tensor((1, 4), "float32"))
    model = read_model(author.content(x, 3), "net.tflite")
    codes = (OperatorCode(27, "", 1, 27), model.operator_codes[1])
    content = bytes(write_flatbuffer(replace(model, operator_codes=codes), TFLITE))
    with pytest.raises(UnsupportedError, match=r"operator 0 \(SVDF\).*SVDF \(2\)"):
        read_content(content, "net.tflite")


def test_an_empty_constant_is_no_damage() -> None:
    model = read_model(float16_layer(), "net.tflite")
    empty = Tensor((0,), TENSOR_TYPES["int32"], 0, "nothing")
    subgraph = replace(model.subgraphs[0], tensors=(*model.subgraphs[0].tensors, empty))
    read(bytes(write_flatbuffer(replace(model, subgraphs=(subgraph,)), TFLITE)))


def test_a_variable_is_unsupported() -> None:
    author = Author(np.random.default_rng(0))
    x, state, y = (author.tensor((1, 4), "float32") for _ in range(3))
    author.tensors[state] = replace(author.tensors[state], is_variable=True)
    author.operator("ADD", (x, state), y, AddOptions())
    with pytest.raises(UnsupportedError, match="variables that live"):
        read_content(author.content(x, y), "net.tflite")


def test_a_layer_of_codes_that_reads_a_map_is_quantized_again() -> None:
    author = Author(np.random.default_rng(3))
    x = author.codes_of((1, 8, 8, 3), 2 / 255, 0)
    weights = author.weights((6, 8, 8, 3), 0, x, 0.3)
    pooled = author.codes_of((1, 1, 1, 6), 0.05, 0)
    author.operator("CONV_2D", (x, *weights), pooled, Conv2DOptions(VALID, 1, 1, 0))
    weights = author.weights((4, 6), 0, pooled, 1.0)
    scores = author.codes_of((1, 4), 0.06, 3)
    author.operator("FULLY_CONNECTED", (pooled, *weights), scores, FullyConnectedOptions())
    graph = read(author.content(x, scores))
    low, _ = quantize(graph, pictures(32), Plan("affine:8", "affine:8", method="rtn"))
    expected, found = (Program(each).run(pictures(64)) for each in (graph, low))
    assert np.abs(found - expected).mean() < 0.05 * np.abs(expected).mean()
