"""What a training loop tells a model with quantizers, wherever they are in it."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from lowbit.nn.low_bit import LowBit
from lowbit.schemes.training.quantizer import Quantizer

LEAST_SLOPE = 1e-3
"""Of a PReLU: it stays increasing, so that it folds into thresholds."""


def set_progress(model: nn.Module, progress: float) -> None:
    """Say how much of training is over, in [0, 1]; estimators and schedules follow."""
    for module in model.modules():
        if isinstance(module, Quantizer):
            module.set_progress(progress)


@torch.no_grad()
def clamp_latents(model: nn.Module) -> None:
    """Bring latent weights back to where their gradient lives, in place; call it after every step."""
    for module in model.modules():
        if isinstance(module, LowBit) and module.weight_quantizer is not None:
            module.weight_quantizer.clamp(module.weight)
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
