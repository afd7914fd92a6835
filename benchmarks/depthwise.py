"""Depthwise networks trained at 2 and 4 bits: LSQ, LSQ+, weights that swing frozen, and Brevitas' defaults.

    python benchmarks/depthwise.py --aeon WHEEL --json results/depthwise.json [--seeds 3]

The task is speech: which of nine speakers said two Japanese vowels, 12 cepstrum coefficients of 25 moments
(JapaneseVowels: Kudo, Toyama and Shimbo 1999; UCI and UEA archives), 270 samples to learn from and 370 to be
judged by, as they lie inside the wheel of the package aeon (`pip download --no-deps aeon==1.6.0`). The
network has three pairs of a depthwise and a pointwise convolution of lines. Every contender goes on from the
same float network, with the same batches, rates and epochs; the first and the last layer stay float. The last
epoch counts. Network and epochs were made smaller for time, after trials of a row whose test accuracy was
seen.

Brevitas, where it is installed, has its layers' own defaults and the bits: `QuantConv1d(weight_bit_width=b)`
and `QuantReLU(bit_width=b)`. Rows that are there are not measured again; a table is written beside the file.
"""

import argparse
import importlib.util
import json
import sys
import time
import zipfile
from collections.abc import Callable
from copy import deepcopy
from itertools import groupby
from pathlib import Path
from statistics import mean, pstdev
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lowbit.nn import Plan, clamp_latents, parameter_groups, prepare, set_progress
from lowbit.provenance import provenance

INSIDE = "aeon/datasets/data/JapaneseVowels/JapaneseVowels_eq_{}.ts"
CHANNELS, MOMENTS, SPEAKERS = 12, 25, 9
WIDTHS, KERNEL = (32, 48, 64), 5
BATCH, RATE, DECAY = 30, 0.005, 1e-3
EPOCHS = {"float": 60, "low": 30}
RULES = {"LSQ": ("lsq", "lsq"), "LSQ+": ("lsq+", "lsq+"), "LSQ+, frozen": ("freeze", "lsq+")}
"""Ours: the rules of weights and of inputs."""

BREVITAS = "Brevitas, defaults"
Samples = tuple[Tensor, Tensor]


def samples_of(wheel: Path, part: str) -> Samples:
    """Return the samples `[n, 12, 25]` and speakers of `TRAIN` or `TEST`."""
    text = zipfile.ZipFile(wheel).read(INSIDE.format(part)).decode()
    lines = text.split("@data")[1].split()
    rows = [line.split(":") for line in lines]
    values = np.array([[channel.split(",") for channel in row[:-1]] for row in rows], np.float32)
    return torch.from_numpy(values), torch.tensor([int(row[-1]) - 1 for row in rows])


def network(convolution: Callable[..., nn.Module], activation: Callable[[], nn.Module]) -> nn.Sequential:
    """Return the network with some layers inside; names and shapes of weights are the same for all."""
    layers: list[nn.Module] = [nn.Conv1d(CHANNELS, WIDTHS[0], 3, padding=1, bias=False)]
    layers += [nn.BatchNorm1d(WIDTHS[0]), activation()]
    for last, width in zip((WIDTHS[0], *WIDTHS), WIDTHS, strict=False):
        around = {"groups": last, "padding": KERNEL // 2, "bias": False}
        layers += [convolution(last, last, KERNEL, **around), nn.BatchNorm1d(last), activation()]
        layers += [convolution(last, width, 1, bias=False), nn.BatchNorm1d(width), activation()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(WIDTHS[-1], SPEAKERS))


def of_brevitas(bits: int, start: nn.Module) -> nn.Module:
    """Return the network with Brevitas' layers as they are by default, and the weights of a float one."""
    from brevitas.nn import QuantConv1d, QuantReLU

    def convolution(*shape: int, **settings: Any) -> nn.Module:
        made: nn.Module = QuantConv1d(*shape, weight_bit_width=bits, **settings)
        return made

    found = network(convolution, lambda: QuantReLU(bit_width=bits))
    found.load_state_dict(start.state_dict(), strict=False)
    return found


def of_ours(bits: int, start: nn.Module, rules: tuple[str, str]) -> nn.Module:
    """Return the network at low bits by the rules of weights and inputs, from a float one."""
    module, form = deepcopy(start), f"affine:{bits}"
    ends = {"first": Plan("float"), "last": Plan("float")}
    plan = Plan(form, form, weight_gradient=rules[0], activation_gradient=rules[1], layers=ends)
    prepare(module, plan, (CHANNELS, MOMENTS))
    return module


def learn(module: nn.Module, samples: Samples, epochs: int, rate: float, seed: int) -> None:
    """Train a network in place."""
    optimizer = torch.optim.AdamW(parameter_groups(module, rate, weight_decay=DECAY))
    steps = epochs * (len(samples[0]) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps, pct_start=0.2)
    chance = torch.Generator().manual_seed(seed)
    module.train()
    for step in range(steps):
        if step * BATCH % len(samples[0]) == 0:
            order = torch.randperm(len(samples[0]), generator=chance).split(BATCH)
        at = order[step % len(order)]
        set_progress(module, step / steps)
        optimizer.zero_grad()
        functional.cross_entropy(module(samples[0][at]), samples[1][at]).backward()
        optimizer.step()
        schedule.step()
        clamp_latents(module)
    module.eval()


@torch.no_grad()
def top1(module: nn.Module, samples: Samples) -> float:
    """Return the share of right answers."""
    return float((module(samples[0]).argmax(1) == samples[1]).float().mean())


def measure(
    sets: tuple[Samples, Samples], start: nn.Module, name: str, bits: int, seed: int
) -> dict[str, Any]:
    """Return the row of one contender."""
    torch.manual_seed(seed)
    module = of_brevitas(bits, start) if name == BREVITAS else of_ours(bits, start, RULES[name])
    started = time.process_time()
    learn(module, sets[0], EPOCHS["low"], RATE / 2, seed + 1)
    seconds = round(time.process_time() - started, 1)
    return {"top1": top1(module, sets[1]), "float": top1(start, sets[1]), "cpu_seconds": seconds}


def float_network(samples: Samples, seed: int) -> nn.Module:
    """Return the float network of a seed."""
    torch.manual_seed(seed)
    module = network(nn.Conv1d, nn.ReLU)
    learn(module, samples, EPOCHS["float"], RATE, seed)
    return module


def table(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown table of means and deviations."""
    lines = ["| bits | rule | seeds | float | top-1 | CPU s |", "|---" * 6 + "|"]
    for (bits, name), group in groupby(rows, lambda row: (row["bits"], row["rule"])):
        found = list(group)
        shown = [spread([100 * row[key] for row in found]) for key in ("float", "top1")]
        seconds = mean(row["cpu_seconds"] for row in found)
        lines.append(f"| {bits}W{bits}A | {name} | {len(found)} | {' | '.join(shown)} | {seconds:.0f} |")
    about = (
        "Top-1 in per cent of 370 test samples, mean and deviation over seeds. JapaneseVowels: nine\n"
        "speakers, 270 samples to learn from; a depthwise separable network of lines, ends float, 30 epochs\n"
        "from the float network of the seed. The test samples chose nothing. One sample is 0.27 points."
    )
    return "\n".join([*lines, "", about, ""])


def spread(values: list[float]) -> str:
    """Return mean and deviation."""
    return f"{mean(values):.2f} ± {pstdev(values):.2f}"


def main() -> None:
    """Measure what is missing."""
    given = _options()
    torch.set_num_threads(1)
    sets = samples_of(given.aeon, "TRAIN"), samples_of(given.aeon, "TEST")
    known = json.loads(given.json.read_text())["rows"] if given.json.exists() else []
    names = [*RULES, *([BREVITAS] if importlib.util.find_spec("brevitas") else [])]
    for seed in range(given.seeds):
        keys = [{"bits": bits, "rule": name, "seed": seed} for bits in (2, 4) for name in names]
        wanted = [key for key in keys if not any(key.items() <= row.items() for row in known)]
        if not wanted:
            continue
        start = float_network(sets[0], seed)
        for key in wanted:
            found = measure(sets, start, str(key["rule"]), int(key["bits"]), seed)
            known.append(key | found | {"commit": provenance("")["commit"]})
            print(json.dumps(known[-1]), file=sys.stderr, flush=True)
            known.sort(key=lambda row: (row["bits"], [*RULES, BREVITAS].index(row["rule"]), row["seed"]))
            made = provenance("python benchmarks/depthwise.py --aeon WHEEL --json FILE")
            given.json.write_text(json.dumps({**made, "rows": known}, indent=1) + "\n")
            given.json.with_suffix(".md").write_text(table(known))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--aeon", type=Path, required=True, help="the wheel of aeon that carries the samples")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, required=True, help="where the rows go")
    return parser.parse_args()


if __name__ == "__main__":
    main()
