"""Restoration against exact solutions and exhaustive search."""

from itertools import product

import numpy as np
import pytest

from lowbit.schemes.fitting.grids import EvenGrid, LevelGrid
from lowbit.schemes.fitting.qem import signs
from lowbit.schemes.fitting.restore import Planes, Problem, feed_back

SIGNS = LevelGrid(np.array([[-1.0, 1.0]]))
WHOLE = EvenGrid([1.0], [-1000.0], [1000.0])


def descend(problem, start, grid, sweeps):
    """Return values `[d, o]` after descent, and require that the residual is theirs."""
    values = np.ascontiguousarray(start.T)
    residual = values @ problem.metric - problem.goal
    grid.descend(problem.metric, values, residual, sweeps)
    assert np.allclose(
        residual, values @ problem.metric - problem.goal, atol=1e-9 * np.abs(problem.metric).max()
    )
    return values.T


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
    assert np.array_equal(feed_back(problem, WHOLE), np.rint(target))


@pytest.mark.parametrize("inputs", [1, 31, 32, 33, 65])
def test_error_feedback_beats_rounding_and_descent_beats_both(inputs):
    problem = some_problem(inputs, 6)
    rounded, fed = np.rint(problem.target), feed_back(problem, WHOLE)
    descended = descend(problem, fed, WHOLE, sweeps=5)
    assert problem.error(fed).sum() <= problem.error(rounded).sum() + 1e-9
    assert (problem.error(descended) <= problem.error(fed) + 1e-9).all()


def test_blocks_do_not_change_error_feedback():
    problem = some_problem(70, 3)
    inverse_factor = np.linalg.cholesky(np.linalg.inv(problem.metric)).T
    wanted, values = problem.target.copy(), np.empty((70, 3))
    for j in range(70):
        values[j] = np.rint(wanted[j])
        wanted[j:] -= np.outer(inverse_factor[j, j:] / inverse_factor[j, j], wanted[j] - values[j])
    assert np.array_equal(feed_back(problem, WHOLE), values)


def test_no_single_code_can_be_bettered_after_descent():
    problem = some_problem(40, 5)
    values = descend(problem, feed_back(problem, SIGNS), SIGNS, sweeps=100)
    best = problem.error(values)
    for column in range(40):
        flipped = values.copy()
        flipped[column] *= -1
        assert (problem.error(flipped) >= best - 1e-9).all()


def test_descent_reaches_the_exhaustive_optimum_or_a_local_one():
    problem = some_problem(8, 10)
    values = descend(problem, feed_back(problem, SIGNS), SIGNS, sweeps=100)
    choices = np.array(list(product((-1.0, 1.0), repeat=8))).T
    every = [problem.error(np.tile(choice[:, None], 10)) for choice in choices.T]
    optimum = np.min(every, axis=0)
    assert (problem.error(values) >= optimum - 1e-9).all()
    assert np.mean(problem.error(values) <= optimum + 1e-9) >= 0.5


@pytest.mark.parametrize("outputs", [1, 6])
@pytest.mark.parametrize("inputs", [1, 15, 16, 17, 50])
@pytest.mark.parametrize("kind", ["one row", "rows", "even"])
def test_descent_is_the_cyclic_one_written_out(inputs, outputs, kind):
    random = np.random.default_rng(inputs)
    problem = some_problem(inputs, outputs, seed=inputs)
    levels = np.sort(random.normal(size=(1 if kind == "one row" else outputs, 5)), axis=1)
    grid = (
        EvenGrid(np.full(outputs, 0.25), np.full(outputs, -3), np.full(outputs, 4))
        if kind == "even"
        else LevelGrid(levels)
    )
    start = np.stack([grid.nearest(row, 0) for row in random.normal(size=(inputs, outputs))])
    values, metric = start.copy(), problem.metric
    for _ in range(3):
        for j in range(inputs):
            pull = metric[j] @ (values - problem.target)
            values[j] = grid.nearest(values[j] - pull / metric[j, j], j)
    assert np.array_equal(descend(problem, start, grid, 3), values)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_products_follow_codes(bits):
    problem, random = some_problem(40, 3), np.random.default_rng(5)
    codes = random.integers(0, 1 << bits, (2, 3, 40), dtype=np.uint8)
    planes = Planes(problem, codes[0], signs(bits))
    planes.follow(codes[1])
    other = Planes(problem, codes[1], signs(bits))
    coefficients = random.normal(size=(3, bits))
    assert np.allclose(planes.residual(coefficients), other.residual(coefficients))
    assert np.allclose(planes.refit(), other.refit())


def test_a_basis_is_refitted_in_the_metric():
    problem = some_problem(33, 4)
    codes = np.random.default_rng(2).integers(0, 8, (4, 33), dtype=np.uint8)
    factor = np.linalg.cholesky(problem.metric).T
    for output, found in enumerate(Planes(problem, codes, signs(3)).refit()):
        design, goal = factor @ signs(3)[codes[output]], factor @ problem.target[:, output]
        assert np.allclose(found, np.linalg.lstsq(design, goal, rcond=None)[0], atol=1e-6)


def test_equal_planes_are_no_singular_system():
    problem = some_problem(9, 2)
    planes = Planes(problem, np.zeros((2, 9), np.uint8), signs(2))
    assert np.isfinite(planes.refit()).all()


def test_arrays_of_other_shapes_are_refused():
    values = np.zeros((2, 3))
    for metric, grid in ((np.eye(2), SIGNS), (np.eye(3), LevelGrid(np.zeros((3, 2))))):
        with pytest.raises(ValueError):
            grid.descend(metric, values, values.copy(), 1)
    with pytest.raises(ValueError):
        Planes(Problem(values.T, np.eye(3)), np.zeros((2, 3), np.uint8), signs(1)).follow(
            np.full((2, 3), 9, np.uint8)
        )
