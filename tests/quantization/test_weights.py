"""Coded weights: bounds that the engine relies on, refusals, and that restoring restores."""

from dataclasses import replace

import numpy as np
import pytest

from lowbit.errors import NumericError
from lowbit.quantization.plan import Plan
from lowbit.quantization.weights import check_weights, nearest, restored
from lowbit.schemes import Affine, LearnedBasis, check_scheme
from lowbit.schemes.fitting.restore import Problem
from lowbit.schemes.learned_basis.fit import OFFSET_STEPS


def lq(bits, **settings):
    return Plan(weight_bits=bits, activation_bits=bits, **settings)


def affine(bits, **settings):
    return Plan(scheme="affine", weight_bits=bits, activation_bits=bits, **settings)


def pow2(bits):
    return Plan(scheme="pow2", weight_bits=bits, activation_bits=4)


@pytest.fixture
def problem():
    random = np.random.default_rng(0)
    x = random.normal(size=(400, 33)) @ random.normal(size=(33, 33))
    weights = random.normal(size=(6, 33))
    covariance = x.T @ x / 400
    return Problem.of(covariance, covariance @ weights.T, weights, damping=0.01)


PLANS = [lq(bits) for bits in (1, 2, 3, 4)] + [affine(bits) for bits in range(2, 9)]
OTHERS = [
    lq(1, weight_offset=False),
    lq(2, weight_offset=True),
    lq(3, update="gradient"),
    affine(4, symmetric=False),
    affine(3, per_channel=False),
    affine(3, clip="minmax"),
]


@pytest.mark.parametrize("plan", PLANS + OTHERS, ids=str)
def test_restored_weights_are_a_valid_encoding_and_beat_nearest_ones(problem, plan):
    coded = restored(problem, plan)
    check_scheme(coded.encoding)
    assert coded.codes.shape == (6, 33)
    assert coded.codes.max() < 1 << plan.weight_bits
    plain = nearest(problem.target.T, plan)
    assert problem.error(coded.values().T).sum() <= problem.error(plain.values().T).sum()
    assert np.allclose(coded.values(), coded.encoding.decode(coded.codes), rtol=1e-6)


@pytest.mark.parametrize("plan", PLANS + OTHERS, ids=str)
def test_learned_weights_are_small_integers(problem, plan):
    encoding = restored(problem, plan).encoding
    if isinstance(encoding, LearnedBasis):
        assert encoding.snapped
        offset = encoding.integer_weight_offset()
        assert (encoding.multipliers.sum(axis=1) + np.abs(offset) <= 127).all()
        assert np.array_equal((offset * encoding.scale).astype(np.float32), encoding.offset)
        assert offset.any() == plan.uses_weight_offset


def test_an_offset_of_one_bit_has_fine_steps(problem):
    encoding = restored(problem, lq(1)).encoding
    assert np.array_equal(encoding.multipliers[:, 0], np.full(6, OFFSET_STEPS))
    assert len(np.unique(encoding.integer_weight_offset())) > 2


def test_nearest_weights_are_as_near_as_it_gets():
    weights = np.random.default_rng(1).normal(size=(4, 65))
    errors = [
        ((nearest(weights, lq(bits, method="plain")).values() - weights) ** 2).sum() for bits in (1, 2, 3, 4)
    ]
    assert sorted(errors, reverse=True) == errors
    magnitude = np.abs(weights).mean(axis=1)
    one = nearest(weights, lq(1, method="plain"))
    assert np.allclose(one.values(), np.sign(weights) * magnitude[:, None], rtol=1e-4)


def test_affine_is_rounding_on_the_range():
    weights = np.array([[-1.0, 0.5, 1.27], [0.0, 0.0, 0.0]])
    coded = nearest(weights, affine(8, method="plain", clip="minmax"))
    assert isinstance(coded.encoding, Affine)
    assert np.array_equal(coded.encoding.zero_point, [128, 128])
    assert np.isclose(coded.encoding.scale[0], 0.01)
    assert np.array_equal(coded.codes, [[28, 178, 255], [128, 128, 128]])


def test_clipping_is_never_worse_than_the_whole_range():
    weights = np.random.default_rng(2).standard_t(3, size=(20, 200))
    for bits in (2, 3, 4):
        clipped, whole = (
            ((nearest(weights, affine(bits, method="plain", clip=clip)).values() - weights) ** 2).sum(axis=1)
            for clip in ("mse", "minmax")
        )
        assert (clipped <= whole + 1e-9).all()
        assert clipped.sum() < 0.9 * whole.sum()


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_an_offset_far_from_the_weights_spread_still_fits_a_byte(bits):
    random = np.random.default_rng(3)
    rows = np.stack([random.normal(5, spread, 65) for spread in (1e-4, 0.05, 1.0, 10.0)])
    coded = nearest(rows, lq(bits, method="plain", weight_offset=True))
    check_scheme(coded.encoding)
    integers = coded.encoding.integer_levels() + coded.encoding.integer_weight_offset()[:, None]
    assert np.abs(integers).max() <= 127
    assert np.allclose(coded.values()[:2], rows[:2], atol=0.2)


@pytest.mark.parametrize("value", [0.5, -0.25])
@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_equal_weights_are_coded(bits, value):
    weights = np.full((2, 33), value)
    coded = nearest(weights, lq(bits, method="plain"))
    check_scheme(coded.encoding)
    assert np.allclose(coded.values(), value, rtol=0.05)


@pytest.mark.parametrize("plan", [*PLANS, *OTHERS, *(pow2(bits) for bits in (2, 3, 4))], ids=str)
@pytest.mark.parametrize("method", ["nearest", "restored"])
def test_outputs_of_zeros_stay_zeros(problem, plan, method):
    weights = np.where(np.isin(np.arange(6), [1, 3])[:, None], 0.0, problem.target.T)
    coded = (
        nearest(weights, plan) if method == "nearest" else restored(replace(problem, target=weights.T), plan)
    )
    check_scheme(coded.encoding)
    has_zero = not (plan.scheme == "lq" and plan.weight_bits == 1 and not plan.uses_weight_offset)
    assert np.abs(coded.values()[[1, 3]]).max() <= (0.0 if has_zero else 1e-29)
    assert np.abs(coded.values()[[0, 2, 4, 5]]).max(axis=1).min() > 0


@pytest.mark.parametrize("plan", [*PLANS, *OTHERS, *(pow2(bits) for bits in (2, 3, 4))], ids=str)
def test_rows_of_any_size_are_coded_alike(plan):
    rows = np.random.default_rng(5).normal(size=(3, 65))
    usual = nearest(rows, plan).values()
    for exponent in (-70, -40, 40):
        assert np.array_equal(nearest(np.ldexp(rows, exponent), plan).values(), np.ldexp(usual, exponent))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused_by_place(bad):
    weights = np.ones((2, 3))
    weights[1, 2] = bad
    with pytest.raises(NumericError, match=rf"fc1.*{bad} at \[1, 2\]"):
        check_weights(weights, "fc1")
