"""The samples that one process sees whole and two see in parts."""

import torch
from torch import Tensor


def batches() -> list[Tensor]:
    """Return three batches of 64 rows; the two halves differ strongly."""
    generator = torch.Generator().manual_seed(0)
    found = [torch.randn(64, 50, generator=generator) for _ in range(3)]
    for batch in found:
        batch[1::2] += 2
    return found
