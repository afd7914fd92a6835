"""Binary weights and activations.

    weight       a_o sign(w'),   w' = w, or standardized: (w - mean_o) / deviation_o
                 a_o = mean |w|, |w - mean_o| where standardized    (Rastegari et al., XNOR-Net 2016, eq. 6)
    activation   sign(x)

The scale is a constant to the gradient. Weights have two more rules than `lowbit.nn.gradients`, both
standardized; with G the gradient of w', c = 1 (ede) or 2 sqrt 2 (recu):

    dL/dw = c / deviation (G - mean G - z sum(G z) / (n - 1)),   z = (w - mean) / deviation

    ede     G = g a k t (1 - tanh(t w')^2)              (Qin et al., IR-Net 2020, section 3)
    recu    G = g a 1[|w'| <= Q],  Q = -mean|w'| ln(2 - 2 tau)              (Xu et al., ReCU 2021, section 3)
            tau from 0.85 to 0.99 as A e^p + B, p the progress of training (as in the authors' code)
"""

from math import e, sqrt
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lowbit.errors import PlanError
from lowbit.nn import gradients
from lowbit.nn.quantizer import InputQuantizer, WeightQuantizer
from lowbit.quantization.weights import CodedWeights
from lowbit.schemes import Encoding, LearnedBasis

STANDARDIZED = {"ede": 1.0, "recu": 2 * sqrt(2)}
"""The rules that standardize weights, and what they multiply them with."""

SCALES = ("mean", "one", "learned")

_TAU = (0.85, 0.99)
_EPSILON = 1e-5
_SMALLEST = 1e-30


class BinaryWeight(WeightQuantizer):
    """The sign of weights times a scale per output.

    Args:
        outputs: how many.
        gradient: `recu`, `ede`, or a rule of `lowbit.nn.gradients`.
        scale: `mean` (of magnitudes), `one`, or `learned` from there on.
    """

    def __init__(self, outputs: int, gradient: str = "recu", scale: str = "mean") -> None:
        super().__init__()
        if gradient not in STANDARDIZED:
            gradients.rule(gradient)
        if scale not in SCALES:
            raise PlanError("unknown scale", expected=" or ".join(SCALES), found=repr(scale))
        self.gradient, self.kind = gradient, scale
        self.scale = nn.Parameter(torch.ones(outputs)) if scale == "learned" else None

    def forward(self, weight: Tensor) -> Tensor:
        """Return `a_o sign(w')`."""
        factor = self._scale(weight)
        if self.scale is not None:
            return self._signs(weight, torch.ones_like(factor)) * factor
        return self._signs(weight, factor)

    def coded(self, weight: Tensor) -> CodedWeights:
        """Return bits and scales."""
        integers, scale = self.deployed(weight)
        basis = scale.float().cpu().numpy()[:, None]
        zeros, ones = np.zeros(len(basis), np.float32), np.ones(len(basis), np.int32)
        codes = (integers > 0).flatten(1).cpu().numpy().astype(np.uint8)
        return CodedWeights(LearnedBasis(basis, zeros, ones), codes)

    def deployed(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return signs and their scale."""
        weight = weight.detach()
        centred = weight - _mean(weight) if self._standardizes else weight
        scale = self._scale(weight).detach().clamp(min=_SMALLEST)
        return gradients.signs(centred), scale.flatten().double()

    def clamp(self, weight: Tensor) -> None:
        """Clamp to [-1, 1] where the gradient is zero outside (BinaryNet)."""
        if self.gradient in ("clip", "quadratic"):
            weight.clamp_(-1, 1)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"gradient={self.gradient}, scale={self.kind}"

    @property
    def _standardizes(self) -> bool:
        return self.gradient in STANDARDIZED

    def _scale(self, weight: Tensor) -> Tensor:
        """Return the scale of every output, `[o, 1, …]`."""
        if self.scale is not None:
            return self.scale.abs().view(-1, *[1] * (weight.ndim - 1))
        if self.kind == "one":
            return weight.new_ones(len(weight), *[1] * (weight.ndim - 1))
        weight = weight.detach()
        return _mean((weight - _mean(weight)).abs_() if self._standardizes else weight.abs())

    def _signs(self, weight: Tensor, factor: Tensor) -> Tensor:
        if self._standardizes:
            return _Standardized.apply(weight, factor, self.progress, self.gradient)  # type: ignore[no-any-return, no-untyped-call]
        return gradients.sign(weight, self.gradient, self.progress) * factor


class BinaryInput(InputQuantizer):
    """The sign of activations: -1 and +1.

    Args:
        gradient: a rule of `lowbit.nn.gradients`.
    """

    def __init__(self, gradient: str = "quadratic") -> None:
        super().__init__()
        gradients.rule(gradient)
        self.gradient = gradient

    def forward(self, x: Tensor) -> Tensor:
        """Return the sign."""
        return gradients.sign(x, self.gradient, self.progress)

    def encoding(self) -> Encoding:
        """Return the levels -1 and +1."""
        return LearnedBasis(np.ones((1, 1), np.float32), np.zeros(1, np.float32), np.ones(1, np.int32))

    def thresholds(self) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        """Return the largest float32 below zero: zero is +1."""
        return np.nextafter(np.zeros(1, np.float32), np.float32(-1))

    def integers(self, x: Tensor) -> Tensor:
        """Return the sign."""
        return gradients.signs(x)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"gradient={self.gradient}"


class _Standardized(torch.autograd.Function):
    """`a sign(w - mean)`, with the gradient through the standardization written out: few passes over w."""

    @staticmethod
    def forward(weight: Tensor, factor: Tensor, progress: Tensor, name: str) -> Tensor:
        return gradients.signs(weight - _mean(weight)).mul_(factor)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, str], output: Tensor) -> None:
        weight, factor, progress, ctx.name = inputs
        ctx.save_for_backward(weight, factor, progress)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        weight, factor, progress = ctx.saved_tensors
        constant = STANDARDIZED[ctx.name]
        deviation = torch.sqrt(weight.var(_inner(weight), keepdim=True) + _EPSILON)
        z = (weight - _mean(weight)).div_(deviation)
        if ctx.name == "recu":
            inside = (z.abs() <= _clamp_bound(z, progress)).to(z.dtype)
            upstream = inside.mul_(gradient)
        else:
            upstream = gradients.ede(gradient, z, progress)
        upstream.mul_(factor * constant / deviation)
        projection = (upstream * z).sum(_inner(z), keepdim=True) / (z[0].numel() - 1)
        upstream.sub_(_mean(upstream))
        return upstream.addcmul_(z, projection, value=-1), None, None, None


def _clamp_bound(z: Tensor, progress: Tensor) -> Tensor:
    """Return ReCU's Q in units of z, which is w' / (2 sqrt 2)."""
    first, last = _TAU
    slope = (last - first) / (e - 1)
    tau = slope * torch.exp(progress) + first - slope
    return -z.abs().mean() * torch.log(2 - 2 * tau)


def _mean(weight: Tensor) -> Tensor:
    """Return the mean of every output's weights, `[o, 1, …]`."""
    return weight.mean(_inner(weight), keepdim=True)


def _inner(weight: Tensor) -> tuple[int, ...]:
    """Return the axes of one output: reducing over them needs no copy, whatever the memory format."""
    return tuple(range(1, weight.ndim))
