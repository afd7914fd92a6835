"""Bits for each layer of their own: the least error for what they cost.

    minimize  sum over l of error(l, s_l)   such that   sum over l of cost(l, s_l) <= budget

A choice is made for each layer from the lower convex hull of its points (cost, error); steps along all hulls
in the order of what error they save per cost give every point that a Lagrange multiplier can reach (Shoham
and Gersho, "Efficient bit allocation for an arbitrary set of quantizers", IEEE Transactions on Acoustics,
Speech, and Signal Processing 36(9), 1988). What is left of a budget is then spent on single steps that fit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, TypeVar

Choice = TypeVar("Choice")


@dataclass(frozen=True)
class Allocation(Generic[Choice]):
    """A choice for each layer.

    Attributes:
        chosen: by layer.
        cost: of all.
        error: the sum of the layers'.
    """

    chosen: Mapping[str, Choice]
    cost: float
    error: float


def front(
    costs: Mapping[tuple[str, Choice], float],
    errors: Mapping[tuple[str, Choice], float],
    layers: Sequence[str],
    choices: Sequence[Choice],
) -> list[Allocation[Choice]]:
    """Return allocations, the cheapest first, each with less error than those before.

    Args:
        costs, errors: by layer and choice.
        layers: names.
        choices: that each layer has.
    """
    hulls = {layer: _hull([(costs[layer, c], errors[layer, c], c) for c in choices]) for layer in layers}
    at = dict.fromkeys(layers, 0)
    steps = sorted(
        (-_slope(low, high), layer, number)
        for layer, hull in hulls.items()
        for number, (low, high) in enumerate(pairwise(hull), 1)
    )
    found = [_allocation(hulls, at)]
    for _, layer, number in steps:
        at[layer] = number
        found.append(_allocation(hulls, at))
    return found


def within(
    costs: Mapping[tuple[str, Choice], float],
    errors: Mapping[tuple[str, Choice], float],
    layers: Sequence[str],
    choices: Sequence[Choice],
    budget: float,
) -> Allocation[Choice]:
    """Return the allocation of least error that costs no more than a budget, or the cheapest of all.

    Args:
        costs, errors, layers, choices: as of `front`.
        budget: in the unit of the costs.
    """
    fitting = [found for found in front(costs, errors, layers, choices) if found.cost <= budget]
    best = fitting[-1] if fitting else front(costs, errors, layers, choices)[0]
    while fitting and (better := _spent(best, costs, errors, layers, choices, budget)) is not None:
        best = better
    return best


def _spent(
    best: Allocation[Choice],
    costs: Mapping[tuple[str, Choice], float],
    errors: Mapping[tuple[str, Choice], float],
    layers: Sequence[str],
    choices: Sequence[Choice],
    budget: float,
) -> Allocation[Choice] | None:
    """Return the allocation after the single change that saves most error within the budget."""
    changes = [
        (errors[layer, choice] - errors[layer, best.chosen[layer]], layer, choice)
        for layer in layers
        for choice in choices
        if best.cost + costs[layer, choice] - costs[layer, best.chosen[layer]] <= budget
    ]
    change, layer, choice = min(changes, key=lambda found: found[0])
    if change >= 0:
        return None
    cost = best.cost + costs[layer, choice] - costs[layer, best.chosen[layer]]
    return Allocation({**best.chosen, layer: choice}, cost, best.error + change)


Point = tuple[float, float, Choice]


def _hull(points: list[Point[Choice]]) -> list[Point[Choice]]:
    """Return the points on the lower convex hull, the cheapest first, each with less error."""
    kept: list[Point[Choice]] = []
    for point in sorted(points, key=lambda each: each[:2]):
        if kept and point[1] >= kept[-1][1]:
            continue
        while len(kept) > 1 and _slope(kept[-2], kept[-1]) <= _slope(kept[-1], point):
            kept.pop()
        kept.append(point)
    return kept


def _slope(low: Point[Choice], high: Point[Choice]) -> float:
    """Return the error that a step saves for what it costs."""
    return (low[1] - high[1]) / max(high[0] - low[0], 1e-12)


def _allocation(hulls: Mapping[str, list[Point[Choice]]], at: Mapping[str, int]) -> Allocation[Choice]:
    points = {layer: hull[at[layer]] for layer, hull in hulls.items()}
    chosen = {layer: point[2] for layer, point in points.items()}
    return Allocation(
        chosen, sum(point[0] for point in points.values()), sum(point[1] for point in points.values())
    )
