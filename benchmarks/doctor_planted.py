"""How many planted faults the doctor finds, in networks, layers and plans that its tests do not have.

    python benchmarks/doctor_planted.py SEED [SEED …] [--json results/doctor-planted.json]

Every fault is planted in five networks by eight plans (those of `benchmarks/doctor.py`), in a layer and
channel that chance chooses, after an epoch of twelve steps on digits; it is found when the doctor names its
kind and its layer in the epoch after. A plan that a fault means nothing for (signs have no unused codes) is
left out.
"""

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import torch
from doctor import BATCH, DIGIT_PLANS, digit_networks
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

from lowbit.nn import Doctor, clamp_latents, parameter_groups, prepare, set_progress
from lowbit.nn.low_bit import LowBit
from lowbit.provenance import provenance
from lowbit.schemes.training.exponent import LearnedScale

STEPS = 12
"""Of each of the two epochs."""


@dataclass
class Trial:
    """A prepared network, the layer in which a fault is planted, and what the loop does with both.

    Attributes:
        layers: of low bits, by name; the first may read the data.
        name: of the layer, or of the normalization, that is to be named; "" for any.
        rate: of quantizers, when not the usual one.
        left_out: a parameter that the optimizer does not have.
        silent: whether nobody tells rules of the progress.
    """

    model: nn.Module
    chance: random.Random
    layers: dict[str, LowBit]
    name: str = ""
    rate: float | None = None
    left_out: Tensor | None = None
    silent: bool = False

    def choose(self, fits: Callable[[LowBit], bool] = lambda layer: True, behind: int = 0) -> LowBit | None:
        """Choose a layer; None where no layer fits.

        Args:
            fits: says which do.
            behind: how many layers stand before those that may be chosen.
        """
        names = [name for name in list(self.layers)[behind:] if fits(self.layers[name])]
        self.name = self.chance.choice(names) if names else ""
        return self.layers[self.name] if names else None

    def channel(self, count: int) -> int:
        """Choose a channel."""
        return self.chance.randrange(count)


Plant = Callable[[], None]
"""Plants a fault, after the first epoch."""


def _signs(layer: LowBit) -> bool:
    return layer.activation.bits == 1


def _many(layer: LowBit) -> bool:
    return layer.activation.bits > 1


def dead_sign(trial: Trial) -> Plant | None:
    """One channel that a layer of signs reads is far above zero."""
    if (layer := trial.choose(_signs)) is None:
        return None
    channel = trial.channel(layer.weight.shape[1])

    def shift(module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        moved = torch.zeros(given[0].shape[1]).index_fill(0, torch.tensor(channel), 50.0)
        return (given[0] + moved.view(-1, *[1] * (given[0].ndim - 2)), *given[1:])

    return lambda: _hook(layer, shift)


def dead_channel(trial: Trial) -> Plant | None:
    """More than half of the channels that a layer of more bits reads are zero."""
    if (layer := trial.choose(_many, behind=1)) is None or layer.weight.shape[1] < 8:
        return None

    def stop(module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        alive = torch.arange(given[0].shape[1]) >= 0.6 * given[0].shape[1]
        return (given[0] * alive.view(-1, *[1] * (given[0].ndim - 2)), *given[1:])

    return lambda: _hook(layer, stop)


def dead_output(trial: Trial) -> Plant | None:
    """An output is zero for every sample."""
    if (layer := trial.choose()) is None:
        return None
    rest = torch.ones(len(layer.weight)).index_fill(0, torch.tensor(trial.channel(len(layer.weight))), 0.0)
    column = rest.view(-1, *[1] * (layer.weight.ndim - 2))

    def stop(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output * column

    return lambda: layer.register_forward_hook(stop) and None


def not_finite(trial: Trial) -> Plant | None:
    """A weight is NaN."""
    if (layer := trial.choose()) is None:
        return None
    place = trial.channel(layer.weight.numel())

    def plant() -> None:
        layer.weight.data.view(-1)[place] = torch.nan

    return plant


def unused_codes(trial: Trial) -> Plant | None:
    """A grid of weights is 64 times too large."""
    return _moved(trial, 6.0, lambda layer: layer.weight_quantizer, behind=0)


def unused_codes_of_inputs(trial: Trial) -> Plant | None:
    """A grid of inputs is 64 times too large."""
    return _moved(trial, 6.0, lambda layer: next(iter(layer.inputs()), None), behind=1)


def clipped(trial: Trial) -> Plant | None:
    """A grid of inputs of more than four codes is 64 times too small."""
    if next(iter(trial.layers.values())).activation.bits <= 2:
        return None
    return _moved(trial, -6.0, lambda layer: next(iter(layer.inputs()), None), behind=1)


def _moved(
    trial: Trial, octaves: float, part: Callable[[LowBit], nn.Module | None], behind: int
) -> Plant | None:
    layer = trial.choose(lambda layer: isinstance(part(layer), LearnedScale), behind)
    quantizer: Any = part(layer) if layer is not None else None

    def plant() -> None:
        quantizer.start += octaves

    return plant if quantizer is not None else None


def at_rest(trial: Trial) -> Plant | None:
    """The optimizer does not have the weights of a layer."""
    if (layer := trial.choose()) is None:
        return None
    trial.left_out = layer.weight
    return lambda: None


def exploding(trial: Trial) -> Plant | None:
    """Steps of all grids are learned at a rate far too high."""
    if not any(isinstance(part, LearnedScale) for part in trial.model.modules()):
        return None
    trial.rate = 1.0
    return lambda: None


def oscillating(trial: Trial) -> Plant | None:
    """A layer's weights go to and fro in every step by as much as they are large."""
    if (layer := trial.choose()) is None:
        return None
    size, sign = 2 * layer.weight.detach().abs().mean(), [1.0]
    pattern = torch.randn(layer.weight.shape).sign()

    def swing(gradient: Tensor) -> Tensor:
        sign[0] = -sign[0]
        layer.weight.data.add_(sign[0] * size * pattern)
        return gradient

    def plant() -> None:
        layer.weight.register_hook(swing)  # type: ignore[no-untyped-call]

    return plant


def train_and_eval(trial: Trial) -> Plant | None:
    """A normalization's statistics hardly follow, though it has seen many batches."""
    norms = {name: each for name, each in trial.model.named_modules() if hasattr(each, "running_var")}
    if not norms:
        return None
    trial.name = trial.chance.choice(list(norms))
    norm: Any = norms[trial.name]
    norm.momentum, norm.num_batches_tracked = 1e-4, norm.num_batches_tracked + 30
    norm.running_var.mul_(100)
    return lambda: None


def no_progress(trial: Trial) -> Plant | None:
    """Nobody tells rules that follow the progress of training of it."""
    trial.silent = True
    layer = trial.choose(lambda layer: any(getattr(part, "follows", False) for part in layer.modules()))
    return None if layer is None else lambda: None


def _hook(layer: nn.Module, change: Callable[..., tuple[Tensor, ...]]) -> None:
    layer.register_forward_pre_hook(change)


FAULTS: dict[str, tuple[str, Callable[[Trial], Plant | None]]] = {
    fault.__name__: (kind, fault)
    for kind, fault in [
        ("dead sign", dead_sign),
        ("dead channel", dead_channel),
        ("dead channel", dead_output),
        ("not finite", not_finite),
        ("unused codes", unused_codes),
        ("unused codes", unused_codes_of_inputs),
        ("clipped", clipped),
        ("at rest", at_rest),
        ("exploding", exploding),
        ("oscillating", oscillating),
        ("train and eval", train_and_eval),
        ("no progress", no_progress),
    ]
}
"""By name: the kind that is to be found, and what plants it; it returns None where it means nothing."""


def tried(network: str, plan: str, fault: str, seed: int) -> dict[str, Any] | None:
    """Return whether a fault is found, and what is said; None where it means nothing."""
    torch.manual_seed(seed)
    model, (kind, make) = digit_networks()[network], FAULTS[fault]
    prepare(model, DIGIT_PLANS[plan], (1, 8, 8))
    low = {
        name: each
        for name, each in model.named_modules()
        if isinstance(each, LowBit) and each.weight_quantizer is not None
    }
    chance = random.Random(f"{seed} {network} {plan} {fault}")  # noqa: S311 - where to plant
    trial = Trial(model, chance, low)
    plant = make(trial)
    if plant is None:
        return None
    found = _said(trial, plant, seed)
    named = [each for each in found if each.kind == kind and trial.name in ("", each.layer)]
    facts = {"seed": seed, "network": network, "plan": plan, "fault": fault, "layer": trial.name}
    return facts | {"found": bool(named), "said": [str(each).split(". ")[0] for each in found]}


def _said(trial: Trial, plant: Plant, seed: int) -> list[Any]:
    model, rate = trial.model, {} if trial.rate is None else {"quantizer_rate": trial.rate}
    groups = parameter_groups(model, 2e-3, **rate)
    for group in groups:
        group["params"] = [each for each in group["params"] if each is not trial.left_out]
    optimizer, doctor = torch.optim.Adam([each for each in groups if each["params"]]), Doctor(model)
    for epoch in range(2):
        if epoch == 1:
            plant()
        for step, (x, y) in enumerate(doctor.watch(_batches(2 * seed + epoch))):
            if not trial.silent:
                set_progress(model, (epoch + step / STEPS) / 2)
            optimizer.zero_grad()
            functional.cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            clamp_latents(model)
    return doctor.findings()


@cache
def _digits() -> tuple[Tensor, Tensor]:
    data = load_digits()
    return torch.tensor(data.images, dtype=torch.float32)[:, None] / 16, torch.tensor(data.target)


def _batches(seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    x, y = _digits()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    for at in order.split(BATCH)[:STEPS]:
        yield x[at], y[at]


def main() -> int:
    """Plant all, and print or write what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("seeds", type=int, nargs="+")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    made = provenance(f"python benchmarks/doctor_planted.py {' '.join(map(str, given.seeds))}")
    every = product(digit_networks(), DIGIT_PLANS, FAULTS, given.seeds)
    rows = [row for row in (tried(*each) for each in every) if row is not None]
    missed = [row for row in rows if not row["found"]]
    for row in missed:
        print(*(row[name] for name in ("seed", "network", "plan", "fault", "layer", "said")), flush=True)
    by_fault = Counter(row["fault"] for row in rows)
    found = {
        name: f"{sum(row['found'] for row in rows if row['fault'] == name)} of {by_fault[name]}"
        for name in by_fault
    }
    summary = {"planted": len(rows), "found": len(rows) - len(missed), "faults": found}
    print(summary)
    if given.json:
        given.json.write_text(json.dumps(made | summary | {"missed": missed}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
