"""Uniform grids with a learned step (Esser et al., Learned Step Size Quantization, 2020).

    q = round_half_even(clamp(x / s, low, high)),   x^ = s q
    dx^/dx = 1 between the ends, else 0;   dx^/ds = q - x / s between them, else the end
    the gradient of s is scaled by 1 / sqrt(n h),   n weights of an output, or values of a sample

    steps       h = 2^b - 1; with 8 bits the first step reaches the largest value (what lowbit does by itself)
    lsq         h = Q_P, the highest level: 2^(b-1) - 1 of weights and of inputs with negative values, 2^b - 1
                of others; the first step is 2 mean|x| / sqrt Q_P (the paper's "Step Size Gradient" and
                "Step Size Gradient Scale", for a step per output where the paper has one per layer)
    freeze      of weights of 2 to 4 bits: lsq+, and weights that swing between two codes are frozen
                (`lowbit.schemes.training.oscillation`), after every step by `lowbit.nn.clamp_latents`
    lsq+        of weights as lsq, but the first step is max(|m - 3 d|, |m + 3 d|) / 2^(b-1), m the mean and d
                the deviation of an output (Bhalgat et al., LSQ+: Improving low-bit quantization through
                learnable offsets and better initialization, 2020); of inputs, and
    pact        of inputs: see `lowbit.schemes.affine.published`

The step is 2^e with e learned (`lowbit.schemes.training.exponent`), so it stays positive. Weights are
symmetric, a step per output; an activation has one step, and a zero point that its first batch decides. A
batch of zeros decides nothing.
"""

from collections.abc import Callable
from math import sqrt

import numpy as np
import torch
from torch import Tensor

from lowbit.errors import PlanError, UnsupportedError
from lowbit.schemes.affine.encoding import Affine
from lowbit.schemes.affine.published import LsqPlusInput, PactInput
from lowbit.schemes.coded import CodedWeights
from lowbit.schemes.encoding import Encoding
from lowbit.schemes.specification import Specification
from lowbit.schemes.training.exponent import LearnedScale
from lowbit.schemes.training.gradients import chosen, gradient_scaled, rounded
from lowbit.schemes.training.oscillation import MOST_BITS, Oscillations
from lowbit.schemes.training.quantizer import InputQuantizer, WeightQuantizer
from lowbit.schemes.training.statistics import largest, summed

WEIGHT_GRADIENTS = ("steps", "lsq", "lsq+", "freeze")
CALIBRATED_WEIGHTS = CALIBRATED_INPUTS = {"gradient": "lsq"}
INPUT_GRADIENTS = ("steps", "lsq", "lsq+", "pact")


class AffineWeight(LearnedScale, WeightQuantizer):
    """Weights on a symmetric grid, a step per output.

    Args:
        outputs: how many.
        bits: 2 to 8.
        gradient: one of `WEIGHT_GRADIENTS`.
    """

    def __init__(self, outputs: int, bits: int, gradient: str = "steps") -> None:
        super().__init__(outputs)
        self.bits, self.gradient = bits, chosen(gradient, WEIGHT_GRADIENTS)
        self.oscillations: Oscillations | None = None
        self.follows = gradient == "freeze"
        if gradient == "freeze" and bits > MOST_BITS:
            expected = f"affine:2 to affine:{MOST_BITS}"
            raise PlanError(
                "weights of so many bits are not frozen", expected=expected, found=f"affine:{bits}"
            )

    def shaped(self, shape: torch.Size) -> None:
        """Follow weights of that shape, where the rule does."""
        if self.gradient == "freeze":
            self.oscillations = Oscillations(shape)

    def forget(self) -> None:
        """Begin again with the next weights."""
        super().forget()
        found = getattr(self, "oscillations", None)  # not there yet while the base is made
        if found is not None:
            found.forget()

    def begin_at(self, encoding: Encoding) -> None:
        """Begin with the step of every output; the zero is in the middle."""
        step, zero = _grid(encoding)
        if (zero != 1 << (self.bits - 1)).any():
            raise UnsupportedError("weights whose zero is not in the middle are not learned on")
        self.begin(step.expand_as(self.start))

    def forward(self, weight: Tensor) -> Tensor:
        """Return levels."""
        self._begin(weight)
        half, column = 1 << (self.bits - 1), (-1, *[1] * (weight.ndim - 1))
        step = torch.exp2(self.logarithm()).view(column)
        height = 2 * half - 1 if self.gradient == "steps" else half - 1
        return on_grid(weight, step, -half, half - 1, weight[0].numel() * height)

    @torch.no_grad()
    def coded(self, weight: Tensor) -> CodedWeights:
        """Return codes and their encoding."""
        self._begin(weight)
        step = torch.exp2(self.logarithm()).cpu().numpy()
        encoding = Affine(self.bits, step, np.full(len(step), 1 << (self.bits - 1), np.int32))
        return CodedWeights(encoding, encoding.encode(weight.flatten(1).cpu().numpy()))

    @torch.no_grad()
    def clamp(self, weight: Tensor) -> None:
        """Freeze weights that swing, and keep those that are frozen on their levels."""
        if self.oscillations is None or not self.has_begun():
            return
        half, column = 1 << (self.bits - 1), (-1, *[1] * (weight.ndim - 1))
        step = torch.exp2(self.logarithm()).view(column)
        codes = (weight / step).round().clamp(-half, half - 1)
        frozen, kept = self.oscillations.follow(codes, self.progress)
        weight.copy_(torch.where(frozen, step * kept, weight))

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"bits={self.bits}, gradient={self.gradient}"

    @torch.no_grad()
    def _begin(self, weight: Tensor) -> None:
        """Start with the step of the rule; that of 8 bits in `steps` reaches the largest weight.

        An output of zeros starts where weights of spread 1 / sqrt n would.
        """
        if self.has_begun():
            return
        rows, most = weight.flatten(1), (1 << (self.bits - 1)) - 1
        magnitude, usual = rows.abs(), 1 / sqrt(weight[0].numel())
        if self.gradient in ("lsq+", "freeze"):
            far = rows.mean(1).abs() + 3 * rows.std(1, correction=0)
            step = _where(far, usual) / (most + 1)
        elif self.gradient == "steps" and self.bits == 8:
            step = _where(magnitude.amax(1), usual) / most
        else:
            step = 2 * _where(magnitude.mean(1), usual / 2) / sqrt(most)
        self.begin(step)


class AffineInput(LearnedScale, InputQuantizer):
    """Activations on a grid with a learned step.

    Args:
        bits: 2 to 8.
        gradient: `steps` or `lsq`.
    """

    zero_point: Tensor

    def __init__(self, bits: int, gradient: str = "steps") -> None:
        super().__init__(1)
        self.bits, self.gradient = bits, gradient
        # A float, since a moving average of integers would be cut down at every step.
        self.register_buffer("zero_point", torch.zeros(1))

    def begin_at(self, encoding: Encoding) -> None:
        """Begin with the step and the zero point of an encoding."""
        step, zero = _grid(encoding)
        self.begin(step)
        self.zero_point.copy_(zero)

    def forward(self, x: Tensor) -> Tensor:
        """Return levels."""
        self._begin(x)
        low, steps = -self.zero_point, (1 << self.bits) - 1
        height = low + steps if self.gradient == "lsq" else steps
        return on_grid(x, torch.exp2(self.logarithm()), low, low + steps, x[0].numel() * height)

    def encoding(self) -> Encoding:
        """Return step and zero point.

        Raises:
            NumericError: no batch has been seen yet.
        """
        self.check_seen()
        step, zero_point = torch.exp2(self.logarithm()).detach(), self.zero_point.round().int()
        return Affine(self.bits, step.cpu().numpy(), zero_point.cpu().numpy())

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"bits={self.bits}, gradient={self.gradient}"

    @torch.no_grad()
    def _begin(self, x: Tensor) -> None:
        if self.has_begun():
            return
        steps = (1 << self.bits) - 1
        low, high = -largest(-x.amin().float().clamp(max=0)), largest(x.amax().float().clamp(min=0))
        count = summed(torch.tensor(float(x.numel()), device=x.device))
        mean = summed(x.float().abs().sum()) / count
        middle = (steps + 1) // 2
        if self.gradient == "lsq":
            zero = middle * (low < 0).float()
            step = 2 * mean / (steps - zero).sqrt()
        else:
            step = (high - low) / steps if self.bits == 8 else 2 * mean / sqrt(steps)
            zero = (-low / step).round().clamp(0, middle)
        self.begin(step.view(1))
        if self.has_begun():
            self.zero_point.copy_(zero.view(1))


def _grid(encoding: Encoding) -> tuple[Tensor, Tensor]:
    """Return step and zero point of every row of levels that are evenly apart, however they are stored."""
    levels = np.sort(encoding.levels(), axis=1)
    step = (levels[:, -1] - levels[:, 0]) / (levels.shape[1] - 1)
    return torch.from_numpy(step).float(), torch.from_numpy(np.rint(-levels[:, 0] / step)).float()


def _where(found: Tensor, usual: float) -> Tensor:
    """Return what was found, and the usual where it is zero."""
    return torch.where(found == 0, usual, found)


def on_grid(x: Tensor, step: Tensor, low: Tensor | int, high: Tensor | int, weight: Tensor | int) -> Tensor:
    """Return x on a grid, `s round(clamp(x / s, low, high))`.

    Args:
        x: any shape.
        step: s, broadcast to x; its gradient is divided by the root of `weight`.
        low: the lowest level in steps.
        high: the highest.
        weight: n h of the module's formula.
    """
    factor = 1 / weight.sqrt() if isinstance(weight, Tensor) else 1 / sqrt(weight)
    step = gradient_scaled(step, factor)
    return (step * rounded((x / step).clamp(low, high))).to(x.dtype)  # type: ignore[arg-type]


def weights(form: Specification, outputs: int, *, gradient: str = "steps") -> AffineWeight:
    """Return what quantizes weights of so many outputs."""
    return AffineWeight(outputs, form.bits, gradient)


def inputs(form: Specification, *, gradient: str = "steps") -> InputQuantizer:
    """Return what quantizes a layer's input."""
    chosen(gradient, INPUT_GRADIENTS)
    published: dict[str, Callable[[int], InputQuantizer]] = {"lsq+": LsqPlusInput, "pact": PactInput}
    return published[gradient](form.bits) if gradient in published else AffineInput(form.bits, gradient)
