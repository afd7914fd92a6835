"""QEM against exact optima, and against its own definition."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lowbit.schemes.fitting import qem
from lowbit.schemes.fitting.qem import Points, fit

ROWS = arrays.arrays(
    np.float64,
    st.tuples(st.integers(1, 3), st.sampled_from([1, 2, 31, 33])),
    elements=st.sampled_from([-3.0, -1.0, -0.5, 0.0, 0.25, 0.5, 1.0, 2.0]) | st.floats(-4, 4, width=32),
)


def two_means(values, weights):
    """Return the least error of two levels for one row: every split of the sorted values is tried."""
    order = np.argsort(values)
    x, w = values[order], weights[order]
    mass, moment, power = np.cumsum(w), np.cumsum(w * x), np.cumsum(w * x * x)
    below = power - moment**2 / mass
    above_mass, above = mass[-1] - mass[:-1], moment[-1] - moment[:-1]
    above_error = power[-1] - power[:-1] - above**2 / above_mass
    return min(below[-1], (below[:-1] + above_error).min(initial=np.inf))


def direct_error(row, basis, offset, weights=1.0, target=None):
    """Return the error of nearest levels; a tie takes the lower level."""
    levels = np.sort(qem.signs(len(basis)) @ basis + offset)
    rank = np.searchsorted((levels[1:] + levels[:-1]) / 2, row, side="left")
    return (weights * (levels[rank] - (row if target is None else target)) ** 2).sum()


def test_one_bit_is_the_mean_magnitude():
    rows = np.random.default_rng(0).normal(size=(5, 65))
    weights = np.random.default_rng(1).uniform(0, 2, 65)
    best = fit(Points.of(rows, weights), 1)
    assert np.allclose(best.basis[:, 0], (weights * np.abs(rows)).sum(1) / weights.sum(), rtol=1e-5)
    assert not best.offset.any()


def test_two_bits_are_two_means_of_magnitudes_on_long_rows():
    rows = np.random.default_rng(0).normal(size=(20, 784))
    best = fit(Points.of(rows), 2)
    exact = np.array([two_means(np.abs(row), np.ones(784)) for row in rows])
    assert (best.error <= exact * 1.001).all()
    assert (best.error >= exact * (1 - 1e-9)).all()


def test_two_bits_on_short_rows_need_restarts_and_reach_the_optimum():
    rows = np.random.default_rng(0).normal(size=(100, 27))
    exact = np.array([two_means(np.abs(row), np.ones(27)) for row in rows])
    alone = fit(Points.of(rows), 2, restarts=0).error / exact
    several = fit(Points.of(rows), 2, restarts=16).error / exact
    assert (several >= 1 - 1e-9).all()
    assert several.mean() < alone.mean()
    assert np.mean(several > 1.01) < 0.1


def test_one_bit_with_offset_is_two_means():
    random = np.random.default_rng(2)
    rows, weights = random.normal(1, 2, (20, 300)), random.uniform(0.1, 1, 300)
    best = fit(Points.of(rows, weights), 1, offset=True, restarts=16)
    exact = np.array([two_means(row, weights) for row in rows])
    assert (best.error <= exact * 1.01).all()
    assert np.median(best.error / exact) < 1.0001
    assert (best.error >= exact * (1 - 1e-9)).all()


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(1, 4), st.booleans())
def test_the_error_is_that_of_nearest_levels(rows, bits, offset):
    best = fit(Points.of(rows), bits, offset=offset, restarts=1, steps=5)
    assert (best.basis >= 0).all()
    assert (np.diff(best.basis, axis=1) >= 0).all()
    direct = [direct_error(*args) for args in zip(rows, best.basis, best.offset, strict=True)]
    assert np.allclose(best.error, direct, rtol=1e-6, atol=1e-9)


def test_targets_other_than_the_values_are_fine_tuning():
    random = np.random.default_rng(3)
    target = random.normal(size=(1, 500))
    seen = target * 0.8 + random.normal(size=(1, 500)) * 0.1
    tuned = fit(Points.of(seen, targets=target), 2)
    plain = fit(Points.of(seen), 2)
    tuned_error = direct_error(seen[0], tuned.basis[0], tuned.offset[0], target=target[0])
    assert np.isclose(tuned.error[0], tuned_error)
    assert tuned_error < direct_error(seen[0], plain.basis[0], plain.offset[0], target=target[0])


@settings(max_examples=30, deadline=None)
@given(ROWS, st.integers(1, 4))
def test_no_step_raises_the_error(rows, bits):
    errors = [fit(Points.of(rows), bits, restarts=0, steps=steps).error for steps in (0, 1, 2, 10)]
    for before, after in pairwise(errors):
        assert (after <= before + 1e-12).all()


def test_more_bits_and_an_offset_fit_better():
    rows = np.random.default_rng(4).normal(0.3, 1, (10, 200))
    errors = [fit(Points.of(rows), bits, restarts=8).error.sum() for bits in (1, 2, 3, 4)]
    assert sorted(errors, reverse=True) == errors
    assert fit(Points.of(rows), 2, offset=True).error.sum() < errors[1]


def test_gradient_descent_comes_near_least_squares():
    rows = np.random.default_rng(5).normal(size=(10, 400))
    squares, gradient = (
        fit(Points.of(rows), 3, update=update).error for update in ("least-squares", "gradient")
    )
    assert (gradient < squares * 1.1).all()
    assert not np.array_equal(gradient, squares)


@pytest.mark.parametrize("row", [[0.5] * 33, [-1.0, 1.0] * 16, [0.0] * 31, [2.0]])
def test_coincident_bits_are_no_singular_system(row):
    best = fit(Points.of(np.array([row])), 4, offset=True)
    assert np.isfinite(best.basis).all()
    assert np.isfinite(best.error).all()


def test_equal_seeds_give_equal_fits():
    rows = np.random.default_rng(6).normal(size=(3, 31))
    first, second = (fit(Points.of(rows), 3, seed=7) for _ in range(2))
    assert np.array_equal(first.basis, second.basis)
    assert not np.array_equal(first.basis, fit(Points.of(rows), 3, seed=8, restarts=1).basis)


def test_bins_hold_what_points_hold():
    values = np.random.default_rng(7).integers(-5, 6, 1000) / 4
    distinct, count = np.unique(values, return_counts=True)
    binned = Points.binned(np.array([count, count * distinct, count * distinct, count * distinct**2]))
    direct, from_bins = (fit(points, 2, offset=True) for points in (Points.of(values[None]), binned))
    assert np.allclose(direct.basis, from_bins.basis)
    assert np.allclose(direct.error, from_bins.error)


@pytest.mark.parametrize("offset", [False, True])
def test_runs_of_one_row_at_once_find_what_they_find_one_by_one(offset, monkeypatch):
    random, together = np.random.default_rng(8), qem._run
    calls = []

    def alone(points, starts, *options, apart):
        """Run start after start, as rows that end apart."""
        calls.append(len(starts))
        found = [together(points.repeated(1), start[None], *options) for start in starts]
        return qem.Fit(
            *(np.concatenate(parts) for parts in zip(*(vars(f).values() for f in found), strict=True))
        )

    for row in (random.normal(size=300), random.laplace(size=31), np.maximum(random.normal(size=90), 0)):
        points = Points.of(row[None])
        found = fit(points, 3, offset=offset)
        monkeypatch.setattr(qem, "_run", alone)
        expected = fit(points, 3, offset=offset)
        monkeypatch.undo()
        np.testing.assert_allclose(found.basis, expected.basis, rtol=1e-8)
        np.testing.assert_allclose(found.error, expected.error, rtol=1e-9)
    assert calls == [9, 9, 9]
