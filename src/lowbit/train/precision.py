"""What bfloat16 costs here: without units for it a processor converts every number, and takes far longer.

No list of processors says this; a step of one small convolution is timed instead, both ways, before training.
"""

import time

import torch
from torch.nn import functional

SLOWER = 1.5
"""From this many times the time of float32 on, a person is told."""

_CHANNELS, _SIDE, _SAMPLES, _ROUNDS = 32, 14, 4, 3


def cost_of(precision: str, device: torch.device) -> str:
    """Return what a person should know of a precision before training begins; "" where there is nothing.

    Args:
        precision: `float32` or `bf16`, as in a recipe.
        device: what is trained on; anything but a processor has units for both.
    """
    if precision != "bf16" or device.type != "cpu":
        return ""
    times = times_of_float32()
    if times < SLOWER:
        return ""
    return (
        f"bf16 takes {times:.0f} times as long as float32 on this processor (a convolution of "
        f"{_CHANNELS} channels, measured now): --precision float32 trains in float32"
    )


def times_of_float32() -> float:
    """Return how many times the processor time of float32 a step of a convolution takes in bfloat16."""
    with torch.random.fork_rng(devices=[]):
        layer = torch.nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=1)
    samples = torch.ones(_SAMPLES, _CHANNELS, _SIDE, _SIDE)
    plain, short = (min(_seconds(layer, samples, short) for _ in range(_ROUNDS)) for short in (False, True))
    return short / max(plain, 1e-9)


def _seconds(layer: torch.nn.Module, samples: torch.Tensor, short: bool) -> float:
    started = time.process_time()
    with torch.autocast("cpu", torch.bfloat16, enabled=short):
        found = layer(samples)
    functional.mse_loss(found.float(), samples).backward()  # type: ignore[no-untyped-call]
    return time.process_time() - started
