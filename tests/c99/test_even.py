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
    found = even_of(np.clip(thresholds, -bound - 1, bound), bound)
    assert found is not None
    sums = np.arange(-bound, bound + 1)[None].repeat(rows, axis=0)
    wanted = (sums[:, :, None] > thresholds[:, None, :]).sum(axis=2)
    np.testing.assert_array_equal(found.rank(sums, steps), wanted)
    reach = sums * found.multiplier[:, None] + found.addend[:, None]
    assert np.abs(reach).max() < 1 << 31


@pytest.mark.parametrize("steps", [31, 255])
@pytest.mark.parametrize("seed", range(4))
def test_products_of_64_bits_serve_where_32_do_not(steps: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    rows, bound = 3, int(random.integers(20000, 3000000))
    distance = random.uniform(2, bound / steps, (rows, 1))
    start = random.uniform(-bound, bound / 4, (rows, 1))
    start[0] = -bound - 5  # what saturates at an end
    thresholds = np.clip(np.floor(start + distance * np.arange(steps)).astype(np.int64), -bound - 1, bound)
    found = even_of(thresholds, bound, wide=True)
    assert found is not None and found.wide and found.multiplier.max() < 1 << 31
    beside = np.concatenate(
        [thresholds, thresholds + 1, random.integers(-bound, bound + 1, (rows, 999))], axis=1
    )
    sums = np.clip(beside, -bound, bound)
    wanted = (sums[:, :, None] > thresholds[:, None, :]).sum(axis=2)
    np.testing.assert_array_equal(found.rank(sums, steps), wanted)
    thresholds[1, steps // 2] += int(distance[1, 0]) // 2 + 1
    assert even_of(np.sort(thresholds, axis=1), bound, wide=True) is None


@pytest.mark.parametrize("wide", [False, True])
def test_rows_of_one_rank_or_two(wide: bool) -> None:
    bound, sums = 500, np.arange(-500, 501)
    thresholds = np.array([[-501] * 7, [500] * 7, [-501, -501, -501, 12, 500, 500, 500], range(0, 70, 10)])
    found = even_of(thresholds, bound, wide=wide)
    assert found is not None
    wanted = (sums[None, :, None] > thresholds[:, None, :]).sum(axis=2)
    np.testing.assert_array_equal(found.rank(sums[None].repeat(4, axis=0), 7), wanted)


def test_uneven_thresholds_are_not_taken_for_even() -> None:
    assert even_of(np.array([[-50, 0, 40, 500, 510]]), 1000) is None
    assert even_of(np.array([[-50, 0, 50, 101, 150], [-9, 0, 9, 18, 29]]), 1000) is None
    assert even_of(np.array([[0, 1]]), 1000) is None  # too few to save anything
