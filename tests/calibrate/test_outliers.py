"""Which samples are like the others."""

import numpy as np
import pytest

from lowbit.calibrate import RowStatistics, ordinary_samples


def ordinary(values, cut=256):
    seen = RowStatistics()
    for part in np.split(values, range(cut, len(values), cut)):
        seen.update(part)
    return np.concatenate(seen.ordinary())


@pytest.mark.parametrize("count", [16, 64, 512, 1000])
@pytest.mark.parametrize("size", [100.0, -100.0, 1e30])
@pytest.mark.parametrize("shape", [(1,), (64,), (3, 8, 8)])
def test_a_lone_outlier_is_found_wherever_it_is(count, size, shape):
    random = np.random.default_rng(count)
    values = random.uniform(0, 1, (count, *shape)).astype(np.float32)
    values[count // 3].reshape(-1)[-1] = size
    assert np.flatnonzero(~ordinary(values)).tolist() == [count // 3]


@pytest.mark.parametrize(
    "draw",
    [
        lambda random: random.normal(size=(500, 20)),
        lambda random: random.standard_t(3, size=(500, 1)),
        lambda random: random.gamma(0.5, size=(500, 7)),
        lambda random: np.eye(400)[random.integers(0, 400, 500)],
        lambda random: np.where(random.random((500, 1)) < 0.01, 1.0, 0.0),
        lambda random: np.zeros((500, 3)),
        lambda random: 1e6 + random.normal(size=(500, 3)),
        lambda random: random.normal(size=(500, 20)) * 10.0 ** random.integers(-9, 9, 20),
    ],
    ids=["normal", "heavy", "skewed", "one-hot", "rare", "zeros", "far", "channels"],
)
def test_what_is_merely_uneven_stays(draw):
    assert ordinary(draw(np.random.default_rng(0)).astype(np.float32)).all()


def test_few_samples_all_stay():
    assert ordinary(np.array([[1.0], [1.0], [1e9]], np.float32)).all()


def test_a_distance_counts_from_what_is_usual():
    values = np.random.default_rng(1).normal(1000, 1, (300, 4)).astype(np.float32)
    values[5, 0] = 1100
    assert np.flatnonzero(~ordinary(values)).tolist() == [5]


def test_what_is_not_finite_is_left_to_others():
    rows = np.ones((40, 3))
    rows[3, 1], rows[5] = np.inf, (np.inf, -np.inf, np.nan)
    assert ordinary_samples(rows).all()
