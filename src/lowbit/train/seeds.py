"""One recipe by several seeds: a figure of one run is one draw, and says nothing of how far others lie.

deviation    sqrt(sum_i (a_i - mean)^2 / (n - 1)), of the sample
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from lowbit.errors import PlanError
from lowbit.train.loop import EpochDone, Progress, train
from lowbit.train.recipe import Recipe
from lowbit.train.result import RESULT, Result
from lowbit.train.samples import Splits
from lowbit.untrusted import write_atomic

_KEPT = (
    "judged_by",
    "test_samples",
    "scheme",
    "data",
    "commit",
    "machine",
    "lowbit",
    "torch",
    "device",
    "date",
)


@dataclass(frozen=True)
class Repeated:
    """The figures of several seeds.

    Attributes:
        folder: with a folder for each.
        facts: the content of its ``result.json``.
        results: of the runs.
    """

    folder: Path
    facts: dict[str, Any]
    results: tuple[Result, ...]


def train_seeds(
    recipe: Recipe,
    data: Splits,
    count: int,
    *,
    out: Path,
    command: str = "",
    progress: Callable[[int], tuple[Progress | None, EpochDone | None]] | None = None,
    **options: Any,
) -> Repeated:
    """Train by so many seeds, from the recipe's on, and write ``result.json`` of all beside their folders.

    Runs that are there and finished are not taken again: a call that was killed goes on.

    Args:
        recipe, data, options: as of `lowbit.train.train`.
        count: two or more.
        out: of all; every run has ``seed0``, ... in it.
        command: what the result says it was made by.
        progress: gives, for the number of a run, what it is to call.

    Raises:
        PlanError: there is one seed, or none; else errors are those of `lowbit.train.train`.
    """
    if count < 2:
        raise PlanError(
            "several seeds are two or more", where="seeds", expected="2 or more", found=str(count)
        )
    results = []
    for number in range(count):
        each = replace(recipe, seed=recipe.seed + number)
        advance, done = progress(number) if progress else (None, None)
        folder = out / f"seed{each.seed}"
        results.append(
            train(each, data, out=folder, progress=advance, epoch_done=done, command=command, **options)
        )
    facts = summary(recipe, results, command)
    write_atomic(out / RESULT, (json.dumps(facts, indent=1) + "\n").encode())
    return Repeated(out, facts, tuple(results))


def summary(recipe: Recipe, results: list[Result], command: str) -> dict[str, Any]:
    """Return mean and deviation of top-1 and top-5 over runs, and the figures of each."""
    runs = [
        {
            "seed": each.facts["seed"],
            "top1": each.facts["top1"],
            "top5": each.facts["top5"],
            "folder": each.folder.name,
        }
        for each in results
    ]
    figures = {
        name: {"mean": mean(values), "deviation": stdev(values)}
        for name in ("top1", "top5")
        if (values := [run[name] for run in runs])
    }
    first = results[0].facts
    return {
        "recipe": recipe.name,
        "seeds": [run["seed"] for run in runs],
        **figures,
        "runs": runs,
        "cpu_s": round(sum(each.facts["cpu_s"] for each in results), 1),
        "command": command,
        **{name: first[name] for name in _KEPT if name in first},
        "made_from": first["made_from"],
        "settings": {name: value for name, value in first["settings"].items() if name != "seed"},
    }
