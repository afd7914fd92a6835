"""Weights that swing between two codes are frozen: "iterative weight freezing" of Nagel et al., 2022.

After every step t, with k the integers of the weights,

    o_t = 1 where k changes, and against the direction of its last change, else 0
    f_t = m o_t + (1 - m) f_(t-1)                    how often a weight swings
    a_t = m k_t + (1 - m) a_(t-1)                    where it is most of the time
    a weight with f_t > h(p) becomes s round(a_t), and stays there while its step s still learns

    h(p) = h_1 + (h_0 - h_1) (1 + cos(pi (p - p_0) / (1 - p_0))) / 2,   p the progress of training in [0, 1];
    before p_0 nothing is frozen

(Overcoming Oscillations in Quantization-Aware Training, ICML 2022). m, h_0, h_1 and p_0 are those of the
authors' scripts for MobileNetV2 at 4 bits (github.com/Qualcomm-AI-research/oscillations-qat).
"""

from math import pi

import torch
from torch import Tensor, nn

MOMENTUM = 0.001
FIRST, LAST = 0.1, 0.01
START = 0.25
MOST_BITS = 4
"""Of weights that are frozen; finer grids hardly swing."""


def threshold(progress: Tensor) -> Tensor:
    """Return h(p), infinite before anything is frozen."""
    part = (progress - START) / (1 - START)
    return torch.where(part < 0, torch.inf, LAST + (FIRST - LAST) * (1 + torch.cos(pi * part)) / 2)


class Oscillations(nn.Module):
    """How weights have swung, and which are frozen.

    Attributes:
        codes: integers of the weights after the last step.
        direction: of their last change, -1, 0 or +1.
        frequency: f.
        average: a.
        frozen: 1 where a weight is frozen, else 0; then `codes` stays.
        seen: whether a step was followed.
    """

    codes: Tensor
    direction: Tensor
    frequency: Tensor
    average: Tensor
    frozen: Tensor
    seen: Tensor

    def __init__(self, shape: torch.Size) -> None:
        super().__init__()
        for name in ("codes", "direction", "frequency", "average", "frozen"):
            self.register_buffer(name, torch.zeros(shape))
        self.register_buffer("seen", torch.zeros(()))

    def forget(self) -> None:
        """Begin again: nothing is frozen."""
        for buffer in self.buffers():
            buffer.zero_()

    @torch.no_grad()
    def follow(self, codes: Tensor, progress: Tensor) -> tuple[Tensor, Tensor]:
        """Follow one step, and return where weights are frozen, and the integers that they have there.

        Args:
            codes: the integers of the weights after the step.
            progress: of training, 0 to 1.
        """
        first = self.seen == 0  # asked on the device, which a loop need not wait for
        self.codes.copy_(torch.where(first, codes, self.codes))
        self.average.copy_(torch.where(first, codes, self.average))
        self.seen.fill_(1)
        frozen = self.frozen > 0
        direction = torch.where(frozen, 0.0, torch.sign(codes - self.codes))
        swings = (direction * self.direction < 0).float()
        self.direction.copy_(torch.where(direction != 0, direction, self.direction))
        self.frequency.mul_(1 - MOMENTUM).add_(swings, alpha=MOMENTUM)
        self.average.mul_(1 - MOMENTUM).add_(codes, alpha=MOMENTUM)
        now = ~frozen & (self.frequency > threshold(progress))
        self.codes.copy_(torch.where(frozen, self.codes, torch.where(now, self.average.round(), codes)))
        self.frozen.masked_fill_(now, 1)
        return frozen | now, self.codes
