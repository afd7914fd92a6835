"""Whole numbers that are no codes inside: at a network's ends, of 16 bits, per channel, truncated."""

import numpy as np
import pytest
from onnx import TensorProto

from lowbit.data.network_input import NetworkInput
from lowbit.engine import Program
from lowbit.formats.onnx import from_proto
from lowbit.ir.input_type import InputType
from lowbit.ir.reference import evaluate
from tests.formats.onnx.quantized.models import Array, Model, onnxruntime_output

F = np.float32


def same(proto: object, samples: Array, *, atol: float = 0.0) -> None:
    """Check reference and engine against ONNX Runtime."""
    graph = from_proto(proto)  # type: ignore[arg-type]
    expected = onnxruntime_output(proto, samples)  # type: ignore[arg-type]
    np.testing.assert_allclose(evaluate(graph, {"x": samples})[graph.outputs[0]], expected, atol=atol, rtol=0)
    np.testing.assert_allclose(Program(graph).run(samples), expected, atol=atol, rtol=0)


@pytest.mark.parametrize("kind", [TensorProto.INT16, TensorProto.UINT16])
def test_16_bits(kind: int) -> None:
    model = Model(np.random.default_rng(0))
    parameters = [model.constant(F(0.0007)), model.constant(np.asarray(300), kind)]
    codes = model.node("QuantizeLinear", ["x", *parameters])
    proto = model.proto(("n", 50), model.node("DequantizeLinear", [codes, *parameters]))
    same(proto, model.random.normal(0, 20, (4, 50)).astype(F))


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_a_scale_per_channel_of_what_is_computed(axis: int) -> None:
    model = Model(np.random.default_rng(1))
    channels = (3, 4)[axis % 3 - 1]
    scale = model.random.uniform(0.01, 0.1, channels).astype(F)
    zero = model.random.integers(-20, 20, channels).astype(np.int8)
    parameters = [model.constant(scale), model.constant(zero)]
    codes = model.node("QuantizeLinear", ["x", *parameters], axis=axis)
    proto = model.proto(("n", 3, 4), model.node("DequantizeLinear", [codes, *parameters], axis=axis))
    same(proto, model.random.normal(0, 3, (6, 3, 4)).astype(F))


def test_codes_read_with_another_scale() -> None:
    model = Model(np.random.default_rng(2))
    one, other = (
        [model.constant(F(scale)), model.constant(np.uint8(zero))] for scale, zero in ((0.1, 7), (0.3, 90))
    )
    codes = model.node("QuantizeLinear", ["x", *one])
    proto = model.proto(("n", 30), model.node("DequantizeLinear", [codes, *other]))
    same(proto, model.random.normal(0, 9, (5, 30)).astype(F))


@pytest.mark.parametrize("kind", [TensorProto.UINT8, TensorProto.INT8])
def test_inputs_and_outputs_of_integers_are_reals(kind: int) -> None:
    model = Model(np.random.default_rng(3))
    dtype, zero = (np.uint8, 128) if kind == TensorProto.UINT8 else (np.int8, 3)
    parameters = [model.constant(F(1 / 64)), model.constant(dtype(zero))]
    kernel = [model.constant(model.random.integers(-99, 99, (6, 4)).astype(np.int8)), model.constant(F(0.02))]
    real = model.node("DequantizeLinear", ["x", *parameters])
    product = model.node("MatMul", [real, model.node("DequantizeLinear", kernel)])
    end = [model.constant(F(0.1)), model.constant(dtype(zero))]
    proto = model.proto(("n", 6), model.node("QuantizeLinear", [product, *end]), kind)
    proto.graph.output[0].type.tensor_type.elem_type = kind
    numbers = model.random.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, (20, 6)).astype(dtype)
    expected = (onnxruntime_output(proto, numbers).astype(F) - zero) * F(0.1)
    graph = from_proto(proto)
    assert graph.value("x").dtype == graph.value(graph.outputs[0]).dtype == "float32"
    kept = InputType.of(graph)
    assert kept is not None and (kept.dtype, kept.zero_point) == (np.dtype(dtype).name, zero)
    levels = (numbers.astype(F) - zero) * F(1 / 64)
    assert np.array_equal(evaluate(graph, {"x": levels})[graph.outputs[0]], expected)
    assert NetworkInput.of(graph) is not None


@pytest.mark.parametrize("rounding", ["FLOOR", "CEIL", "ROUND"])
@pytest.mark.parametrize("second", [False, True])
def test_truncated_means(rounding: str, second: bool) -> None:
    """Trunc of QONNX, both versions, against its definition (qonnx.custom_op.general.trunc)."""
    model = Model(np.random.default_rng(4))
    scale, target = F(0.125), F(0.5)
    names = [model.constant(scale), model.constant(F(0)), model.constant(F(6))]
    names += [model.constant(target)] if second else []
    names.append(model.constant(F(4)))
    output = model.node("Trunc", ["x", *names], "qonnx.custom_op.general", rounding_mode=rounding)
    samples = (model.random.integers(-32, 32, (5, 40)) * scale).astype(F)
    function = {"FLOOR": np.floor, "CEIL": np.ceil, "ROUND": np.rint}[rounding]
    whole = np.rint(samples / scale)
    expected = function(np.clip(whole / 4, -8, 7)) * target if second else function(whole / 4) * scale
    graph = from_proto(model.proto(("n", 40), output))
    assert np.array_equal(evaluate(graph, {"x": samples})[graph.outputs[0]], expected)
    assert np.array_equal(Program(graph).run(samples), expected)


def test_a_quantized_mover_between_layers_carries_codes() -> None:
    model = Model(np.random.default_rng(5))
    parameters = [model.constant(F(0.05)), model.constant(np.uint8(100))]
    codes = model.node("QuantizeLinear", ["x", *parameters])
    moved = model.node("Transpose", [codes], perm=[0, 2, 3, 1])
    moved = model.node("Reshape", [moved, model.constant(np.array([0, -1], np.int64))])
    real = model.node("DequantizeLinear", [moved, *parameters])
    proto = model.proto(("n", 2, 3, 4), real)
    same(proto, model.random.normal(0, 3, (4, 2, 3, 4)).astype(F))
