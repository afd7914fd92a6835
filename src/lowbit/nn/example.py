"""Samples that a module is traced with."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils import _pytree

from lowbit.errors import LowbitError, UsageError

Given = Sequence[int] | Tensor | npt.NDArray[Any] | Sequence[Tensor | npt.NDArray[Any]] | None
"""The shape of one sample, or samples: a tensor or array, or one for each input."""

SAMPLES = 2
"""So many that an axis of samples is none of length one."""


@dataclass(frozen=True)
class Example:
    """Inputs of a module.

    Attributes:
        tensors: one for each input, two samples along the first axis.
        whole: as they were given.
        counted: whether who gave them said how many samples there are; not with the shape of one.
    """

    tensors: tuple[Tensor, ...]
    whole: tuple[Tensor, ...]
    counted: bool = True

    @property
    def batch(self) -> int:
        """How many samples there are."""
        return len(self.tensors[0]) if self.tensors[0].ndim else 1

    def fixed(self) -> "Example":
        """Return all of it, as lengths that stay."""
        return replace(self, tensors=self.whole)

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
        return _of((torch.as_tensor(given).detach().to(place),))
    parts = tuple(torch.as_tensor(part) if isinstance(part, np.ndarray) else part for part in given)
    tensors = [part for part in parts if isinstance(part, Tensor)]
    if parts and len(tensors) == len(parts):
        return _of(tuple(part.detach().to(place) for part in tensors))
    if not all(isinstance(part, int) and not isinstance(part, bool) and part > 0 for part in parts):
        raise UsageError(
            "this is no example of an input",
            where=type(model).__name__,
            expected="a tensor, a tuple of tensors, or the lengths of one sample",
            found=" ".join(str(given).split())[:100],
        )
    shape = (SAMPLES, *parts)
    made = torch.linspace(-1, 1, prod(shape), device=place).reshape(shape)  # type: ignore[arg-type]
    return replace(_of((made,)), counted=False)


def settled(model: nn.Module, example: Example) -> Example:
    """Return what a module takes: two samples, or, where their first axis is none of samples, all of it."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            model(*example.tensors)
    except LowbitError:
        return example
    except Exception:  # whatever a forward raises; what runs the module says so
        return replace(example, tensors=example.whole)
    finally:
        for module, mode in modes:
            module.training = mode
    return example


@torch.no_grad()
def apart(model: nn.Module, example: Example) -> bool:
    """Return whether a module in eval mode gives for two samples what it gives for each alone.

    Sums of floats may differ by the number of samples, and a code with them: by a part of the largest.
    """
    both, first, second = (
        _given(model, tuple(each[part] if each.ndim else each for each in example.tensors))
        for part in (slice(None), slice(1), slice(1, 2))
    )
    if both is None or first is None or second is None:
        return False
    for together, *alone in zip(both, first, second, strict=True):
        joined = torch.cat([each.float() for each in alone]) if all(each.ndim for each in alone) else None
        if joined is None or joined.shape != together.shape:
            return False
        if float((joined - together).abs().max()) > _NEAR * float(joined.abs().max()):
            return False
    return True


_NEAR = 0.05


def _given(model: nn.Module, inputs: tuple[Tensor, ...]) -> list[Tensor] | None:
    """Return the tensors that a module gives, or None where it takes no such inputs."""
    try:
        return [each for each in _pytree.tree_leaves(model(*inputs)) if isinstance(each, Tensor)]
    except Exception:  # whatever a forward raises
        return None


def _of(tensors: tuple[Tensor, ...]) -> Example:
    return Example(tuple(map(_two, tensors)), tensors)


def _two(given: Tensor) -> Tensor:
    """Return two samples of a tensor, the same one twice where it has no other."""
    if not given.ndim:
        return given
    return given[:SAMPLES] if len(given) >= SAMPLES else given.repeat_interleave(SAMPLES, 0)
