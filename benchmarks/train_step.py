"""One training step of a 1W1A or 2W2A convolution block, beside those of Brevitas and of float torch.

    python benchmarks/train_step.py [--rounds 9] [--precisions float32 bf16] [--json OUT]

A block quantizes its input, has a 3x3 convolution of quantized weights and batch normalization; a step is
forward, backward and SGD. Of one bit two of ours: the estimator that Brevitas has (saturating, scale one,
latents clamped), and the default (ReCU weights, quadratic sign). Of two bits uniform grids with learned
steps, per output of weights, and learned bases; Brevitas has uniform grids, its usual weights per output, and
activations with a learned range. One interleaved run per shape, one thread, channels last; the time is that
of the processor. Brevitas is left out where it is not installed; it needs an environment of its own with the
packages of the extra `train`.
"""

import argparse
import importlib.util
import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from lowbit.bench.timing import interleaved_rounds
from lowbit.nn import Conv2d, clamp_latents
from lowbit.provenance import provenance

SHAPES = ((32, 64, 32), (32, 128, 16), (32, 256, 8), (64, 512, 4))
"""Batch, channels, rows and columns: the stages of a VGG."""

PRECISIONS = ("float32", "bf16")
"""Of autocast; bf16 takes 5 to 20 times as long on processors without it."""

ONE_BIT = {"weight": "binary", "activation": "binary"}
OURS: dict[str, dict[str, dict[str, str]]] = {
    "1W1A": {
        "lowbit, as Brevitas": {
            **ONE_BIT,
            **{"weight_gradient": "clip", "activation_gradient": "clip", "scale": "one"},
        },
        "lowbit": ONE_BIT,
    },
    "2W2A": {
        "lowbit": {"weight": "affine:2", "activation": "affine:2"},
        "lowbit lq:2": {"weight": "lq:2", "activation": "lq:2"},
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    parser.add_argument("--json", type=Path, help="write the rows here")
    options = parser.parse_args()
    torch.set_num_threads(1)
    made = provenance(f"python benchmarks/train_step.py --rounds {options.rounds} --json FILE")
    every = product(OURS, options.precisions, SHAPES)
    rows = [measure(bits, *shape, name == "bf16", options.rounds) for bits, name, shape in every]
    if options.json:
        facts = {**made, "rows": rows}
        facts["torch"] = torch.__version__
        options.json.write_text(json.dumps(facts, indent=1) + "\n")
    show(rows)


def measure(bits: str, batch: int, channels: int, side: int, bf16: bool, rounds: int) -> dict[str, Any]:
    """Return milliseconds per step of every contender."""
    blocks = {name: block(channels, **settings) for name, settings in OURS[bits].items()}
    blocks["torch, float"] = nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
    )
    if importlib.util.find_spec("brevitas"):
        blocks["brevitas"] = brevitas_block(channels) if bits == "1W1A" else brevitas_two_bits(channels)
    x = torch.randn(batch, channels, side, side).to(memory_format=torch.channels_last)
    steps = {name: step(module, x, bf16) for name, module in blocks.items()}
    times = interleaved_rounds(steps, rounds)
    found = {name: median(each.cpu for each in rounds) / 1000 for name, rounds in times.items()}
    return {"bits": bits, "batch": batch, "channels": channels, "side": side, "bf16": bf16, "ms": found}


def block(channels: int, **settings: str) -> nn.Module:
    """Return our block."""
    convolution = Conv2d(channels, channels, 3, padding=1, bias=False, **settings)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels))


def brevitas_block(channels: int) -> nn.Module:
    """Return the same with the quantizers of Brevitas' own binary networks (bnn_pynq)."""
    from brevitas.core.restrict_val import RestrictValueType
    from brevitas.core.scaling import ScalingImplType
    from brevitas.inject.enum import QuantType
    from brevitas.nn import QuantConv2d, QuantIdentity

    constant = {
        "quant_type": QuantType.BINARY,
        "scaling_impl_type": ScalingImplType.CONST,
        "restrict_scaling_type": RestrictValueType.FP,
        "bit_width": 1,
        "narrow_range": True,
        "signed": True,
    }
    sign = QuantIdentity(
        **constant,
        min_val=-1.0,
        max_val=1.0,
        return_quant_tensor=False,
    )
    weights = {f"weight_{key}": value for key, value in constant.items()}
    convolution = QuantConv2d(
        channels, channels, 3, padding=1, bias=False, weight_scaling_init=1.0, **weights
    )
    return nn.Sequential(sign, convolution, nn.BatchNorm2d(channels))


def brevitas_two_bits(channels: int) -> nn.Module:
    """Return Brevitas' usual quantizers at two bits: a learned range, and a scale of weights per output."""
    from brevitas.nn import QuantConv2d, QuantIdentity
    from brevitas.quant import Int8ActPerTensorFloat, Int8WeightPerChannelFloat

    grid = QuantIdentity(Int8ActPerTensorFloat, bit_width=2, return_quant_tensor=False)
    settings = {"weight_quant": Int8WeightPerChannelFloat, "weight_bit_width": 2}
    convolution = QuantConv2d(channels, channels, 3, padding=1, bias=False, **settings)
    return nn.Sequential(grid, convolution, nn.BatchNorm2d(channels))


def step(module: nn.Module, x: torch.Tensor, bf16: bool) -> Callable[[], None]:
    """Return one training step of a block; its input needs a gradient, as inside a network."""
    module = module.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(module.parameters(), 1e-3, momentum=0.9)
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    upstream = torch.randn_like(x)

    def run() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            y = module(x)
        optimizer.zero_grad()
        y.backward(upstream.to(y.dtype))
        optimizer.step()
        clamp_latents(module)

    return run


def show(rows: list[dict[str, Any]]) -> None:
    """Print milliseconds per step."""
    for bits in OURS:
        own = [row for row in rows if row["bits"] == bits]
        names = list(own[0]["ms"])
        table = Table("block", *names, title=f"{bits}, ms per training step", title_justify="left")
        for row in own:
            kind = f"{row['channels']} channels {row['side']}x{row['side']}, batch {row['batch']}"
            times = [f"{row['ms'][name]:.2f}" for name in names]
            table.add_row(kind + (", bf16" if row["bf16"] else ""), *times)
        Console(width=140).print(table)


if __name__ == "__main__":
    main()
