"""Moments of a linear layer, batch by batch and merged."""

import numpy as np
import pytest

from lowbit.calibrate import LinearMoments


def moments_of(x, y, cuts):
    moments = LinearMoments.empty(x.shape[1], y.shape[1])
    for part_x, part_y in zip(np.split(x, cuts), np.split(y, cuts), strict=True):
        moments.update(part_x, part_y)
    return moments


@pytest.fixture
def samples():
    random = np.random.default_rng(0)
    x = random.normal(2, 1, (100, 5))
    return x, x @ random.normal(size=(5, 3)) + random.normal(size=(100, 3))


def test_they_are_the_covariances_of_numpy(samples):
    x, y = samples
    moments = moments_of(x, y, [1, 33, 64])
    joint = np.cov(np.hstack([x, y]).T, bias=True)
    assert np.allclose(moments.covariance(), joint[:5, :5])
    assert np.allclose(moments.cross(), joint[:5, 5:])
    assert np.allclose(moments.variance(), np.diag(joint)[5:])
    assert np.allclose(moments.means()[0], x.mean(0))
    assert np.allclose(moments.means()[1], y.mean(0))


def test_merging_is_seeing_both(samples):
    x, y = samples
    left, right = moments_of(x[:40], y[:40], []), moments_of(x[40:], y[40:], [7])
    left.merge(right)
    whole = moments_of(x, y, [])
    assert left.count == whole.count == 100
    assert np.allclose(left.covariance(), whole.covariance())
    assert np.allclose(left.cross(), whole.cross())
    assert right.count == 60


def test_variance_is_not_negative():
    moments = LinearMoments.empty(1, 1)
    moments.update(np.full((3, 1), 0.1), np.full((3, 1), 1e8 + 0.1))
    assert (moments.variance() >= 0).all()
