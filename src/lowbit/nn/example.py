"""Samples that a module is traced with."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lowbit.errors import UsageError

Given = Sequence[int] | Tensor | npt.NDArray[Any] | Sequence[Tensor | npt.NDArray[Any]] | None
"""The shape of one sample, or samples: a tensor or array, or one for each input."""

SAMPLES = 2
"""So many that an axis of samples is none of length one."""


@dataclass(frozen=True)
class Example:
    """Inputs of a module.

    Attributes:
        tensors: one for each input, samples along the first axis.
    """

    tensors: tuple[Tensor, ...]

    @property
    def batch(self) -> int:
        """How many samples there are."""
        return len(self.tensors[0]) if self.tensors[0].ndim else 1

    def single(self) -> "Example":
        """Return the first sample alone."""
        return replace(self, tensors=tuple(each[:1] if each.ndim else each for each in self.tensors))


def example_of(model: nn.Module, given: Given) -> Example:
    """Return samples to trace a module with, two of each input, where its parameters lie.

    Args:
        model: where the parameters lie, the example goes.
        given: the shape of one sample, or samples.

    Raises:
        UsageError: there is none, or one that is neither.
    """
    place = next((each.device for each in (*model.parameters(), *model.buffers())), torch.device("cpu"))
    if given is None:
        raise UsageError(
            "an example of the module's input is needed",
            where=type(model).__name__,
            expected="example=x, samples in a tensor [n, ...] or several in a tuple, or the shape of one",
            found="none",
        )
    if isinstance(given, Tensor | np.ndarray):
        return Example((_two(torch.as_tensor(given).detach().to(place)),))
    parts = tuple(torch.as_tensor(part) if isinstance(part, np.ndarray) else part for part in given)
    tensors = [part for part in parts if isinstance(part, Tensor)]
    if parts and len(tensors) == len(parts):
        return Example(tuple(_two(part.detach().to(place)) for part in tensors))
    if not all(isinstance(part, int) and not isinstance(part, bool) and part > 0 for part in parts):
        raise UsageError(
            "this is no example of an input",
            where=type(model).__name__,
            expected="a tensor, a tuple of tensors, or the lengths of one sample",
            found=" ".join(str(given).split())[:100],
        )
    shape = (SAMPLES, *parts)
    return Example((torch.linspace(-1, 1, prod(shape), device=place).reshape(shape),))  # type: ignore[arg-type]


def _two(given: Tensor) -> Tensor:
    """Return two samples of a tensor, the same one twice where it has no other."""
    if not given.ndim:
        return given
    return given[:SAMPLES] if len(given) >= SAMPLES else given.repeat_interleave(SAMPLES, 0)
