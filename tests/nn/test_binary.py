"""Binary weights and activations: values, and gradients against their formulas."""

from math import e, log, sqrt

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lowbit.errors import PlanError  # noqa: E402
from lowbit.nn import (  # noqa: E402
    Conv2d,
    Linear,
    clamp_latents,
    set_progress,
)
from lowbit.schemes.binary.train import BinaryInput, BinaryWeight  # noqa: E402
from lowbit.schemes.training import gradients  # noqa: E402

VALUES = (-2.0, -1.5, -1.0, -0.5, -1e-30, -0.0, 0.0, 1e-30, 0.25, 1.0, 3.0)


def formula(rule: str, x: float, progress: float) -> float:
    t = 10 ** (-3 + 4 * progress)
    return {
        "ste": 1.0,
        "clip": float(abs(x) < 1),
        "quadratic": max(2 - 2 * abs(x), 0.0),
        "ede": max(1 / t, 1) * t * (1 - float(np.tanh(t * x)) ** 2),
    }[rule]


@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("rule", ["ste", "clip", "quadratic", "ede"])
def test_sign_and_its_gradient(rule: str, progress: float) -> None:
    quantizer = BinaryInput(rule)
    quantizer.set_progress(progress)
    x = torch.tensor(VALUES, requires_grad=True)
    y = quantizer(x)
    y.backward(torch.full_like(y, 3.0))
    assert y.tolist() == [1.0 if value >= 0 else -1.0 for value in VALUES]
    wanted = [3 * formula(rule, value, progress) for value in VALUES]
    np.testing.assert_allclose(x.grad.numpy(), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 5), (4, 2, 3, 3), (5, 1, 1, 31)])
@pytest.mark.parametrize("rule", ["ede", "recu"])
def test_standardized_gradient_is_that_of_the_formula(rule: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    weight, upstream = torch.randn(shape, dtype=torch.float64), torch.randn(shape, dtype=torch.float64)
    quantizer = BinaryWeight(shape[0], rule).double()
    quantizer.set_progress(0.3)
    weight.requires_grad_()
    quantizer(weight).backward(upstream)

    written_out = weight.detach().clone().requires_grad_()
    rows = written_out.flatten(1)
    centred = rows - rows.mean(1, keepdim=True)
    z = centred / torch.sqrt(rows.var(1, correction=0, keepdim=True) + 1e-5)
    t = 10 ** (-3 + 4 * 0.3)
    if rule == "ede":
        surrogate = max(1 / t, 1) * torch.tanh(t * z)
    else:
        slope = 0.14 / (e - 1)
        bound = -(2 * sqrt(2) * z).abs().mean().item() * log(2 - 2 * (slope * e**0.3 + 0.85 - slope))
        surrogate = torch.clamp(2 * sqrt(2) * z, -bound, bound)
    scale = centred.detach().abs().mean(1, keepdim=True)
    (surrogate * scale).backward(upstream.flatten(1))
    np.testing.assert_allclose(weight.grad.numpy(), written_out.grad.numpy(), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("scale", ["mean", "one", "learned"])
@pytest.mark.parametrize("rule", ["clip", "recu"])
@pytest.mark.parametrize("length", [1, 31, 32, 33, 65])
def test_codes_mean_what_training_multiplies(length: int, rule: str, scale: str) -> None:
    torch.manual_seed(length)
    weight, quantizer = torch.randn(7, length), BinaryWeight(7, rule, scale)
    if quantizer.scale is not None:
        torch.nn.init.uniform_(quantizer.scale, -2, 2)
    weight[0] = 0.5  # standardized: nothing but ties
    levels = quantizer(weight).detach().numpy()
    coded = quantizer.coded(weight)
    known = np.abs(levels) > 0  # an output without spread has the scale 0, deployed as a tiny one
    np.testing.assert_array_equal(coded.values()[known], levels.astype(np.float64)[known])
    np.testing.assert_allclose(coded.values()[~known], 0, atol=1e-29)


@pytest.mark.parametrize("length", [32, 512, 4096])
def test_a_learned_scale_begins_with_sums_of_spread_one(length: int) -> None:
    torch.manual_seed(0)
    layer = Linear(length, 50, bias=False, weight="binary", activation="binary", scale="learned")
    sums = layer(torch.randn(40, length))
    assert 0.9 < sums.std() < 1.1
    sums.square().mean().backward()
    assert layer.weight_quantizer.scale.grad.abs().min() > 0


def test_one_bit_of_mean_magnitude_is_the_least_squares_scale() -> None:
    weight = torch.randn(5, 33)
    found = BinaryWeight(5, "clip").coded(weight).encoding.levels()[:, 1]
    np.testing.assert_allclose(found, weight.abs().mean(1).numpy(), rtol=1e-6)


def test_latents_are_clamped_where_their_gradient_ends() -> None:
    layer = Linear(3, 2, weight="binary", weight_gradient="clip")
    torch.nn.init.constant_(layer.weight, 4.0)
    clamp_latents(layer)
    assert layer.weight.max() == 1


@pytest.mark.parametrize("train", [True, False])
def test_layers_multiply_signs(train: bool) -> None:
    torch.manual_seed(1)
    layer = Conv2d(3, 5, 3, padding=1, weight="binary", activation="binary").train(train)
    x = torch.randn(2, 3, 7, 7)
    quantized = layer.weight_quantizer(layer.weight)
    wanted = torch.nn.functional.conv2d(torch.where(x >= 0, 1.0, -1.0), quantized, layer.bias, padding=1)
    torch.testing.assert_close(layer(x), wanted)


@pytest.mark.filterwarnings("ignore:.*autograd.function.Function.*:DeprecationWarning")  # torch's own
@pytest.mark.parametrize("rule", ["ste", "clip", "ede", "recu"])
def test_a_step_compiles_without_a_break(rule: str) -> None:
    layer = Linear(8, 4, weight="binary", activation="binary", weight_gradient=rule)
    compiled, x = torch.compile(layer, fullgraph=True, backend="aot_eager"), torch.randn(3, 8)
    compiled(x).square().sum().backward()
    found, layer.weight.grad = layer.weight.grad, None
    layer(x).square().sum().backward()
    torch.testing.assert_close(found, layer.weight.grad)


def test_bfloat16_autocast_keeps_signs_exact() -> None:
    layer = Linear(64, 4, bias=False, weight="binary", activation="binary", scale="one")
    x = torch.randn(5, 64)
    with torch.autocast("cpu", torch.bfloat16):
        low = layer(x)
    assert low.dtype == torch.bfloat16
    assert torch.equal(low.float(), layer(x))  # sums of 64 signs are exact in bfloat16


def test_progress_reaches_every_quantizer() -> None:
    model = torch.nn.Sequential(Linear(3, 2, weight="binary", activation="binary"))
    set_progress(model, 0.25)
    assert model[0].weight_quantizer.progress == model[0].input_quantizer.progress == 0.25


def test_unknown_names_are_answered_with_near_ones() -> None:
    with pytest.raises(PlanError, match="quadratic"):
        Linear(3, 2, activation="binary", activation_gradient="quadratik")
    with pytest.raises(PlanError, match="affine:K"):
        Linear(3, 2, weight="afine:8")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_the_sign_of_every_kind_of_number(dtype: "torch.dtype") -> None:
    x = torch.tensor([0.0, -0.0, 1e-6, -1e-6, 3.0, -3.0, float("nan")], dtype=dtype)
    found = gradients.signs(x)
    assert found[:-1].tolist() == [1, 1, 1, -1, 1, -1]
    assert found[-1].isnan()
    assert found.dtype == dtype
