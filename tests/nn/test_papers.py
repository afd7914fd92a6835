"""Quantizers of papers against their formulas, which are written here anew; the groups of an optimizer."""

from math import log, sqrt

import pytest

torch = pytest.importorskip("torch")
from torch import Tensor, nn  # noqa: E402

from lowbit.errors import PlanError  # noqa: E402
from lowbit.nn import Linear, Plan, parameter_groups, prepare  # noqa: E402
from lowbit.schemes.affine.train import AffineInput, AffineWeight  # noqa: E402


def lsq(
    x: Tensor, step: Tensor, lowest: int, highest: int, upstream: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return values, and the gradients of x and of every single use of the step (LSQ, eq. 1 to 3 and 5)."""
    ratio = x / step
    value = torch.round(ratio.clamp(lowest, highest)) * step
    slope = torch.where(ratio <= lowest, float(lowest), torch.where(ratio >= highest, float(highest), 0.0))
    inside = (ratio > lowest) & (ratio < highest)
    slope = torch.where(inside, torch.round(ratio) - ratio, slope)
    return value, upstream * inside, slope * upstream


@pytest.mark.parametrize("bits", range(2, 9))
def test_lsq_of_weights(bits: int) -> None:
    torch.manual_seed(bits)
    weight, upstream = torch.randn(4, 3, 3, 3), torch.randn(4, 3, 3, 3)
    quantizer, most = AffineWeight(4, bits, "lsq"), 2 ** (bits - 1) - 1
    weight.requires_grad_()
    found = quantizer(weight)
    found.backward(upstream)
    step = 2 * weight.detach().abs().mean((1, 2, 3)) / sqrt(most)
    torch.testing.assert_close(torch.exp2(quantizer.logarithm()).detach(), step)
    value, of_weight, of_step = lsq(weight.detach(), step.view(4, 1, 1, 1), -most - 1, most, upstream)
    torch.testing.assert_close(found.detach(), value)
    torch.testing.assert_close(weight.grad, of_weight)
    wanted = of_step.sum((1, 2, 3)) / sqrt(27 * most) * step * log(2)  # the logarithm learns
    torch.testing.assert_close(quantizer.exponent.grad, wanted)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("bits", range(2, 9))
def test_lsq_of_inputs(bits: int, signed: bool) -> None:
    torch.manual_seed(bits)
    x, upstream = torch.randn(6, 25), torch.randn(6, 25)
    x = (x if signed else x.abs()).requires_grad_()
    quantizer = AffineInput(bits, "lsq")
    found = quantizer(x)
    found.backward(upstream)
    most = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
    step = 2 * x.detach().abs().mean() / sqrt(most)
    value, of_x, of_step = lsq(x.detach(), step, -most - 1 if signed else 0, most, upstream)
    torch.testing.assert_close(found.detach(), value)
    torch.testing.assert_close(x.grad, of_x)
    torch.testing.assert_close(
        quantizer.exponent.grad, (of_step.sum() / sqrt(25 * most) * step * log(2)).view(1)
    )


def test_an_unknown_rule_is_refused_with_the_known() -> None:
    with pytest.raises(PlanError, match=r"steps or lsq"):
        Linear(3, 2, weight="affine:4", weight_gradient="lsqq")


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.PReLU(4), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(64, 3)
    )


@pytest.mark.parametrize("weights", ["affine:4", "binary", "codebook:2", "lq:2", "pow2:3", "float"])
def test_groups_have_every_parameter_once(weights: str) -> None:
    settings = {"binary": {"scale": "learned"}, "lq:2": {"weight_gradient": "exact"}}.get(weights, {})
    model = network()
    prepare(model, Plan(weights, "float" if weights == "float" else "affine:4", **settings))
    model[1].bias.requires_grad_(False)
    groups = {
        group["name"]: group for group in parameter_groups(model, 0.1, weight_decay=0.3, quantizer_rate=0.01)
    }
    found = [id(parameter) for group in groups.values() for parameter in group["params"]]
    assert sorted(found) == sorted(id(each) for each in model.parameters() if each.requires_grad)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    said = {name: {names[id(each)] for each in group["params"]} for name, group in groups.items()}
    assert said["weights"] == {"0.weight", "3.weight", "5.weight"}
    assert said["others"] == {"0.bias", "1.weight", "2.weight", "3.bias", "5.bias"}
    assert [groups["weights"]["lr"], groups["weights"]["weight_decay"]] == [0.1, 0.3]
    assert [groups["others"]["lr"], groups["others"]["weight_decay"]] == [0.1, 0.0]
    if weights == "float":
        assert "quantizers" not in groups
    else:
        assert all("quantizer" in name for name in said["quantizers"])
        assert [groups["quantizers"]["lr"], groups["quantizers"]["weight_decay"]] == [0.01, 0.0]
    torch.optim.SGD(list(groups.values()), 1.0)
