"""What stands for the derivative of a sign, which is zero wherever it exists.

With g the gradient that arrives and x what the sign was taken of, a rule gives

    ste         g                             straight through (Bengio et al. 2013, section 4)
    clip        g 1[|x| < 1]                  saturating (Hubara et al., BinaryNet 2016, eq. 4)
    quadratic   g max(2 - 2|x|, 0)            of a piecewise quadratic sign (Liu et al., Bi-Real Net 2018)
    ede         g k t (1 - tanh(t x)^2)       error decay estimator (Qin et al., IR-Net 2020),
                t = 10^(-3 + 4 p),  k = max(1 / t, 1),  p the progress of training in [0, 1]
    recu        g 2 sqrt 2 1[|x| < Q],        rectified clamp, for standardized weights (Xu et al., ReCU 2021)
                Q = -mean|x| ln(2 - 2 tau),  tau = A e^p + B from 0.85 to 0.99 as in the authors' code, who
                scale x by 2 sqrt 2 before they clamp it

BinaryNet is Courbariaux, Hubara, Soudry, El-Yaniv and Bengio: Binarized Neural Networks: Training Deep Neural
Networks with Weights and Activations Constrained to +1 or -1, 2016; Hubara first in NIPS 2016.

The sign is +1 for x >= 0, as everywhere in lowbit.
"""

import difflib
from collections.abc import Callable, Collection
from math import e, frexp, sqrt
from typing import Any

import torch
from torch import Tensor

from lowbit.errors import PlanError

Rule = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From g, x and the progress of training (a tensor without axes) to the gradient of x."""


def ste(gradient: Tensor, x: Tensor, progress: Tensor) -> Tensor:
    """Return `g`."""
    return gradient


def clip(gradient: Tensor, x: Tensor, progress: Tensor) -> Tensor:
    """Return `g` where |x| < 1, else 0."""
    result: Tensor = torch.ops.aten.hardtanh_backward(gradient, x, -1.0, 1.0)
    return result


def quadratic(gradient: Tensor, x: Tensor, progress: Tensor) -> Tensor:
    """Return `g max(2 - 2|x|, 0)`."""
    return x.abs().clamp_(max=1).mul_(-2).add_(2).mul_(gradient)


def ede(gradient: Tensor, x: Tensor, progress: Tensor) -> Tensor:
    """Return `g k t (1 - tanh(t x)^2)`."""
    t = torch.pow(10.0, 4 * progress - 3)
    k = torch.clamp(1 / t, min=1)
    return torch.tanh(x * t).square_().neg_().add_(1).mul_((k * t).to(x.dtype)).mul_(gradient)


def recu(gradient: Tensor, x: Tensor, progress: Tensor) -> Tensor:
    """Return `g 2 sqrt 2` where |x| < Q, else 0."""
    first, last = _TAU
    slope = (last - first) / (e - 1)
    tau = slope * torch.exp(progress) + first - slope
    mean = torch.linalg.vector_norm(x, 1) / x.numel()  # one pass, where magnitudes would be another tensor
    bound = (-mean * torch.log(2 - 2 * tau)).to(x.dtype)
    bound = bound.clamp(min=torch.finfo(x.dtype).tiny)  # of a layer of zeros, which are inside
    if x.device.type == "cpu" and not torch.compiler.is_compiling():  # nothing to wait for, no quotient
        found: Tensor = torch.ops.aten.hardtanh_backward(gradient, x, -float(bound), float(bound))
    else:
        found = clip(gradient, x / bound, progress)
    return found.mul_(2 * sqrt(2))


_TAU = (0.85, 0.99)

RULES: dict[str, Rule] = {"ste": ste, "clip": clip, "quadratic": quadratic, "ede": ede, "recu": recu}


def rule(name: str) -> Rule:
    """Return a rule by name; errors are those of `chosen`."""
    return RULES[chosen(name, RULES)]


def chosen(name: str, choices: Collection[str], what: str = "gradient rule") -> str:
    """Return the name of a rule.

    Raises:
        PlanError: there is none of that name.
    """
    if name in choices:
        return name
    near = difflib.get_close_matches(name, choices, n=2) or choices
    raise PlanError(f"unknown {what}", expected=" or ".join(near), found=repr(name))


def sign(x: Tensor, name: str, progress: Tensor) -> Tensor:
    """Return +1 where x >= 0, else -1, with the gradient of the rule of that name."""
    return _Sign.apply(x, progress, name)  # type: ignore[no-any-return, no-untyped-call]


def rounded(x: Tensor) -> Tensor:
    """Return x rounded half to even; its gradient passes straight through."""
    return x.detach().round() + (x - x.detach())


def gradient_scaled(x: Tensor, factor: float | Tensor) -> Tensor:
    """Return x; its gradient is multiplied by a factor."""
    return x.detach() + factor * (x - x.detach())


def scaled_sign(x: Tensor, name: str, progress: Tensor, scale: Tensor, of_gradient: Tensor) -> Tensor:
    """Return the sign times a scale; to the gradient the scale is a constant, `of_gradient`."""
    return _ScaledSign.apply(x, progress, scale, of_gradient, name)  # type: ignore[no-any-return, no-untyped-call]


class _ScaledSign(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, progress: Tensor, scale: Tensor, of_gradient: Tensor, name: str) -> Tensor:
        return signs(x).mul_(scale)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, Tensor, str], output: Tensor) -> None:
        x, progress, _, of_gradient, ctx.name = inputs
        ctx.save_for_backward(x, progress, of_gradient)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        x, progress, of_gradient = ctx.saved_tensors
        found = RULES[ctx.name](gradient, x, progress)
        found = gradient * of_gradient if found is gradient else found.mul_(of_gradient)
        return found, None, None, None, None


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, progress: Tensor, name: str) -> Tensor:
        return signs(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, str], output: Tensor) -> None:
        x, progress, ctx.name = inputs
        ctx.save_for_backward(x, progress)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        x, progress = ctx.saved_tensors
        return RULES[ctx.name](gradient, x, progress), None, None


def signs(x: Tensor) -> Tensor:
    """Return +1 where x >= 0, else -1, in the type of x, without a gradient; NaN stays NaN."""
    large = 2.0 ** (frexp(torch.finfo(x.dtype).max)[1] - 2)
    least = torch.finfo(x.dtype).smallest_normal * torch.finfo(x.dtype).eps
    # Zero goes up by half the least number and is positive; a sum, a product and a clamp let NaN through.
    return torch.add(x.new_full((), large * least / 2), x, alpha=large).mul_(large).clamp_(-1, 1)
