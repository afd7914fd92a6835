"""Statistics over all processes of a training run, so that every process quantizes alike."""

import torch
from torch import Tensor, distributed


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
