"""Which gradient is better for weights that are powers of two: straight-through or reconstructed.

Two runs that differ in the gradient alone (the same network, bits, start, schedule and seed) are a pair. The
difference of a pair has no part in it that both share: the order of samples, augmentation, the first weights.
Chance is asked by turning signs: if the gradients were equal, a difference would as well have been the other
way round, so all ways of turning signs are counted that make the mean as far from zero as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from statistics import mean, stdev
from typing import Any

import numpy as np

STARTS = {"from float": "pow2-{}", "from scratch": "pow2-{}-scratch"}
"""How straight-through recipes are called; `-blend` behind the bits makes the reconstructed one."""

BITS, SEEDS = (4, 3), (0, 1, 2)
_ALL_WAYS, _DRAWN = 16, 100_000
_RARE, _FEW, _LEAST_SAID = 0.05, 6, 0.001

Found = dict[str, list[dict[str, Any]]]
Facts = dict[tuple[str, int], float]


@dataclass(frozen=True)
class Cell:
    """The runs of one network, start and bits, in per cent by seed."""

    network: str
    start: str
    bits: int
    straight: dict[int, float]
    reconstructed: dict[int, float]

    @property
    def differences(self) -> list[float]:
        """Reconstructed less straight-through, in points, of every pair."""
        return [self.reconstructed[seed] - self.straight[seed] for seed in self.pairs]

    @property
    def pairs(self) -> list[int]:
        """Seeds that both have."""
        return sorted(self.straight.keys() & self.reconstructed.keys())


def cells(found: Found, networks: Sequence[str]) -> list[Cell]:
    """Return what there is of every network, start and bits, also where that is nothing."""

    def by_seed(recipe: str) -> dict[int, float]:
        return {int(run["seed"]): 100 * float(run["top1"]) for run in found.get(recipe, [])}

    return [
        Cell(
            network,
            start,
            bits,
            by_seed(f"{network}-{form.format(bits)}"),
            by_seed(f"{network}-{form.format(f'{bits}-blend')}"),
        )
        for network, (start, form), bits in product(networks, STARTS.items(), BITS)
    ]


def by_chance(differences: Sequence[float]) -> float:
    """Return the share of ways to turn signs that make the mean as far from zero as it is, or farther."""
    values = np.asarray(differences)
    if len(values) <= _ALL_WAYS:
        signs = np.array(list(product((-1, 1), repeat=len(values))))
    else:
        signs = np.random.default_rng(0).choice((-1, 1), (_DRAWN, len(values)))
    means = np.abs(signs @ values)
    return float(np.mean(means >= abs(values.sum()) - 1e-9))


def sentence(known: Sequence[Cell]) -> str:
    """Return which gradient is better, from the numbers, and by how much that could be chance."""
    differences = [each for cell in known for each in cell.differences]
    count, wanted = len(differences), len(known) * len(SEEDS)
    of_all = f"{count} of {wanted} pairs of runs"
    if count < _FEW:
        return f"Which gradient is better cannot be said yet: {of_all} are trained."
    average, chance = mean(differences), by_chance(differences)
    names = ("straight-through", "reconstructed")
    other, better = names if average > 0 else names[::-1]
    share = f"{100 * chance:.1f} %" if chance >= _LEAST_SAID else f"less than {100 * _LEAST_SAID:.1f} %"
    facts = (
        f"over {of_all} it is {abs(average):.2f} points above the {other} one on average (deviation of a "
        f"pair {stdev(differences):.2f}), and equal gradients would differ as much in {share} of cases"
    )
    if chance > _RARE:
        return f"Neither gradient is better as far as these runs tell: the {better} one leads, but {facts}."
    return f"The {better} gradient is better: {facts}."


def table(known: Sequence[Cell], titles: dict[str, str]) -> str:
    """Return both gradients, mean and deviation over seeds, and their difference in pairs."""
    lines = [
        "| network | start | bits | straight-through | reconstructed | difference | pairs |",
        "|---|---|---|---|---|---|---|",
    ]
    for cell in known:
        both = (spread(list(each.values())) for each in (cell.straight, cell.reconstructed))
        named = (titles[cell.network], cell.start, str(cell.bits))
        pairs = f"{len(cell.pairs)} of {len(SEEDS)}"
        lines.append(f"| {' | '.join((*named, *both, spread(cell.differences, '+'), pairs))} |")
    return "\n".join(lines)


def spread(values: Sequence[float], sign: str = "") -> str:
    """Return mean and deviation, the mean alone of one, or that it is missing."""
    if not values:
        return "missing"
    text = f"{mean(values):{sign}.2f}"
    return f"{text} ± {stdev(values):.2f}" if len(values) > 1 else f"{text} (one seed)"
