"""Every rule of every scheme against its formula, which is written here anew: values and all gradients.

The rules are those that the schemes' own modules declare, so a new one fails here until it has a formula.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from inspect import signature
from math import e, log, sqrt

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import Tensor  # noqa: E402

from lowbit.errors import PlanError  # noqa: E402
from lowbit.nn import specification  # noqa: E402
from lowbit.schemes.registry import REGISTRY  # noqa: E402
from lowbit.schemes.specification import Specification  # noqa: E402
from lowbit.schemes.training.quantizer import InputQuantizer, Quantizer, WeightQuantizer  # noqa: E402

PROGRESS = 0.6
OUTPUTS, INPUTS, SAMPLES = 5, 40, 12


@dataclass
class Wanted:
    """What a formula gives: values, and the gradients of the input and of all that is learned."""

    value: Tensor
    of_x: Tensor
    learned: dict[str, Tensor] = field(default_factory=dict)


Formula = Callable[[Quantizer, Specification, Tensor, Tensor], Wanted]
FORMULAS: dict[tuple[str, str, str], Formula] = {}


def formula(name: str, side: str, *rules: str) -> Callable[[Formula], Formula]:
    def add(function: Formula) -> Formula:
        for rule in rules:
            FORMULAS[name, side, rule] = function
        return function

    return add


def declared() -> list[tuple[str, str, str]]:
    """Return every rule that a scheme's module declares; one without a choice has the rule ""."""
    found = []
    for name, scheme in REGISTRY.items():
        for side, used in (("weights", scheme.weights), ("inputs", scheme.activations)):
            make = getattr(scheme.train, side, None) if used and scheme.folder else None
            if make is None:
                continue
            rules = ("",)
            if "gradient" in signature(make).parameters:
                rules = getattr(scheme.train, f"{side.removesuffix('s').upper()}_GRADIENTS")
            found += [(name, side, rule) for rule in rules]
    return found


def forms(name: str) -> list[Specification]:
    scheme = REGISTRY[name]
    if scheme.parameter == "format":
        return [specification("fixed:2.4"), specification("fixed:2.2:floor")]
    if not scheme.parameter:
        return [specification(name)]
    texts = [f"{name}:{bits}" for bits in range(scheme.bits[0], scheme.bits[1] + 1)]
    return [specification(each) for each in texts + [f"{t}:offset" for t in texts if name == "lq"]]


def made(name: str, side: str, rule: str, form: Specification) -> Quantizer | None:
    """Return a quantizer, or None where the rule is not one of so many bits."""
    make = getattr(REGISTRY[name].train, side)
    first = (form, OUTPUTS) if side == "weights" else (form,)
    try:
        quantizer: Quantizer = make(*first, **({"gradient": rule} if rule else {}))
    except PlanError:
        return None
    if isinstance(quantizer, InputQuantizer):
        quantizer.shaped(INPUTS, 0)
    else:
        assert isinstance(quantizer, WeightQuantizer)
        quantizer.shaped(torch.Size([OUTPUTS, INPUTS]))
    quantizer.set_progress(PROGRESS)
    return quantizer


@pytest.mark.parametrize("name, side, rule", declared())
def test_values_and_gradients_are_those_of_the_formula(name: str, side: str, rule: str) -> None:
    assert (name, side, rule) in FORMULAS, "a rule needs its formula here"
    tried = 0
    for form in forms(name):
        quantizer = made(name, side, rule, form)
        if quantizer is None:
            continue
        tried += 1
        torch.manual_seed(tried)
        rows = OUTPUTS if side == "weights" else SAMPLES
        # Kept from thresholds and ends, where two formulas may differ by rounding.
        x, upstream = torch.randn(rows, INPUTS) + 0.2, torch.randn(rows, INPUTS)
        for _ in range(9):  # what begins with several batches has begun
            quantizer(x.clone())
        with torch.no_grad():
            for parameter in quantizer.parameters():
                parameter += 0.05 * torch.rand_like(parameter)
        x.requires_grad_()
        found = quantizer(quantizer.before(x) if isinstance(quantizer, InputQuantizer) else x)
        found.backward(upstream)
        learned = {key: each.grad for key, each in quantizer.named_parameters() if each.grad is not None}
        wanted = FORMULAS[name, side, rule](quantizer, form, x.detach(), upstream)
        close(found.detach(), wanted.value)
        close(x.grad, wanted.of_x)
        assert learned.keys() == wanted.learned.keys()
        for key, gradient in wanted.learned.items():
            close(learned[key], gradient.view(learned[key].shape))
    assert tried


def test_no_formula_is_of_a_rule_that_is_gone() -> None:
    assert set(FORMULAS) == set(declared())


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found.double(), wanted.double(), rtol=2e-4, atol=2e-5)


# --- affine: LSQ and its relatives


def lsq(x: Tensor, step: Tensor, low: float, high: float, g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return values, gradients of x, and those of the step for every use of it."""
    ratio = x / step
    inside = (ratio > low) & (ratio < high)
    of_step = torch.where(inside, ratio.round() - ratio, ratio.clamp(low, high))
    return step * ratio.round().clamp(low, high), g * inside, g * of_step


@formula("affine", "weights", "steps", "lsq", "lsq+", "freeze")
def affine_weights(quantizer: Quantizer, form: Specification, w: Tensor, g: Tensor) -> Wanted:
    half = 2 ** (form.bits - 1)
    step = torch.exp2(quantizer.logarithm().detach())
    value, of_w, of_step = lsq(w, step[:, None], -half, half - 1, g)
    height = 2 * half - 1 if quantizer.gradient == "steps" else half - 1
    return Wanted(value, of_w, {"exponent": of_step.sum(1) / sqrt(INPUTS * height) * step * log(2)})


@formula("affine", "inputs", "steps", "lsq")
def affine_inputs(quantizer: Quantizer, form: Specification, x: Tensor, g: Tensor) -> Wanted:
    low, top = -float(quantizer.zero_point), 2**form.bits - 1
    step = torch.exp2(quantizer.logarithm().detach())
    value, of_x, of_step = lsq(x, step, low, low + top, g)
    height = top if quantizer.gradient == "steps" else low + top
    return Wanted(value, of_x, {"exponent": of_step.sum() / sqrt(INPUTS * height) * step * log(2)})


@formula("affine", "inputs", "lsq+")
def lsq_plus(quantizer: Quantizer, form: Specification, x: Tensor, g: Tensor) -> Wanted:
    step, top = torch.exp2(quantizer.logarithm().detach()), 2**form.bits - 1
    zero = float((-quantizer.offset.detach() / step).round().clamp(0, top))  # o = -s zero
    value, of_x, of_step = lsq(x, step, -zero, top - zero, g)
    outside = (x <= -step * zero) | (x >= step * (top - zero))
    factor = 1 / sqrt(INPUTS * top)
    of_step = of_step + g * zero * outside  # 0 or p, since the offset learns for itself
    learned = {"exponent": of_step.sum() * factor * step * log(2), "offset": (g * outside).sum() * factor}
    return Wanted(value, of_x, learned)


@formula("affine", "inputs", "pact")
def pact(quantizer: Quantizer, form: Specification, x: Tensor, g: Tensor) -> Wanted:
    bound, top = quantizer.bound.detach(), 2**form.bits - 1
    y = (x.abs() - (x - bound).abs() + bound) / 2
    value = (y * top / bound).round() * bound / top
    return Wanted(value, g * (x > 0) * (x < bound), {"bound": (g * (x >= bound)).sum()})


# --- binary


def surrogate(rule: str, z: Tensor) -> Tensor:
    """Return what stands for the derivative of the sign."""
    t = 10 ** (-3 + 4 * PROGRESS)
    slope = 0.14 / (e - 1)
    bound = -float(z.abs().mean()) * log(2 - 2 * (slope * e**PROGRESS + 0.85 - slope))
    return {
        "ste": torch.ones_like(z),
        "clip": (z.abs() < 1).float(),
        "quadratic": (2 - 2 * z.abs()).clamp(min=0),
        "ede": max(1 / t, 1) * t * (1 - torch.tanh(t * z) ** 2),
        "recu": 2 * sqrt(2) * (z.abs() < bound),
    }[rule]


def sign(x: Tensor) -> Tensor:
    return torch.where(x >= 0, 1.0, -1.0)


@formula("binary", "weights", "ste", "clip", "quadratic")
def binary_weights(quantizer: Quantizer, form: Specification, w: Tensor, g: Tensor) -> Wanted:
    scale = w.abs().mean(1, keepdim=True)
    return Wanted(scale * sign(w), g * scale * surrogate(quantizer.gradient, w))


@formula("binary", "weights", "ede", "recu")
def standardized_weights(quantizer: Quantizer, form: Specification, w: Tensor, g: Tensor) -> Wanted:
    centred = w - w.mean(1, keepdim=True)
    deviation = (centred.square().mean(1, keepdim=True) + 1e-5).sqrt()
    z, scale = centred / deviation, centred.abs().mean(1, keepdim=True)
    of_z = g * scale * surrogate(quantizer.gradient, z)
    of_w = (of_z - of_z.mean(1, keepdim=True) - z * (of_z * z).mean(1, keepdim=True)) / deviation
    return Wanted(scale * sign(z), of_w)


@formula("binary", "inputs", "quadratic", "ste", "clip", "ede")
def binary_inputs(quantizer: Quantizer, form: Specification, x: Tensor, g: Tensor) -> Wanted:
    return Wanted(sign(x), g * surrogate(quantizer.gradient, x))


@formula("binary", "inputs", "recu")
def standardized_inputs(quantizer: Quantizer, form: Specification, x: Tensor, g: Tensor) -> Wanted:
    away = x - x.mean(1, keepdim=True)
    deviation = (away.square().sum(1, keepdim=True) / (INPUTS - 1) + 1e-5).sqrt()
    of_z = g * surrogate("quadratic", x / deviation)
    along = (of_z * x).sum(1, keepdim=True) / ((INPUTS - 1) * deviation**3)
    return Wanted(sign(x), of_z / deviation - along * away)


@formula("binary", "inputs", "rsign")
def rsign(quantizer: Quantizer, form: Specification, x: Tensor, g: Tensor) -> Wanted:
    about = x - quantizer.threshold.detach()
    of_x = g * surrogate("quadratic", about)
    return Wanted(sign(about), of_x, {"threshold": -of_x.sum(0)})


# --- learned bases


def levels_of(quantizer: Quantizer) -> tuple[Tensor, Tensor]:
    """Return the signs of codes `[codes, bits]`, and the levels of each row `[rows, codes]`."""
    basis, offset = quantizer.learned.basis.detach(), quantizer.learned.offset.detach()
    bits = basis.shape[1]
    codes = torch.arange(1 << bits)[:, None]
    signs = 2.0 * (codes >> torch.arange(bits) & 1) - 1
    return signs, offset[:, None] + basis @ signs.T


def nearest(x: Tensor, levels: Tensor) -> Tensor:
    return (x[..., None] - levels[:, None]).abs().argmin(-1)


@formula("lq", "weights", "qem", "exact")
def basis_of_weights(quantizer: Quantizer, form: Specification, w: Tensor, g: Tensor) -> Wanted:
    signs, levels = levels_of(quantizer)
    codes = nearest(w, levels)
    learned = {}
    if quantizer.learned.update == "exact":
        learned["learned.basis"] = (g[..., None] * signs[codes]).sum(1)
        learned |= {"learned.offset": g.sum(1)} if form.offset else {}
    return Wanted(levels.gather(1, codes), g, learned)


@formula("lq", "inputs", "qem", "exact")
def basis_of_inputs(quantizer: Quantizer, form: Specification, x: Tensor, g: Tensor) -> Wanted:
    signs, levels = levels_of(quantizer)
    codes = nearest(x.view(1, -1), levels).view(x.shape)
    learned = {}
    if quantizer.learned.update == "exact":
        learned["learned.basis"] = (g[..., None] * signs[codes]).sum((0, 1))
        learned |= {"learned.offset": g.sum()} if form.offset else {}
    return Wanted(levels[0][codes], g * (x >= levels.min()) * (x <= levels.max()), learned)


@formula("lq", "weights", "adabin")
def adabin_weights(quantizer: Quantizer, form: Specification, w: Tensor, g: Tensor) -> Wanted:
    centre = w.mean(1, keepdim=True)
    distance = (w - centre).square().mean(1, keepdim=True).sqrt()
    z = (w - centre) / distance
    of_z = g * distance * surrogate("ede", z)
    of_w = (of_z - of_z.mean(1, keepdim=True) - z * (of_z * z).mean(1, keepdim=True)) / distance
    of_w = of_w + z * (g * sign(z)).mean(1, keepdim=True) + g.mean(1, keepdim=True)
    return Wanted(distance * sign(z) + centre, of_w)


@formula("lq", "inputs", "adabin")
def adabin_inputs(quantizer: Quantizer, form: Specification, x: Tensor, g: Tensor) -> Wanted:
    centre, distance = quantizer.centre.detach(), quantizer.distance.detach()
    z = (x - centre) / distance
    slope = surrogate("quadratic", z)
    learned = {"distance": (g * (sign(z) - z * slope)).sum(), "centre": (g * (1 - slope)).sum()}
    return Wanted(distance * sign(z) + centre, g * slope, learned)


# --- powers of two, tables, and grids that nothing is learned of


def powers(w: Tensor, bits: int) -> Tensor:
    """Return the nearest of 0 and the signed powers of two up to 1."""
    sizes = [2.0**-j for j in range(2 ** (bits - 1) - 1)]
    levels = torch.tensor(sorted([0.0, *sizes, *(-each for each in sizes)]))
    return levels[(w[..., None] - levels).abs().argmin(-1)]


@formula("pow2", "weights", "ste")
def power_weights(quantizer: Quantizer, form: Specification, w: Tensor, g: Tensor) -> Wanted:
    scale = torch.exp2(quantizer.logarithm().detach())[:, None]
    ratio = w / scale
    nearest_power, inside = powers(ratio.clamp(-1, 1), form.bits), ratio.abs() <= 1
    of_scale = torch.where(inside, nearest_power - ratio, ratio.sign())
    learned = (g * of_scale).sum(1) / sqrt(INPUTS) * scale[:, 0] * log(2)
    return Wanted(scale * nearest_power, g * inside, {"exponent": learned})


@formula("pow2", "weights", "blend", "staircase")
def blended(quantizer: Quantizer, form: Specification, w: Tensor, g: Tensor) -> Wanted:
    share = 2 ** (PROGRESS - 1)
    scale = torch.exp2(quantizer.logarithm().detach())[:, None]
    quantized = scale * powers(w / scale, form.bits)
    if quantizer.gradient == "staircase":
        part = w.abs() / w.abs().max()
        height = 0.25 * (part > 0.02) + 0.25 * (part > 0.07) + 0.5 * (part > 0.14)
        quantized = height * w.sign()
    return Wanted((1 - share) * w + share * quantized, (1 - share) * g)


@formula("pow2", "weights", "ttq")
def trained_ternary(quantizer: Quantizer, form: Specification, w: Tensor, g: Tensor) -> Wanted:
    scale = torch.exp2(quantizer.logarithm().detach())[:, None]
    large = w.abs() > 0.05 * w.abs().max()
    learned = (g * w.sign() * large).sum(1) * scale[:, 0] * log(2)
    return Wanted(scale * w.sign() * large, g * torch.where(large, scale, 1.0), {"exponent": learned})


@formula("codebook", "weights", "")
def table(quantizer: Quantizer, form: Specification, w: Tensor, g: Tensor) -> Wanted:
    levels = quantizer.table.detach()
    codes = nearest(w, levels)
    sums = torch.zeros_like(levels).scatter_add(1, codes, g)
    return Wanted(levels.gather(1, codes), g, {"table": sums})


@formula("fixed", "weights", "")
@formula("fixed", "inputs", "")
def fixed(quantizer: Quantizer, form: Specification, x: Tensor, g: Tensor) -> Wanted:
    unit = 2.0**-form.fixed_point.fraction_bits
    least = -(2.0 ** (form.bits - 1))
    half = 0.5 if form.fixed_point.rounds_to_nearest else 0.0
    value = (x / unit + half).floor().clamp(least, -least - 1) * unit
    inside = (x / unit > least - 0.5) & (x / unit < -least - 0.5)
    return Wanted(value, g * inside)


@formula("pixels", "inputs", "")
def pixels(quantizer: Quantizer, form: Specification, x: Tensor, g: Tensor) -> Wanted:
    return Wanted(torch.from_numpy(np.rint(x.numpy() * 255)).clamp(0, 255) / 255, g)
