"""Samples that a module is traced with."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor, nn

from lowbit.errors import UsageError

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


def example_of(model: nn.Module, given: Sequence[int] | Tensor | tuple[Tensor, ...] | None) -> Example:
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
    if isinstance(given, Tensor):
        return Example((_two(given.detach().to(place)),))
    parts: tuple[object, ...] = tuple(given)
    tensors = [part for part in parts if isinstance(part, Tensor)]
    if parts and len(tensors) == len(parts):
        return Example(tuple(_two(part.detach().to(place)) for part in tensors))
    if not all(isinstance(part, int) and not isinstance(part, bool) and part > 0 for part in parts):
        raise UsageError(
            "this is no example of an input",
            where=type(model).__name__,
            expected="a tensor, a tuple of tensors, or the lengths of one sample",
            found=str(given)[:200],
        )
    shape = (SAMPLES, *parts)
    return Example((torch.linspace(-1, 1, prod(shape), device=place).reshape(shape),))  # type: ignore[arg-type]


def _two(given: Tensor) -> Tensor:
    """Return two samples of a tensor, the same one twice where it has no other."""
    if not given.ndim:
        return given
    return given[:SAMPLES] if len(given) >= SAMPLES else given.repeat_interleave(SAMPLES, 0)
