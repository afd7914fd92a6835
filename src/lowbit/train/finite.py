"""Where numbers stopped being finite: the first layer, gradient or weight of a run that is taken again."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree


def first_not_finite(
    module: nn.Module, optimizer: torch.optim.Optimizer, steps: Iterable[Tensor], done: int
) -> str:
    """Take steps until a number is not finite and return where, ``layer conv2, its output, in step 7``.

    Args:
        module: that learns.
        optimizer: of its parameters.
        steps: taken one by one; each gives its loss.
        done: steps that were taken before.

    Returns:
        The place, in the order in which a step computes: outputs of layers, the loss, gradients, weights. ""
        where all stays finite.
    """
    with _watched(module, optimizer) as found:
        for number, loss in enumerate(steps, done + 1):
            if not found and not loss.isfinite():
                found.append("the loss itself")
            if not found:
                found += _weights(module)
            if found:
                return f"{found[0]}, in step {number}"
    return ""


@contextmanager
def _watched(module: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[list[str]]:
    """Give a list of what was not finite, in order."""
    found: list[str] = []

    def look(name: str, given: Any) -> None:
        tensors = [each for each in _pytree.tree_leaves(given) if isinstance(each, Tensor)]
        if not found and not all(bool(each.isfinite().all()) for each in tensors if each.is_floating_point()):
            found.append(f"layer {name}, its output" if name else "the network's output")

    def gradients(*_: object) -> None:
        if not found:
            found.extend(
                f"layer {_layer(name)}, the gradient of {name}"
                for name, each in module.named_parameters()
                if each.grad is not None and not each.grad.isfinite().all()
            )

    hooks: list[Any] = [
        each.register_forward_hook(lambda _, __, given, name=name: look(name, given))
        for name, each in module.named_modules()
    ]
    hooks.append(optimizer.register_step_pre_hook(gradients))
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _weights(module: nn.Module) -> list[str]:
    return [
        f"layer {_layer(name)}, {name} after its step (the gradient was finite)"
        for name, each in module.state_dict().items()
        if each.is_floating_point() and not each.isfinite().all()
    ]


def _layer(name: str) -> str:
    return name.rpartition(".")[0] or name
