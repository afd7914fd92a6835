"""Scales that are worked out at run time: float arithmetic that gives what ONNX Runtime does, run by run."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from lowbit.backends import BACKENDS
from lowbit.engine import Program
from lowbit.formats.onnx import from_proto
from lowbit.ir import Graph
from lowbit.ir.layers import is_low_bit
from lowbit.ir.reference import evaluate
from tests.formats.onnx.quantized.models import Array, Model, onnxruntime_output

MICROSOFT = "com.microsoft"


def dynamic(model: Model, source: str) -> list[str]:
    """Quantize a value by its own range: numbers, scale and zero point."""
    names = [model.name(stem) for stem in ("numbers", "scale", "zero")]
    model.nodes.append(helper.make_node("DynamicQuantizeLinear", [source], names))
    return names


def weights(model: Model, shape: tuple[int, ...], axis: int | None) -> list[str]:
    """Return whole numbers, their scale and zero point, for all or along an axis."""
    random, signed = model.random, bool(model.random.integers(2))
    channels = shape[axis] if axis is not None and signed and random.integers(2) else 1
    kind, low, high = (np.int8, -127, 128) if signed else (np.uint8, 0, 256)
    zero = np.zeros(channels, np.int8) if signed else random.integers(100, 150, channels).astype(np.uint8)
    scale = random.uniform(0.01, 0.02, channels).astype(np.float32)
    rows = (scale, zero) if channels > 1 else (scale.reshape(()), zero.reshape(()))
    return [model.constant(random.integers(low, high, shape).astype(kind)), *map(model.constant, rows)]


def product(model: Model, op: str) -> tuple[str, tuple[int, ...]]:
    """Return the output of a product of whole numbers, and the shape of its input."""
    shape = (4, 6, 5) if op == "ConvInteger" else (12,)
    if op == "DynamicQuantizeMatMul":
        held = weights(model, (12, 5), 1)
        return model.node(op, ["x", *held, model.constant(np.ones(5, np.float32))], MICROSOFT), shape
    numbers, scale, zero = dynamic(model, "x")
    if op == "MatMulIntegerToFloat":
        w, ws, wz = weights(model, (12, 5), 1)
        return model.node(op, [numbers, w, scale, ws, zero, wz], MICROSOFT), shape
    # A convolution has one zero point: ONNX Runtime knows no others.
    w, _, wz = weights(model, *(((3, 4, 3, 3), None) if op == "ConvInteger" else ((12, 5), 1)))
    sums = model.node(op, [numbers, w, zero, wz])
    real = model.node("Cast", [sums], to=TensorProto.FLOAT)
    return model.node("Mul", [real, model.node("Mul", [scale, model.constant(np.float32(0.01))])]), shape


def check(graph: Graph, proto: object, samples: Array) -> None:
    runs = [sample[None] for sample in samples]
    expected = [onnxruntime_output(proto, run) for run in runs]  # type: ignore[arg-type]
    name = graph.inputs[0]
    for run, wanted in zip(runs, expected, strict=True):
        found = evaluate(graph, {name: run})[graph.outputs[0]]
        np.testing.assert_allclose(found, wanted, atol=2e-5 * float(np.abs(wanted).max()))
    engine = BACKENDS["engine"]
    if not engine.blockers(graph):
        program = Program(graph)
        for run, wanted in zip(runs, expected, strict=True):
            np.testing.assert_allclose(program.run(run), wanted, atol=2e-5 * float(np.abs(wanted).max()))


@pytest.mark.parametrize(
    "op", ["MatMulInteger", "ConvInteger", "DynamicQuantizeMatMul", "MatMulIntegerToFloat"]
)
@pytest.mark.parametrize("seed", range(6))
def test_products_of_whole_numbers(op: str, seed: int) -> None:
    model = Model(np.random.default_rng(seed))
    output, shape = product(model, op)
    proto = model.proto((1, *shape), output)
    graph = from_proto(proto)
    assert sum(map(is_low_bit, graph.nodes)) == 1  # its weights stay codes
    samples = model.random.normal(0.3, 1, (5, *shape)).astype(np.float32)
    samples[1], samples[2] = np.abs(samples[1]), -np.abs(samples[2])  # one side of zero only
    samples[3] = 0
    check(graph, proto, samples)


def test_an_input_that_is_nothing_but_zero_is_zero() -> None:
    model = Model(np.random.default_rng(0))
    numbers, scale, zero = dynamic(model, "x")
    real = model.node("DequantizeLinear", [numbers, scale, zero])
    graph = from_proto(model.proto((1, 7), real))
    found = evaluate(graph, {"x": np.zeros((1, 7), np.float32)})[graph.outputs[0]]
    assert np.array_equal(found, np.zeros((1, 7), np.float32))


@pytest.mark.parametrize("kind", [TensorProto.BFLOAT16, TensorProto.DOUBLE, TensorProto.FLOAT16])
@pytest.mark.parametrize("raw", [False, True])
def test_weights_of_other_floats(kind: int, raw: bool) -> None:
    numbers = np.array([[0.5, -1.25], [3.0, 0.0]], np.float32)  # exact in all of them
    if kind == TensorProto.BFLOAT16:
        bits = (numbers.view(np.uint32) >> 16).astype(np.uint16)
        tensor = TensorProto(name="w", data_type=kind, dims=numbers.shape)
        if raw:
            tensor.raw_data = bits.tobytes()
        else:
            tensor.int32_data.extend(int(each) for each in bits.reshape(-1))
    else:
        dtype = np.float64 if kind == TensorProto.DOUBLE else np.float16
        content = numbers.astype(dtype)
        tensor = helper.make_tensor(
            "w", kind, numbers.shape, content.tobytes() if raw else content.reshape(-1), raw
        )
    model = Model(np.random.default_rng(0))
    model.tensors.append(tensor)
    held = model.node("Cast", ["w"], to=TensorProto.FLOAT)
    graph = from_proto(model.proto(("n", 2), model.node("MatMul", ["x", held])))
    found = evaluate(graph, {"x": np.eye(2, dtype=np.float32)})[graph.outputs[0]]
    assert np.array_equal(found, numbers)
