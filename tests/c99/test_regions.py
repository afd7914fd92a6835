"""Thresholds of regions: those of one, moved, rank every sum as each region's own do."""

import numpy as np
import pytest

from lowbit.c99.regions import moved_rows


@pytest.mark.parametrize("seed", range(4))
def test_moved_thresholds_rank_every_sum_alike(seed: int) -> None:
    random = np.random.default_rng(seed)
    outputs, regions, steps, bound = 5, 7, int(random.integers(1, 20)), 120
    base = np.sort(random.integers(-140, 140, (outputs, steps)), axis=1)
    moved = random.integers(-30, 30, (regions, outputs, 1))
    thresholds = (base + moved).reshape(-1, steps)
    odd = random.integers(0, len(thresholds), 4)  # a threshold that was rounded the other way
    thresholds[odd, random.integers(0, steps, 4)] += 1
    thresholds[3, -1] = np.iinfo(np.int32).max  # that no sum exceeds
    thresholds = np.sort(thresholds, axis=1)
    found = moved_rows(thresholds, outputs, bound)
    assert len(found.thresholds) <= outputs + 5
    sums = np.arange(-bound, bound + 1)
    for row, (which, distance) in enumerate(zip(found.which, found.moved, strict=True)):
        ranks = (sums[:, None] - distance > found.thresholds[which]).sum(axis=1)
        np.testing.assert_array_equal(ranks, (sums[:, None] > thresholds[row]).sum(axis=1))


def test_rows_that_are_moved_otherwise_are_their_own() -> None:
    found = moved_rows(np.array([[0, 10], [1, 10], [5, 15]]), 1, 100)
    assert found.which.tolist() == [0, 1, 0] and found.moved.tolist() == [0, 0, 5]
