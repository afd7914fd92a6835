"""Inputs on uniform grids as papers learn them: LSQ+ (a learned offset) and PACT (a learned bound).

    lsq+    x^ = s q + o,   q = round(clamp((x - o) / s, 0, p)),   p = 2^b - 1
            dx^/ds = q - (x - o) / s between the ends, else 0 or p;   dx^/do = 0 between the ends, else 1
            (Bhalgat et al., LSQ+: Improving low-bit quantization through learnable offsets and better
            initialization, 2020; both gradients are scaled by 1 / sqrt(n p), as in LSQ)
    pact    y = clamp(x, 0, a) = (|x| - |x - a| + a) / 2,   x^ = round(y p / a) a / p
            dx^/da = 1 where x >= a, else 0
            (Choi et al., PACT: Parameterized Clipping Activation for Quantized Neural Networks, 2018)

LSQ+ starts with the s and o of least squared error, as in its paper, here over the values of the first
`BATCHES` batches, during which nothing else moves them. Zero is a level, since padding is zero: where o is
used it is the nearest multiple of s, and its gradient passes straight through. PACT starts with the largest
value of the first batch, and its bound decays as weights do (its paper's L2 term).
"""

from math import sqrt

import numpy as np
import torch
from torch import Tensor, nn

from lowbit.errors import NumericError
from lowbit.schemes.affine.encoding import Affine
from lowbit.schemes.encoding import SMALLEST, Encoding
from lowbit.schemes.training.exponent import LearnedScale
from lowbit.schemes.training.gradients import gradient_scaled
from lowbit.schemes.training.histogram import Histogram
from lowbit.schemes.training.quantizer import InputQuantizer
from lowbit.schemes.training.statistics import largest

BATCHES = 8
"""By which the grid of LSQ+ is chosen."""


def lsq_plus(x: Tensor, step: Tensor, offset: Tensor, top: int) -> Tensor:
    """Return x^ of LSQ+ with an offset that is a multiple of the step, and the gradients of the formula.

    Args:
        x: any shape.
        step: s, `[1]`.
        offset: o, `[1]`; minus o / s within 0 to `top`, or the nearer of these, is the level of zero.
        top: p.
    """
    zero = level_of_zero(step, offset, top)
    used = offset + (-step * zero - offset).detach()
    inside = ((x - used) / step).clamp(0, top)
    # Rounded as the deployed grid does: half to even of x / s.
    q = (x / step).round().clamp(-zero, top - zero).detach() + zero
    return (step * (q + (inside - inside.detach())) + used).to(x.dtype)


def pact(x: Tensor, bound: Tensor, top: int) -> Tensor:
    """Return x^ of PACT, and the gradients of the formula.

    Args:
        x: any shape.
        bound: a, `[1]`, positive.
        top: p.
    """
    inside = torch.where(x >= bound, bound, x.clamp(min=0))  # NaN stays NaN
    step = bound.detach() / top
    return (inside + ((inside.detach() / step).round() * step - inside.detach())).to(x.dtype)


@torch.no_grad()
def level_of_zero(step: Tensor, offset: Tensor, top: int) -> Tensor:
    """Return which level is zero."""
    return (-offset / step).round().clamp(0, top)


class LsqPlusInput(LearnedScale, InputQuantizer):
    """Activations on a grid with a learned step and a learned offset.

    Args:
        bits: 2 to 8.
    """

    def __init__(self, bits: int) -> None:
        super().__init__(1)
        self.bits, self.top = bits, (1 << bits) - 1
        self.offset = nn.Parameter(torch.zeros(1))
        self.seen = Histogram()

    def forget(self) -> None:
        """Begin again with the next batches."""
        super().forget()
        self._settled = False
        if hasattr(self, "seen"):  # not yet while the base is made
            self.seen.forget()

    def forward(self, x: Tensor) -> Tensor:
        """Return levels."""
        if self.training or not self.has_begun():
            self._follow(x.detach())
        factor = 1 / sqrt(x[0].numel() * self.top)
        step = gradient_scaled(torch.exp2(self.logarithm()), factor)
        return lsq_plus(x, step, gradient_scaled(self.offset, factor), self.top)

    @torch.no_grad()
    def encoding(self) -> Encoding:
        """Return step and zero point.

        Raises:
            NumericError: no batch has been seen yet.
        """
        self.check_seen()
        step = torch.exp2(self.logarithm())
        zero = level_of_zero(step, self.offset, self.top).int()
        return Affine(self.bits, step.cpu().numpy(), zero.cpu().numpy())

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"bits={self.bits}"

    @torch.no_grad()
    def _follow(self, x: Tensor) -> None:
        """Take the grid of least squared error of all values so far, as long as batches are few."""
        self._settled = self._settled or int(self.seen.batches) >= BATCHES
        if self._settled:
            return
        if self.seen.add(x):
            step, zero = self.seen.best_grid(self.top)
            self.begin(step)
            self.offset.copy_(-step * zero)
        elif not self.has_begun():
            self.begin(x.float().abs().amax().view(1))  # refuses NaN; zeros decide nothing


class PactInput(InputQuantizer):
    """Activations between zero and a learned bound.

    Args:
        bits: 2 to 8.
    """

    decays = True
    ready: Tensor

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits, self.top = bits, (1 << bits) - 1
        self.bound = nn.Parameter(torch.ones(1))
        self.register_buffer("ready", torch.zeros((), dtype=torch.bool))
        self.forget()

    def forget(self) -> None:
        """Begin again with the next batch."""
        self.ready.fill_(False)
        self._begun = self._seen = False

    def forward(self, x: Tensor) -> Tensor:
        """Return levels."""
        self._begin(x)
        return pact(x, self._positive(), self.top)

    @torch.no_grad()
    def encoding(self) -> Encoding:
        """Return the step; the zero point is 0.

        Raises:
            NumericError: no batch has been seen yet.
        """
        if not (self._seen or bool(self.ready)):
            raise NumericError(
                "a learned bound has seen no values yet",
                expected="a batch in training mode before eval mode",
                remedy="Run the model once on a batch of samples in training mode, or load trained weights.",
            )
        step = (self._positive() / self.top).cpu().numpy()
        return Affine(self.bits, step, np.zeros_like(step, np.int32))

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"bits={self.bits}"

    def _positive(self) -> Tensor:
        return self.bound.abs().clamp(min=SMALLEST)

    @torch.no_grad()
    def _begin(self, x: Tensor) -> None:
        self._begun = self._begun or bool(self.ready)
        if self._begun:
            return
        most = largest(x.amax().float())
        if not bool(most.isfinite()):
            raise NumericError(
                "values to begin with are not finite", expected="finite numbers", found="NaN or infinity"
            )
        self._seen = True
        if bool(most > 0):
            self.bound.copy_(most.view(1))
            self.ready.fill_(True)
