"""Thresholds that lie evenly: a multiplication gives the rank of every sum there is, or nothing is found."""

import numpy as np
import pytest

from lowbit.c99.even import even_of


@pytest.mark.parametrize("steps", [3, 7, 15])
@pytest.mark.parametrize("seed", range(8))
def test_every_sum_has_its_rank(steps: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    rows, bound = 5, int(random.integers(300, 6000))
    distance = random.uniform(1.2, bound / steps, (rows, 1))
    start = random.uniform(-bound / 2, bound / 2, (rows, 1))
    thresholds = np.floor(start + distance * np.arange(steps)).astype(np.int64)
    inside = (thresholds >= -bound) & (thresholds < bound)
    found = even_of(np.clip(thresholds, -bound - 1, bound), bound)
    if (inside.sum(axis=1) < 2).any():
        assert found is None
        return
    assert found is not None
    sums = np.arange(-bound, bound + 1)[None].repeat(rows, axis=0)
    wanted = (sums[:, :, None] > thresholds[:, None, :]).sum(axis=2)
    np.testing.assert_array_equal(found.rank(sums, steps), wanted)
    reach = sums * found.multiplier[:, None] + found.addend[:, None]
    assert np.abs(reach).max() < 1 << 31


def test_uneven_thresholds_are_not_taken_for_even() -> None:
    assert even_of(np.array([[-50, 0, 40, 500, 510]]), 1000) is None
    assert even_of(np.array([[-50, 0, 50, 101, 150], [-9, 0, 9, 18, 29]]), 1000) is None
    assert even_of(np.array([[0, 1]]), 1000) is None  # too few to save anything
