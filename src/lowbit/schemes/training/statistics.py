"""Statistics of values: of a sample of them, or over all processes, so that every one quantizes alike."""

import torch
from torch import Tensor, distributed

SAMPLE = 1 << 16
"""Values that decide a step of QEM, or that the doctor counts; more say no more."""


def summed(values: Tensor) -> Tensor:
    """Return the sum of `values` over all processes; one process has its own."""
    return _reduced(values, "SUM")


def largest(values: Tensor) -> Tensor:
    """Return the elementwise maximum of `values` over all processes."""
    return _reduced(values, "MAX")


@torch.no_grad()
def _reduced(values: Tensor, operation: str) -> Tensor:
    if distributed.is_available() and distributed.is_initialized():
        values = values.clone()
        distributed.all_reduce(values, getattr(distributed.ReduceOp, operation))
    return values


def sampled(x: Tensor) -> Tensor:
    """Return all values, or `SAMPLE` of them: of that many equal parts a random one each.

    Places are the same at every step, so that a run that goes on needs no generator's state; a fixed stride
    would see few columns of maps whose sides are powers of two.
    """
    flat = x.flatten() if x.is_contiguous() or x.ndim < 2 else x.movedim(1, -1).flatten()
    if len(flat) <= SAMPLE:
        return flat
    part = len(flat) / SAMPLE
    return flat[(_PLACES.to(x.device) * part).long().clamp_(max=len(flat) - 1)]


_PLACES = torch.arange(SAMPLE) + torch.rand(
    SAMPLE, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
)
