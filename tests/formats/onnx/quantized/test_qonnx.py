"""QONNX at random, against its definition in NumPy (qonnx.custom_op.general, float32)."""

from collections.abc import Callable

import numpy as np
import pytest

from lowbit.engine import Program
from lowbit.errors import LowbitError, UnsupportedError
from lowbit.formats.onnx import from_proto
from lowbit.ir.layers import is_low_bit
from lowbit.ir.reference import evaluate
from tests.formats.onnx.quantized.models import Array, Model

GENERAL = "qonnx.custom_op.general"

ROUNDINGS: dict[str, Callable[[Array], Array]] = {
    "ROUND": np.rint,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "UP": lambda x: np.sign(x) * np.ceil(np.abs(x)),
    "DOWN": np.fix,
    "HALF_UP": lambda x: np.sign(x) * np.floor(np.abs(x) + np.float32(0.5)),
    "HALF_DOWN": lambda x: np.sign(x) * np.ceil(np.abs(x) - np.float32(0.5)),
}


def quantized(
    x: Array, scale: Array, zero: float, bits: int, signed: bool, narrow: bool, rounding: str
) -> Array:
    """Return what Quant gives."""
    y = np.asarray(x, np.float32) / scale + np.float32(zero)
    if bits == 1 and signed:
        return np.where(y >= 0, np.float32(1), np.float32(-1)) * scale
    low = (-(2 ** (bits - 1)) + narrow) if signed else 0
    high = 2 ** (bits - 1) - 1 if signed else 2**bits - 1 - narrow
    whole = ROUNDINGS[rounding](np.clip(y, np.float32(low), np.float32(high)).astype(np.float32))
    return ((whole - np.float32(zero)) * scale).astype(np.float32)


def add_quant(
    model: Model, source: str, scale: Array, zero: float, bits: int, signed: bool, narrow: bool, rounding: str
) -> str:
    inputs = [source, *(model.constant(np.asarray(each, np.float32)) for each in (scale, zero, bits))]
    flags = {"signed": int(signed), "narrow": int(narrow), "rounding_mode": rounding}
    return model.node("Quant", inputs, GENERAL, **flags)


@pytest.mark.parametrize("rounding", list(ROUNDINGS))
@pytest.mark.parametrize("bits", range(1, 9))
def test_every_rounding_and_width(bits: int, rounding: str) -> None:
    for signed in (False, True):
        for narrow in (False, True) if bits > 1 else (False,):
            model = Model(np.random.default_rng(bits))
            scale = np.float32(model.random.choice([0.25, 0.1, 0.0371]))
            settings = (scale, 0, bits, signed, narrow, rounding)
            proto = model.proto(("n", 64), add_quant(model, "x", *settings))
            grid = np.arange(-32, 32, dtype=np.float32) * scale / np.float32(2)  # ties among them
            samples = np.stack([grid, model.random.normal(0, 2**bits * scale / 2, 64)]).astype(np.float32)
            graph = from_proto(proto)
            found = evaluate(graph, {"x": samples})[graph.outputs[0]]
            assert np.array_equal(found, quantized(samples, *settings)), settings
            assert np.array_equal(Program(graph).run(samples), found)


@pytest.mark.parametrize("seed", range(20))
def test_layers_at_random(seed: int) -> None:
    """Weights and inputs of codes, a normalization, and codes behind it: one layer of integers."""
    model = Model(np.random.default_rng(seed))
    random, outputs = model.random, 6
    bits, weight_bits = (int(random.integers(1, 9)) for _ in range(2))
    x_settings = (np.float32(0.125), 0, bits, True, bool(random.integers(2)) and bits > 1, "ROUND")
    scale = random.uniform(0.01, 0.1, (outputs, 1) if random.integers(2) else ()).astype(np.float32)
    w_settings = (scale, 0, weight_bits, True, weight_bits > 1, "ROUND")
    kernel = random.normal(0, 0.1, (outputs, 9)).astype(np.float32)
    held = add_quant(model, model.constant(kernel), *w_settings)
    turned = model.node("Transpose", [held], perm=[1, 0])
    product = model.node("MatMul", [add_quant(model, "x", *x_settings), turned])
    statistics = [random.uniform(0.5, 2, outputs), random.normal(0, 1, outputs), random.normal(0, 1, outputs)]
    rows = [each.astype(np.float32) for each in (*statistics, random.uniform(0.5, 2, outputs))]
    normal = model.node("BatchNormalization", [product, *map(model.constant, rows)])
    end = (np.float32(0.5), 0, 3, False, False, "ROUND")
    proto = model.proto(("n", 9), add_quant(model, normal, *end))
    samples = random.normal(0, 1, (50, 9)).astype(np.float32)

    graph = from_proto(proto)
    (layer,) = [node for node in graph.nodes if is_low_bit(node)]
    assert graph.value(layer.inputs[0]).encoding is not None
    assert graph.value(layer.outputs[0]).encoding is not None
    sums = quantized(samples, *x_settings).astype(np.float64) @ quantized(kernel, *w_settings).T
    gamma, beta, mean, variance = (row.astype(np.float64) for row in rows)
    reals = ((sums - mean) * gamma / np.sqrt(variance + 1e-5) + beta).astype(np.float32)
    found = np.asarray(evaluate(graph, {"x": samples})[graph.outputs[0]])
    assert (found != quantized(reals, *end)).sum() <= 1
    assert np.array_equal(Program(graph).run(samples), found)


def test_bipolar_weights_per_output_and_signs() -> None:
    model = Model(np.random.default_rng(3))
    kernel = model.random.normal(size=(4, 2, 3, 3)).astype(np.float32)
    scale = model.random.uniform(0.1, 1, (4, 1, 1, 1)).astype(np.float32)
    kernel[0, 0, 0, 0] = 0  # counts as positive
    inputs = [model.constant(kernel), model.constant(scale)]
    held = model.node("BipolarQuant", inputs, GENERAL)
    sign = model.node("BipolarQuant", ["x", model.constant(np.float32(1))], GENERAL)
    proto = model.proto(("n", 2, 5, 5), model.node("Conv", [sign, held]))
    graph = from_proto(proto)
    samples = model.random.normal(size=(3, 2, 5, 5)).astype(np.float32)
    samples[0, 0, 0, 0] = 0
    signs = np.where(samples >= 0, 1.0, -1.0)
    windows = np.lib.stride_tricks.sliding_window_view(signs, (3, 3), (2, 3))
    weights = np.where(kernel >= 0, 1.0, -1.0) * scale.astype(np.float64)
    expected = np.einsum("ncyxij,ocij->noyx", windows, weights)
    found = evaluate(graph, {"x": samples})[graph.outputs[0]]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    assert graph.value(graph.nodes[1].inputs[1]).dtype == "planes"


ODD = {
    "a scale of zero": {"scale": 0.0},
    "a scale of NaN": {"scale": np.nan},
    "a negative scale": {"scale": -1.0},
    "an infinite scale": {"scale": np.inf},
    "no bits": {"bits": 0},
    "17 bits": {"bits": 17},
    "half a bit": {"bits": 2.5},
    "bits of NaN": {"bits": np.nan},
    "half a zero point": {"zero": 0.5},
    "scales for other channels": {"scale": np.ones(5)},
    "scales along two axes": {"scale": np.ones((2, 3))},
    "more axes than the tensor": {"scale": np.ones((3, 1, 1, 1, 1))},
    "an unknown rounding": {"rounding": "SIDEWAYS"},
}


@pytest.mark.parametrize("what", list(ODD))
def test_odd_parameters_are_refused_by_name(what: str) -> None:
    settings: dict[str, object] = {"scale": 1.0, "zero": 0.0, "bits": 4, "rounding": "ROUND", **ODD[what]}
    model = Model(np.random.default_rng(0))
    numbers = [model.constant(np.asarray(settings[name], np.float32)) for name in ("scale", "zero", "bits")]
    output = model.node("Quant", ["x", *numbers], GENERAL, rounding_mode=settings["rounding"])
    with pytest.raises(LowbitError) as caught:
        from_proto(model.proto(("n", 3, 4), output))
    assert caught.value.expected and caught.value.found and caught.value.where


def test_floating_codes_are_unsupported() -> None:
    model = Model(np.random.default_rng(0))
    output = model.node("FloatQuant", ["x", model.constant(np.float32(1))], GENERAL)
    with pytest.raises(UnsupportedError, match="FloatQuant"):
        from_proto(model.proto(("n", 3), output))
