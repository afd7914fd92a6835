"""The page of weights that are powers of two, beside float, ternary and binary ones (`benchmarks/readme.py`).

From what was kept of the recipes of three networks: an empty cell was not trained, one of several seeds is
their median; `benchmarks/gradients.py` compares the gradients seed by seed.
"""

import json
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

import gradients

RESULTS = Path(__file__).parent.parent / "results"
NETWORKS = {
    "resnet20": "ResNet-20, CIFAR-10 (JPEG q75)",
    "resnet20-fashion": "ResNet-20, half as wide, Fashion-MNIST",
    "densenet-fashion": "DenseNet-13, growth 8, Fashion-MNIST",
    "alexnet-fashion": "AlexNet, a quarter as wide, Fashion-MNIST",
}
WAYS = {
    "straight-through, from float": "pow2-{}",
    "reconstructed, from float": "pow2-{}-blend",
    "straight-through, from scratch": "pow2-{}-scratch",
    "reconstructed, from scratch": "pow2-{}-blend-scratch",
}
BITS = (4, 3, 2)
BARS = {4: 0.003, 3: 0.003, 2: 0.01}
"""What ResNet-20 may lose against float."""

COMPARED = ("resnet20", "densenet-fashion", "alexnet-fashion")
SIXTEEN_BITS = RESULTS / "power-of-two-16-bits.json"

Found = dict[str, list[dict[str, Any]]]

COMPARISON = """## Which gradient

Mean and deviation over three seeds; both gradients have the same epochs, rates, decay, teacher and start,
chosen before any of these runs, for neither of them. The difference is that of runs of the same seed,
reconstructed less straight-through, in points. Chance is asked by turning the signs of differences."""

HEAD = f"""# Weights that are powers of two

Top-1 of the 10,000 test samples after the last epoch, in per cent; in parentheses the
difference from the float network in points. All layers have such weights, first and last included;
activations are float. 2 bits are ternary: 0 and ± a scale per output. *Straight-through* learns the scales
(the clip of APoT); *reconstructed* is the blend of n-BQ-NN, W + a (Q(W) - W), a from 1/2 to 1. The float
network teaches all others, and those from float are trained on for three epochs: where they are above float,
it is partly that. Recipes: `recipes/*-pow2-*.toml`. The bar, for ResNet-20 half as wide: at most
{100 * BARS[4]:.1f} points below float at 4 and 3 bits, {100 * BARS[2]:.0f} at 2. An empty cell was not
trained."""


def page() -> str:
    """Return the tables of all networks, and what made them."""
    found = kept()
    known = gradients.cells(found, COMPARED)
    compared = f"{COMPARISON}\n\n{gradients.sentence(known)}\n\n{gradients.table(known, NETWORKS)}"
    parts = [HEAD, compared, deployed(found), *(table(name, found) for name in NETWORKS if name in found)]
    parts.append(conditions(found))
    return "\n\n".join(parts) + "\n"


def deployed(found: Found) -> str:
    """Return what 16-bit activations cost, over all runs that were deployed."""
    head = "## Activations of 16 bits\n\n"
    rows = json.loads(SIXTEEN_BITS.read_text())["rows"] if SIXTEEN_BITS.exists() else []
    if not rows:
        return f"{head}No run is deployed with them yet (`benchmarks/deployed.py`)."
    lost = [100 * (row["top1"] - row["top1_float_activations"]) for row in rows]
    trained = sum(len(runs) for recipe, runs in found.items() if "-pow2-" in recipe)
    points = f"on average {sum(lost) / len(lost):+.3f} points, at worst {min(lost):+.2f}"
    return (
        f"{head}{len(rows)} of {trained} runs were deployed with activations of 16 bits (Q6.10), every\n"
        f"layer in integers, in the engine: {points} (`benchmarks/deployed.py`)."
    )


def kept() -> Found:
    """Return every result by its recipe."""
    found: Found = defaultdict(list)
    for path in sorted({path for name in NETWORKS for path in RESULTS.glob(f"{name}-*-seed*.json")}):
        result = json.loads(path.read_text())
        found[result["recipe"]].append(result)
    return found


def table(name: str, found: Found) -> str:
    """Return a network's table: ways to train over bits."""
    parent = median(result["top1"] for result in found[name])

    def cell(recipe: str) -> str:
        if recipe not in found:
            return ""
        top1 = median(result["top1"] for result in found[recipe])
        seeds = f", {len(found[recipe])} seeds" if len(found[recipe]) > 1 else ""
        return f"{100 * top1:.2f} ({100 * (top1 - parent):+.2f}{seeds})"

    rows = {way: [cell(f"{name}-{form.format(bits)}") for bits in BITS] for way, form in WAYS.items()}
    lines = [
        f"## {NETWORKS[name]}: float {100 * parent:.2f}",
        "",
        f"| weights | {' | '.join(f'{bits} bits' for bits in BITS)} | 1 bit |",
        f"|---|{'---|' * (len(BITS) + 1)}",
        *(f"| powers of two, {way} | {' | '.join(cells)} | |" for way, cells in rows.items() if any(cells)),
    ]
    binary = cell(f"{name}-binary-weights")
    return "\n".join([*lines, f"| binary, from float |{' |' * len(BITS)} {binary} |"] if binary else lines)


def conditions(found: Found) -> str:
    """Return seeds, processor seconds, data, commits and machine of every recipe."""
    heads = ("recipe", "epochs", "seeds", "CPU s", "data", "commit")
    lines = ["## What made them", "", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    forms = ["", *(f"-{form.format(bits)}" for bits in BITS for form in WAYS.values()), "-binary-weights"]
    machines = set()
    for recipe in (f"{name}{form}" for name in NETWORKS for form in forms if f"{name}{form}" in found):
        results = found[recipe]
        machines |= {result["machine"] for result in results}
        cells = (
            recipe,
            results[0]["settings"]["epochs"],
            ", ".join(str(result["seed"]) for result in results),
            f"{median(result['cpu_s'] for result in results):.0f}",
            results[0]["data"],
            results[0]["commit"][:10],
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(
        [*lines, "", f"`lowbit train recipes/RECIPE.toml --data DIR`; {'; '.join(sorted(machines))}."]
    )
