"""The page of weights that are powers of two, beside float, ternary and binary ones (`benchmarks/readme.py`).

From what was kept of `recipes/*-fashion*.toml`: an empty cell was not trained, one of several seeds is their
median.
"""

import json
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

RESULTS = Path(__file__).parent.parent / "results"
NETWORKS = {
    "resnet20-fashion": "ResNet-20, half as wide",
    "densenet-fashion": "DenseNet-13, growth 8",
    "alexnet-fashion": "AlexNet, a quarter as wide",
}
WAYS = {
    "straight-through, from float": "pow2-{}",
    "reconstructed, from float": "pow2-{}-blend",
    "straight-through, from scratch": "pow2-{}-scratch",
}
BITS = (4, 3, 2)
BARS = {4: 0.003, 3: 0.003, 2: 0.01}
"""What ResNet-20 may lose against float."""

Found = dict[str, list[dict[str, Any]]]

HEAD = f"""# Weights that are powers of two

Top-1 of the 10,000 test samples of Fashion-MNIST after the last epoch, in per cent; in parentheses the
difference from the float network in points. All layers have such weights, first and last included;
activations are float. 2 bits are ternary: 0 and ± a scale per output. *Straight-through* learns the scales
(the clip of APoT); *reconstructed* is the blend of n-BQ-NN, W + a (Q(W) - W), a from 1/2 to 1. The float
network teaches all others, and those from float are trained on for three epochs: where they are above float,
it is partly that. Recipes: `recipes/*-fashion*.toml`. The bar, for ResNet-20 alone: at most
{100 * BARS[4]:.1f} points below float at 4 and 3 bits, {100 * BARS[2]:.0f} at 2. An empty cell was not
trained."""


def page() -> str:
    """Return the tables of all networks, and what made them."""
    found = kept()
    parts = [HEAD, *(table(name, found) for name in NETWORKS if name in found), conditions(found)]
    return "\n\n".join(parts) + "\n"


def kept() -> Found:
    """Return every result by its recipe."""
    found: Found = defaultdict(list)
    for path in sorted(RESULTS.glob("*-fashion*.json")):
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
        return f"{100 * top1:.2f} ({100 * (top1 - parent):+.2f})"

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
