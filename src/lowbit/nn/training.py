"""What a training loop tells a model with quantizers, wherever they are in it."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from lowbit.nn.low_bit import LowBit
from lowbit.schemes.training.quantizer import Quantizer

LEAST_SLOPE = 1e-3
"""Of a PReLU: it stays increasing, so that it folds into thresholds."""


def parameter_groups(
    model: nn.Module, rate: float, *, weight_decay: float = 0.0, quantizer_rate: float | None = None
) -> list[dict[str, Any]]:
    """Return groups of parameters for an optimizer of torch, each parameter that learns in one of them.

    Kernels and matrices decay. What quantizers learn (steps, offsets, scales, bases, tables) does not: decay
    would move a grid that its gradient holds; but the bound of PACT does, as in its paper. Norms, biases,
    slopes and other vectors do not decay either (He et al., Bag of Tricks 2019, section 3.1: "no bias
    decay").

    Args:
        model: a prepared one, or a float one.
        rate: of weights, norms and biases.
        weight_decay: of kernels and matrices.
        quantizer_rate: of what quantizers learn; `rate` when None.

    Returns:
        The groups `weights`, `quantizers`, `bounds` and `others` (their `name`), empty ones left out.
    """
    quantizers = [module for module in model.modules() if isinstance(module, Quantizer)]
    learned = {
        id(parameter): "bounds" if quantizer.decays else "quantizers"
        for quantizer in quantizers
        for parameter in quantizer.parameters()
    }
    rate_of_learned = rate if quantizer_rate is None else quantizer_rate
    groups: dict[str, dict[str, Any]] = {
        "weights": {"lr": rate, "weight_decay": weight_decay},
        "quantizers": {"lr": rate_of_learned, "weight_decay": 0.0},
        "bounds": {"lr": rate_of_learned, "weight_decay": weight_decay},
        "others": {"lr": rate, "weight_decay": 0.0},
    }
    for parameter in model.parameters():
        if parameter.requires_grad:
            vector = "others" if parameter.ndim < 2 else "weights"
            name = learned.get(id(parameter), vector)
            groups[name].setdefault("params", []).append(parameter)
    return [{"name": name, **group} for name, group in groups.items() if "params" in group]


def set_progress(model: nn.Module, progress: float) -> None:
    """Say how much of training is over, in [0, 1]; estimators and schedules follow."""
    for module in model.modules():
        if isinstance(module, Quantizer):
            module.set_progress(progress)


@torch.no_grad()
def clamp_latents(model: nn.Module) -> None:
    """Bring latent weights back to where their gradient lives, or keep them where they are frozen.

    In place; call it after every step.
    """
    for module in model.modules():
        if isinstance(module, LowBit) and module.weight_quantizer is not None:
            weight = module.outputs_first(module.weight)
            module.weight_quantizer.clamp(weight)
            if weight is not module.weight:
                module.weight.copy_(module.as_stored(weight))
        elif isinstance(module, nn.PReLU):
            module.weight.clamp_(min=LEAST_SLOPE)


@torch.no_grad()
def reestimate_batchnorm(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace the statistics of batch normalization by those that the deployed layers give over `batches`."""
    norms = [module for module in model.modules() if isinstance(module, _NORMS)]
    momenta, was_training = [norm.momentum for norm in norms], model.training
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # an average over all batches
        norm.train()
    for batch in batches:
        model(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.train(was_training)


_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
