"""What an epoch of binary VGG16 with its teacher costs, as it was and as it is, in one interleaved run.

    python benchmarks/train_epoch.py --data DIR [--rounds 5] [--json OUT]

One thread, bfloat16, CPU seconds of a step times the steps of an epoch. `as it was`: the recipe
vgg16-binary, new pictures in every epoch, for which the teacher is asked, and products by torch. `as it is`:
vgg16-binary-short, whose teacher has answered for all views, and whose binary products are counted by the
engine. Weights are random: they do not change what a step costs.
"""

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from lowbit.nn import Conv2d, Network
from lowbit.provenance import provenance
from lowbit.train.loop import step
from lowbit.train.recipe import Recipe
from lowbit.train.run import Run, prepare_run
from lowbit.train.samples import Splits
from lowbit.train.views import Taught
from lowbit.zoo import NETWORKS

RECIPES = Path(__file__).parents[1] / "recipes"
CONTENDERS = {"as it was": "vgg16-binary", "as it is": "vgg16-binary-short", "float": "vgg16-short"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="CIFAR-10 in any form")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = Splits.load(options.data)
    with tempfile.TemporaryDirectory() as folder:
        runs = {name: run_of(recipe, data, Path(folder)) for name, recipe in CONTENDERS.items()}
        seconds = measure(runs, options.rounds)
    facts = {
        **provenance("python benchmarks/train_epoch.py --data DIR --json FILE"),
        "torch": torch.__version__,
        "data": data.name,
        "cpu_s_per_epoch": seconds,
        "ratio": seconds["as it is"] / seconds["as it was"],
    }
    if options.json:
        options.json.write_text(json.dumps(facts, indent=1) + "\n")
    show(facts)


def run_of(name: str, data: Splits, folder: Path) -> Run:
    """Return a run without a parent, whose teacher is a float network of the same kind."""
    recipe = Recipe.read(RECIPES / f"{name}.toml", initial="")
    alone = replace(recipe, loss=replace(recipe.loss, teacher="", distillation=0.0))
    run = prepare_run(alone, data, folder / name, "cpu")
    if not recipe.loss.teacher:
        return run
    network = Network(NETWORKS[recipe.network]).to(memory_format=torch.channels_last)
    teacher = Taught(network.eval().requires_grad_(False), recipe, len(run.train), folder / name)
    if not recipe.augmentation.views:
        for layer in (module for module in run.module.modules() if isinstance(module, Conv2d)):
            layer.product = None
    return replace(run, recipe=recipe, teacher=teacher)


def measure(runs: dict[str, Run], rounds: int) -> dict[str, float]:
    """Return the CPU seconds of an epoch by contender: the least of all rounds but the first."""
    chosen = {name: torch.arange(run.recipe.batch) for name, run in runs.items()}
    random = torch.Generator().manual_seed(0)
    found: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds + 1):
        for name, run in runs.items():
            run.wrapped.train()
            view = 0 if run.recipe.augmentation.views else None
            start = time.process_time()
            step(run, run.train, view, chosen[name], 0.1, random)
            found[name].append((time.process_time() - start) * run.steps)
    return {name: min(seconds[1:]) for name, seconds in found.items()}


def show(facts: dict[str, Any]) -> None:
    table = Table(
        "epoch", "CPU seconds", title="VGG16, 50,000 pictures, one thread, bfloat16", title_justify="left"
    )
    for name, seconds in facts["cpu_s_per_epoch"].items():
        table.add_row(name, f"{seconds:.0f}")
    Console(width=100).print(table, f"as it is / as it was: {facts['ratio']:.2f}")


if __name__ == "__main__":
    main()
