"""Bits for each layer, beside all allocations that there are."""

from itertools import product

import numpy as np
import pytest

from lowbit.forecast.allocation import front, within

_Table = dict[tuple[str, int], float]

_LAYERS, _CHOICES = ("a", "b", "c", "d"), (1, 2, 4)


def _grid(seed: int) -> tuple[_Table, _Table]:
    """Return costs and errors of four layers; not every layer gains from more bits."""
    random = np.random.default_rng(seed)
    costs = {
        (layer, bits): float(bits * size)
        for layer, size in zip(_LAYERS, random.integers(1, 50, len(_LAYERS)), strict=True)
        for bits in _CHOICES
    }
    errors = {key: float(random.uniform(0, 1) * 4.0 ** -key[1]) for key in costs}
    return costs, errors


def _all(
    costs: dict[tuple[str, int], float], errors: dict[tuple[str, int], float]
) -> list[tuple[float, float]]:
    keys = [list(zip(_LAYERS, chosen, strict=True)) for chosen in product(_CHOICES, repeat=len(_LAYERS))]
    return [(sum(costs[key] for key in each), sum(errors[key] for key in each)) for each in keys]


@pytest.mark.parametrize("seed", range(20))
def test_every_point_of_the_front_has_the_least_error_for_its_cost(seed: int) -> None:
    costs, errors = _grid(seed)
    found, every = front(costs, errors, _LAYERS, _CHOICES), _all(costs, errors)
    for each in found:
        least = min(error for cost, error in every if cost <= each.cost + 1e-9)
        assert each.error == pytest.approx(least)
        assert each.cost == pytest.approx(sum(costs[key] for key in each.chosen.items()))
    assert [each.cost for each in found] == sorted(each.cost for each in found)
    assert found[-1].error == pytest.approx(min(error for _, error in every))


@pytest.mark.parametrize("seed", range(20))
def test_a_budget_is_kept_and_no_uniform_choice_within_it_is_better(seed: int) -> None:
    costs, errors = _grid(seed)
    least, most = (sum(costs[layer, bits] for layer in _LAYERS) for bits in (1, 4))
    for budget in np.linspace(least, most, 7):
        found = within(costs, errors, _LAYERS, _CHOICES, float(budget))
        assert found.cost <= budget + 1e-9
        for bits in _CHOICES:
            if sum(costs[layer, bits] for layer in _LAYERS) <= budget:
                assert found.error <= sum(errors[layer, bits] for layer in _LAYERS) + 1e-12


def test_a_budget_that_nothing_meets_gives_the_cheapest() -> None:
    costs, errors = _grid(0)
    cheapest = within(costs, errors, _LAYERS, _CHOICES, 0.0)
    assert cheapest.cost == min(cost for cost, _ in _all(costs, errors))
