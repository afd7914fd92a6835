"""Moments of a linear layer, batch by batch and merged."""

import numpy as np
import pytest

from lowbit.calibrate import LinearMoments


def moments_of(x, y, cuts):
    moments = LinearMoments(x.shape[1], y.shape[1])
    for part_x, part_y in zip(np.split(x, cuts), np.split(y, cuts), strict=True):
        moments.update(part_x, part_y)
    return moments.finish()


@pytest.fixture
def samples():
    random = np.random.default_rng(0)
    x = random.normal(2, 1, (100, 5))
    return x, x @ random.normal(size=(5, 3)) + random.normal(size=(100, 3))


def test_they_are_the_covariances_of_numpy(samples):
    x, y = samples
    moments = moments_of(x, y, [1, 33, 64])
    joint = np.cov(np.hstack([x, y]).T, bias=True)
    assert np.allclose(moments.covariance(), joint[:5, :5], rtol=1e-5, atol=1e-6)
    assert np.allclose(moments.cross(), joint[:5, 5:], rtol=1e-5, atol=1e-6)
    assert np.allclose(moments.x, x.mean(0))
    assert np.allclose(moments.y, y.mean(0))


def test_batches_change_nothing(samples, monkeypatch):
    from lowbit.calibrate import moments

    monkeypatch.setattr(moments, "BLOCK", 32)
    found = [moments_of(*samples, cuts) for cuts in ([], [1, 33, 64], list(range(1, 100)), [99])]
    for other in found[1:]:
        assert other.count == 100
        assert np.array_equal(other.covariance(), found[0].covariance())
        assert np.array_equal(other.cross(), found[0].cross())


def test_what_never_changes_has_no_covariance_at_all():
    """Not even rounding: weights of zeros have to stay zeros."""
    random, constants = np.random.default_rng(1), np.array([0.1, -7.3e5, 1e-9, 0.0], np.float32)
    moments = LinearMoments(3, 4)
    for count in (256, 256, 1, 77):
        moments.update(random.normal(5, 1, (count, 3)), np.tile(constants, (count, 1)))
    moments.finish()
    assert not moments.cross().any()
    assert np.array_equal(moments.y.astype(np.float32), constants)


def test_a_large_mean_costs_no_digits(samples):
    x, y = samples
    near, far = moments_of(x, y, [30]), moments_of(x + 1e7, y - 1e7, [30])
    assert np.allclose(near.covariance(), far.covariance(), rtol=1e-5, atol=1e-6)
    assert np.allclose(near.cross(), far.cross(), rtol=1e-5, atol=1e-6)
