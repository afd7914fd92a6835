"""Schedules, widths and memory contents of LST engines."""

import dataclasses
from itertools import product

import numpy as np
import pytest

from lowbit.errors import PlanError
from lowbit.rtl.integers import Range
from lowbit.rtl.lst.network import Layer
from lowbit.rtl.lst.plan import partial_sums, plan_lst
from tests.rtl.networks import random_network


def test_ranges_take_the_fewest_bits() -> None:
    for low, high in product(range(-17, 17), repeat=2):
        if low <= high:
            bits = next(b for b in range(1, 8) if -(1 << (b - 1)) <= low and high < 1 << (b - 1))
            assert Range(low, high).bits == bits, (low, high)


@pytest.mark.parametrize(("variant", "cycles", "multipliers"), [("shared", 1568, 38), ("pipelined", 784, 66)])
def test_the_published_network(variant: str, cycles: int, multipliers: int) -> None:
    plan = plan_lst(random_network(28, 28, 28, 28, 10), variant)  # type: ignore[arg-type]
    assert (plan.cycles_per_image, plan.multipliers) == (cycles, multipliers)


def test_sums_are_exact_worst_cases() -> None:
    layer = Layer("l", np.array([[3, -2, 5], [-7, 0, 1]]), np.array([2, -1]))
    inputs = Range(-2, 3)
    ranges = partial_sums(layer, inputs, fraction_bits=1, half=1)
    for lane, found in enumerate(ranges):
        every = [
            int(layer.weights[o, : lane + 1] @ x + 2 * layer.bias[o] + 1)
            for o in range(2)
            for x in product(range(-2, 4), repeat=lane + 1)
        ]
        assert (found.low, found.high) == (min(every), max(every))


def test_weights_are_stored_in_the_bits_they_need() -> None:
    plan = plan_lst(random_network(28, 28, 28, 28, 10, reach=0.88))
    assert max(lane.bits for lane in plan.transforms[0].lanes) == 8
    assert max(map(int.bit_length, plan.transforms[0].words)) <= 29 * 8
    wide = plan_lst(random_network(28, 28, 28, 28, 10, reach=31))
    assert max(lane.bits for lane in wide.transforms[0].lanes) == 13


def test_the_table_ends_where_tanh_saturates() -> None:
    assert plan_lst(random_network(m=6, n=7)).table == Range(-400, 400)
    assert plan_lst(random_network(m=6, n=2)).table == Range(-6, 6)


def test_a_sum_that_would_overflow_is_refused() -> None:
    network = random_network(2, 2, 2, 2, 2, m=1, n=15)
    huge = Layer("output", np.full((2, 4), 1 << 45), np.zeros(2, np.int64))
    plan = dataclasses.replace(network, output=huge)
    with pytest.raises(PlanError, match="format"):
        plan_lst(plan)
    many = random_network(2, 2, 2, 2, 2, m=1, n=15)
    object.__setattr__(many, "check", lambda: many)  # codes that no format holds, to reach the adder's bound
    object.__setattr__(many, "output", huge)
    with pytest.raises(PlanError, match="overflow") as refused:
        plan_lst(many)
    assert refused.value.where == "output" and refused.value.remedy


def test_too_many_classes_for_a_pipeline_are_refused() -> None:
    network = random_network(classes=9)
    with pytest.raises(PlanError, match="classes"):
        plan_lst(network, "pipelined")
    assert plan_lst(network, "shared").cycles_per_image == 36
