"""Uniform grids with a learned step (Esser et al., LSQ 2020, eq. 1 to 5).

    q = round_half_even(clamp(x / s, low, high)),   x^ = s q
    dx^/dx = 1 between the ends, else 0;   dx^/ds = q - x / s between them, else the end
    the gradient of s is scaled by 1 / sqrt(n (2^b - 1))

The step is 2^e with e learned, so it stays positive. Weights are symmetric, a step per output; an activation
has one step, and a zero point that its first batch decides. `pixels` are codes of 8 bits as they are.
"""

from math import sqrt

import numpy as np
import torch
from torch import Tensor, nn

from lowbit.nn.gradients import gradient_scaled, rounded
from lowbit.nn.quantizer import InputQuantizer, WeightQuantizer
from lowbit.nn.statistics import largest, summed
from lowbit.quantization.weights import CodedWeights
from lowbit.schemes import Affine, Encoding

_TINIEST = 1e-30


class AffineWeight(WeightQuantizer):
    """Weights on a symmetric grid, a step per output.

    Args:
        outputs: how many.
        bits: 2 to 8.
    """

    ready: Tensor

    def __init__(self, outputs: int, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.exponent = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("ready", torch.zeros((), dtype=torch.bool))
        self._begun = False

    def forward(self, weight: Tensor) -> Tensor:
        """Return levels."""
        self._begin(weight)
        half = 1 << (self.bits - 1)
        return _on_grid(weight, self._step(weight), -half, half - 1, weight[0].numel())

    @torch.no_grad()
    def coded(self, weight: Tensor) -> CodedWeights:
        """Return codes and their encoding."""
        self._begin(weight)
        step = self._step(weight).flatten().cpu().numpy()
        encoding = Affine(self.bits, step, np.full(len(step), 1 << (self.bits - 1), np.int32))
        return CodedWeights(encoding, encoding.encode(weight.flatten(1).cpu().numpy()))

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"bits={self.bits}"

    @torch.no_grad()
    def _begin(self, weight: Tensor) -> None:
        """Start with the step of LSQ, or, of 8 bits, with the one that reaches the largest weight."""
        if not self._begun and not bool(self.ready):
            magnitude, most = weight.flatten(1).abs(), (1 << (self.bits - 1)) - 1
            step = magnitude.amax(1) / most if self.bits == 8 else 2 * magnitude.mean(1) / sqrt(most)
            self.exponent.copy_(torch.log2(step.clamp(min=_TINIEST)))
            self.ready.fill_(True)
        self._begun = True

    def _step(self, weight: Tensor) -> Tensor:
        return torch.exp2(self.exponent).view(-1, *[1] * (weight.ndim - 1))


class AffineInput(InputQuantizer):
    """Activations on a grid with a learned step.

    Args:
        bits: 2 to 8.
    """

    ready: Tensor
    zero_point: Tensor

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.exponent = nn.Parameter(torch.zeros(1))
        self.register_buffer("zero_point", torch.zeros(1, dtype=torch.int32))
        self.register_buffer("ready", torch.zeros((), dtype=torch.bool))
        self._begun = False

    def forward(self, x: Tensor) -> Tensor:
        """Return levels."""
        self._begin(x)
        low = -self.zero_point
        return _on_grid(x, torch.exp2(self.exponent), low, low + (1 << self.bits) - 1, x[0].numel())

    def encoding(self) -> Encoding:
        """Return step and zero point."""
        return Affine(
            self.bits, torch.exp2(self.exponent.detach()).cpu().numpy(), self.zero_point.cpu().numpy()
        )

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"bits={self.bits}"

    @torch.no_grad()
    def _begin(self, x: Tensor) -> None:
        if not self._begun and not bool(self.ready):
            steps = (1 << self.bits) - 1
            low, high = -largest(-x.amin().float().clamp(max=0)), largest(x.amax().float().clamp(min=0))
            count = summed(torch.tensor(float(x.numel()), device=x.device))
            mean = summed(x.float().abs().sum()) / count
            step = (high - low) / steps if self.bits == 8 else 2 * mean / sqrt(steps)
            step = step.clamp(min=_TINIEST)
            self.exponent.copy_(torch.log2(step).view(1))
            most = steps if self.bits == 8 else (steps + 1) // 2  # of 8 bits, the step reaches both ends
            self.zero_point.copy_((-low / step).round().clamp(0, most).int().view(1))
            self.ready.fill_(True)
        self._begun = True


class PixelInput(InputQuantizer):
    """Codes of 8 bits as they are: level = code / 255."""

    def forward(self, x: Tensor) -> Tensor:
        """Return levels; the gradient passes straight through."""
        return (x.detach() * 255).round().clamp(0, 255) / 255 + (x - x.detach())

    def encoding(self) -> Encoding:
        """Return the grid of pixels."""
        return Affine(8, np.full(1, 1 / 255, np.float32), np.zeros(1, np.int32))


def _on_grid(x: Tensor, step: Tensor, low: Tensor | int, high: Tensor | int, count: int) -> Tensor:
    steps = 255 if isinstance(low, Tensor) else high - low
    step = gradient_scaled(step, 1 / sqrt(count * float(steps)))
    return (step * rounded((x / step).clamp(low, high))).to(x.dtype)  # type: ignore[arg-type]
