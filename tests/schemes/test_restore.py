"""Restoration against exact solutions and exhaustive search."""

from itertools import product

import numpy as np
import pytest

from lowbit.schemes.fitting.restore import Problem, descend, feed_back, refit


class TwoLevels:
    """The grid of -1 and +1."""

    def nearest(self, values):
        return np.where(values > 0, 1.0, -1.0)


class Rounding:
    """The integers."""

    def nearest(self, values):
        return np.rint(values)


def some_problem(inputs, outputs, seed=0, damping=0.1):
    random = np.random.default_rng(seed)
    x = random.normal(size=(200, inputs)) @ random.normal(size=(inputs, inputs))
    weights = random.normal(size=(outputs, inputs))
    covariance = x.T @ x / 200
    return Problem.of(covariance, covariance @ weights.T, weights, damping)


def test_the_target_is_least_squares_for_the_inputs_that_arrive():
    random = np.random.default_rng(0)
    seen, y = random.normal(size=(300, 7)), random.normal(size=(300, 3))
    seen, y = seen - seen.mean(0), y - y.mean(0)
    problem = Problem.of(seen.T @ seen / 300, seen.T @ y / 300, np.zeros((3, 7)), damping=1e-12)
    assert np.allclose(problem.target, np.linalg.lstsq(seen, y, rcond=None)[0])


def test_much_damping_keeps_the_float_weights():
    random = np.random.default_rng(0)
    weights = random.normal(size=(3, 5))
    problem = Problem.of(np.eye(5), random.normal(size=(5, 3)), weights, damping=1e9)
    assert np.allclose(problem.target, weights.T, atol=1e-6)


def test_the_error_is_the_metric_s():
    problem = some_problem(5, 2)
    values = np.random.default_rng(1).normal(size=(5, 2))
    difference = values - problem.target
    expected = [column @ problem.metric @ column for column in difference.T]
    assert np.allclose(problem.error(values), expected)


def test_error_feedback_without_correlation_is_rounding():
    target = np.random.default_rng(0).normal(size=(65, 4)) * 3
    problem = Problem(target, np.diag(np.random.default_rng(1).uniform(1, 2, 65)))
    assert np.array_equal(feed_back(problem, Rounding()), np.rint(target))


@pytest.mark.parametrize("inputs", [1, 31, 32, 33, 65])
def test_error_feedback_beats_rounding_and_descent_beats_both(inputs):
    problem = some_problem(inputs, 6)
    rounded, fed = np.rint(problem.target), feed_back(problem, Rounding())
    descended = descend(problem, fed, Rounding(), sweeps=5)
    assert problem.error(fed).sum() <= problem.error(rounded).sum() + 1e-9
    assert (problem.error(descended) <= problem.error(fed) + 1e-9).all()


def test_blocks_do_not_change_error_feedback():
    problem = some_problem(70, 3)
    inverse_factor = np.linalg.cholesky(np.linalg.inv(problem.metric)).T
    wanted, values = problem.target.copy(), np.empty((70, 3))
    for j in range(70):
        values[j] = np.rint(wanted[j])
        wanted[j:] -= np.outer(inverse_factor[j, j:] / inverse_factor[j, j], wanted[j] - values[j])
    assert np.array_equal(feed_back(problem, Rounding()), values)


def test_no_single_code_can_be_bettered_after_descent():
    problem = some_problem(40, 5)
    values = descend(problem, feed_back(problem, TwoLevels()), TwoLevels(), sweeps=100)
    best = problem.error(values)
    for column in range(40):
        flipped = values.copy()
        flipped[column] *= -1
        assert (problem.error(flipped) >= best - 1e-9).all()


def test_descent_reaches_the_exhaustive_optimum_or_a_local_one():
    problem = some_problem(8, 10)
    values = descend(problem, feed_back(problem, TwoLevels()), TwoLevels(), sweeps=100)
    choices = np.array(list(product((-1.0, 1.0), repeat=8))).T
    every = [problem.error(np.tile(choice[:, None], 10)) for choice in choices.T]
    optimum = np.min(every, axis=0)
    assert (problem.error(values) >= optimum - 1e-9).all()
    assert np.mean(problem.error(values) <= optimum + 1e-9) >= 0.5


def test_a_basis_is_refitted_in_the_metric():
    problem = some_problem(33, 4)
    planes = np.random.default_rng(2).choice([-1.0, 1.0], (3, 33, 4))
    factor = np.linalg.cholesky(problem.metric).T
    for output, found in enumerate(refit(problem, planes)):
        design, goal = factor @ planes[:, :, output].T, factor @ problem.target[:, output]
        assert np.allclose(found, np.linalg.lstsq(design, goal, rcond=None)[0], atol=1e-6)


def test_equal_planes_are_no_singular_system():
    problem = some_problem(9, 2)
    planes = np.ones((2, 9, 2))
    assert np.isfinite(refit(problem, planes)).all()
