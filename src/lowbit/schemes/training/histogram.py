"""Values of several batches as a histogram, and the grid of least squared error for all of them."""

import torch
from torch import Tensor, nn

from lowbit.schemes.training.statistics import largest, summed

BINS = 4096
_PARTS = 24  # of the range on either side of zero that are tried as ends of a grid


class Histogram(nn.Module):
    """How many values, and their sum, by bins of their range, over all processes.

    Attributes:
        batches: how many were added.
        low: the least value, at most 0.
        high: the largest, at least 0.
    """

    batches: Tensor
    counts: Tensor
    sums: Tensor
    low: Tensor
    high: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Floats, since a moving average of integers would be cut down at every step.
        self.register_buffer("batches", torch.zeros(()))
        self.register_buffer("counts", torch.zeros(BINS))
        self.register_buffer("sums", torch.zeros(BINS))
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))

    def forget(self) -> None:
        """Begin again."""
        for buffer in self.buffers():
            buffer.zero_()

    @torch.no_grad()
    def add(self, x: Tensor) -> bool:
        """Add a batch of any shape; one that is all zero, or not finite, adds nothing and returns False."""
        x = x.float().flatten()
        low, high = -largest((-x).amax().clamp(min=0)), largest(x.amax().clamp(min=0))
        width = high - low
        if not bool((width > 0) & width.isfinite()):
            return False
        low, high = torch.minimum(self.low, low), torch.maximum(self.high, high)
        if bool((low < self.low) | (high > self.high)):
            self._widen(low, high)
        counts, sums = self._binned(x, torch.ones_like(x), x)
        self.counts += summed(counts)
        self.sums += summed(sums)
        self.batches += 1
        return True

    def _widen(self, low: Tensor, high: Tensor) -> None:
        """Let bins span another range; what was counted goes where its mean is."""
        self.low.copy_(low)
        self.high.copy_(high)
        means = self.sums / self.counts.clamp(min=1)
        self.counts, self.sums = self._binned(means, self.counts, self.sums)

    def _binned(self, values: Tensor, counts: Tensor, sums: Tensor) -> tuple[Tensor, Tensor]:
        places = (values - self.low) * (BINS / (self.high - self.low))
        places = places.long().clamp_(0, BINS - 1)
        empty = torch.zeros_like(self.counts)
        return empty.scatter_add(0, places, counts), empty.scatter_add(0, places, sums)

    @torch.no_grad()
    def best_grid(self, top: int) -> tuple[Tensor, Tensor]:
        """Return step and zero point, `[1]`, of the grid `s (0 … top - z)` nearest to all values.

        Every part of the range on either side of zero is tried; the squared error is that of the means of
        the bins.
        """
        some = self.counts > 0
        counts, values = self.counts[some], self.sums[some] / self.counts[some]
        parts = torch.arange(1, _PARTS + 1, device=values.device) / _PARTS
        low, high = torch.cartesian_prod(self.low * parts, self.high * parts).T
        step = (high - low) / top
        zero = (-low / step).round()
        errors = torch.stack(
            [
                _error(values, counts, *grid, top) for grid in zip(step, zero, strict=True)
            ]  # few at once: small
        )
        best = errors.argmin().view(1)
        return step[best], zero[best]


def _error(values: Tensor, counts: Tensor, step: Tensor, zero: Tensor, top: int) -> Tensor:
    found = (values / step).round_().clamp_(-zero, top - zero).mul_(step)
    return found.sub_(values).square_() @ counts
