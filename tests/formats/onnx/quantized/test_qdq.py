"""QDQ and QCDQ, made at random: the reference and the engine compute what ONNX Runtime does."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

import lowbit
from lowbit.backends.onnxruntime import session
from lowbit.engine import Program
from lowbit.formats.onnx import from_proto
from lowbit.ir import Graph
from lowbit.ir.layers import is_low_bit
from lowbit.ir.reference import evaluate
from tests.formats.onnx.quantized.models import Array, Model, onnxruntime_output

KINDS = {
    "int8": (TensorProto.INT8, -128, 127),
    "uint8": (TensorProto.UINT8, 0, 255),
    "int4": (TensorProto.INT4, -8, 7),
    "uint4": (TensorProto.UINT4, 0, 15),
}


def quantized(model: Model, source: str, span: float, *, clip: bool = False) -> str:
    """Quantize and dequantize a value of about that span."""
    name = str(model.random.choice(["int8", "uint8"]))
    kind, low, high = KINDS[name]
    bits = int(model.random.integers(2, 8)) if clip else 8
    if clip:
        low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if low else (0, (1 << bits) - 1)
        low += int(low < 0 and model.random.integers(2))  # narrow
    scale = np.float32(span * model.random.uniform(0.5, 1.2) / (high - low))
    zero = int(model.random.integers(low, high + 1)) if model.random.integers(2) else max(low, 0)
    parameters = [model.constant(scale), model.constant(zero, kind)]
    codes = model.node("QuantizeLinear", [source, *parameters])
    if clip:
        codes = model.node("Clip", [codes, model.constant(low, kind), model.constant(high, kind)])
    return model.node("DequantizeLinear", [codes, *parameters])


def weights(model: Model, shape: tuple[int, ...], axis: int) -> tuple[str, Array]:
    """Return decoded weights and their scales along an axis, or one scale for all."""
    kind, low, high = KINDS[str(model.random.choice(list(KINDS)))]
    channels = shape[axis] if model.random.integers(2) else 1
    scale = model.random.uniform(0.5, 2, channels).astype(np.float32) / np.float32(high)
    zero = (
        model.random.integers(low, high + 1, channels)
        if model.random.integers(2)
        else np.full(channels, max(low, 0))
    )
    if channels == 1:
        scale, zero = scale.reshape(()), zero.reshape(())
    codes = model.constant(model.random.integers(low, high + 1, shape), kind)
    inputs = [codes, model.constant(scale), model.constant(zero, kind)]
    return model.node("DequantizeLinear", inputs, axis=axis), scale


def layer(model: Model, source: str, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """Add a layer of weights of codes; return its output and that one's shape."""
    outputs = int(model.random.integers(1, 5)) * 2
    if len(shape) == 1:
        form = model.random.choice(["Gemm", "MatMul", "Transpose"])
        if form == "Gemm":
            held, _ = weights(model, (outputs, shape[0]), 0)
            return model.node("Gemm", [source, held, bias(model, outputs)], transB=1), (outputs,)
        if form == "MatMul":
            held, _ = weights(model, (shape[0], outputs), 1)
        else:
            stored, _ = weights(model, (outputs, shape[0]), 0)
            held = model.node("Transpose", [stored], perm=[1, 0])
        product = model.node("MatMul", [source, held])
        return model.node("Add", [product, bias(model, outputs)]), (outputs,)
    group = int(model.random.choice([1, 2, shape[0]]))
    outputs = shape[0] if group == shape[0] else outputs
    window = [int(model.random.integers(1, 4)) for _ in shape[1:]]
    held, _ = weights(model, (outputs, shape[0] // group, *window), 0)
    pads = [extent // 2 for extent in window] * 2
    inputs = [source, held, bias(model, outputs)] if model.random.integers(2) else [source, held]
    made = model.node("Conv", inputs, group=group, pads=pads, kernel_shape=window)
    lengths = [
        length + 2 * (extent // 2) - extent + 1 for length, extent in zip(shape[1:], window, strict=True)
    ]
    return made, (outputs, *lengths)


def bias(model: Model, outputs: int) -> str:
    """Return a bias: floats, or decoded int32."""
    if model.random.integers(2):
        return model.constant(model.random.standard_normal(outputs).astype(np.float32))
    numbers = model.random.integers(-1000, 1000, outputs).astype(np.int32)
    scale = np.full(outputs, 0.003, np.float32)
    return model.node("DequantizeLinear", [model.constant(numbers), model.constant(scale)], axis=0)


def network(seed: int, *, clip: bool = False) -> tuple[Model, tuple[int, ...], str]:
    """Return a chain of layers between codes, its input shape and its output."""
    model = Model(np.random.default_rng(seed))
    start = [(12,), (4, 9), (4, 6, 5)][seed % 3]
    value, shape = quantized(model, "x", 6.0, clip=clip), start
    for _ in range(3):
        value, shape = layer(model, value, shape)
        act = str(model.random.choice(["Relu", "Tanh", "", "LeakyRelu"]))
        value = model.node(act, [value]) if act else value
        value = quantized(model, value, 8.0, clip=clip)
        if len(shape) == 3 and model.random.integers(2) and min(shape[1:]) > 3:
            value = model.node("MaxPool", [value], kernel_shape=[2, 2], strides=[2, 2])
            shape = (shape[0], shape[1] // 2, shape[2] // 2)
    if len(shape) > 1 and model.random.integers(2):
        value = model.node("Flatten", [value])
    return model, start, value


def check(graph: Graph, expected: Array, samples: Array, levels: int = 256) -> None:
    """Check reference and engine: the span of the output in at most a step of codes, hardly anywhere."""
    found = np.asarray(evaluate(graph, {"x": samples})[graph.outputs[0]])
    far = np.abs(found - expected) > 1e-5 * max(float(np.abs(expected).max()), 1e-3)
    assert far.mean() < 0.003 or far.sum() <= 1
    assert np.array_equal(Program(graph).run(samples), found)


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("seed", range(24))
def test_networks_at_random(seed: int, clip: bool) -> None:
    model, shape, output = network(seed, clip=clip)
    proto = model.proto(("n", *shape), output)
    samples = np.random.default_rng(seed).standard_normal((40, *shape)).astype(np.float32)
    graph = from_proto(proto)
    assert sum(is_low_bit(node) for node in graph.nodes) == 3
    assert all(graph.value(node.inputs[0]).encoding is not None for node in graph.nodes if is_low_bit(node))
    check(graph, onnxruntime_output(proto, samples), samples)


@pytest.mark.parametrize("seed", range(9))
def test_what_was_read_has_a_place_in_every_file(tmp_path: Path, seed: int) -> None:
    """Thresholds of an encoder's own among it, which QUANTIZE of a .circle has no place for."""
    model, shape, output = network(seed, clip=bool(seed % 2))
    graph = from_proto(model.proto(("n", *shape), output))
    samples = np.random.default_rng(seed).standard_normal((20, *shape)).astype(np.float32)
    expected = Program(graph).run(samples)
    for suffix in (".circle", ".onnx", ".txt", ".qdq.onnx"):
        lowbit.write(graph, tmp_path / f"net{suffix}")
        assert np.array_equal(lowbit.load(tmp_path / f"net{suffix}").run(samples), expected), suffix
    pytest.importorskip("onnxruntime")
    found = session(tmp_path / "net.onnx").run(None, {"x": samples})[0]
    far = np.abs(found - expected) > 1e-5 * max(float(np.abs(expected).max()), 1e-3)
    assert far.mean() < 0.005


def test_a_grid_of_ties_is_rounded_as_the_runtime_does() -> None:
    """Pixels k / 255 over a scale of 2 / 255 are ties in float32, and none in exact arithmetic."""
    model = Model(np.random.default_rng(0))
    parameters = [model.constant(np.float32(2 / 255)), model.constant(np.uint8(0))]
    codes = model.node("QuantizeLinear", ["x", *parameters])
    proto = model.proto(("n", 256), model.node("DequantizeLinear", [codes, *parameters]))
    pixels = (np.arange(256, dtype=np.float32) / np.float32(255))[None]
    found = evaluate(from_proto(proto), {"x": pixels})
    assert np.array_equal(next(iter(found.values())), onnxruntime_output(proto, pixels))
