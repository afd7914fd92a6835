"""Encodings of activations: integers within the bound, and near to what a free basis reaches."""

import numpy as np
import pytest

from lowbit.calibrate import Histogram
from lowbit.quantization.activations import encode_activation
from lowbit.quantization.plan import Plan
from lowbit.schemes import ACTIVATION_BOUND, LearnedBasis, check_scheme
from lowbit.schemes.fitting import qem


def encoded(values, targets=None, **settings):
    histogram = Histogram()
    histogram.update(values, targets)
    return encode_activation(histogram, Plan(**settings))


@pytest.mark.parametrize("offset", [True, False])
@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_a_learned_basis_is_small_integers_near_the_free_optimum(bits, offset):
    values = np.tanh(np.random.default_rng(0).normal(0.2, 1, 5000))
    encoding = encoded(values, activation_bits=bits, activation_offset=offset)
    check_scheme(encoding)
    assert encoding.snapped
    assert encoding.multipliers.sum() <= ACTIVATION_BOUND
    assert (encoding.offset != 0).all() == offset
    error = ((encoding.decode(encoding.encode(values)) - values) ** 2).sum()
    free = qem.fit(qem.Points.of(values[None]), bits, offset=offset, restarts=16)
    assert error <= free.error[0] * 1.15


def test_one_bit_finds_two_clusters():
    values = np.concatenate([np.full(300, -0.1), np.full(100, 2.0)])
    encoding = encoded(values, activation_bits=1)
    assert np.allclose(np.sort(encoding.levels()[0]), [-0.1, 2.0], atol=1e-4)


def test_targets_decide_the_levels_and_values_the_thresholds():
    values = np.repeat([0.0, 1.0], 50)
    encoding = encoded(values, values * 3 - 1, activation_bits=1)
    assert np.allclose(np.sort(encoding.levels()[0]), [-1.0, 2.0], atol=1e-5)


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_rare_ones_among_zeros_are_coded_without_an_offset(bits):
    values = np.zeros(1000)
    values[::100] = 1.0
    encoding = encoded(values, activation_bits=bits, activation_offset=False)
    check_scheme(encoding)


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("clip", ["mse", "minmax"])
def test_an_affine_range_holds_zero(bits, clip):
    values = np.random.default_rng(1).gamma(1.0, size=2000)
    encoding = encoded(values, scheme="affine", weight_bits=8, activation_bits=bits, clip=clip)
    check_scheme(encoding)
    assert encoding.levels().min() == 0.0
    if clip == "minmax":
        assert np.isclose(encoding.levels().max(), values.max(), rtol=1e-6)


def test_clipping_lowers_the_error():
    values = np.random.default_rng(1).standard_t(3, size=5000)
    plans = ({"scheme": "affine", "activation_bits": 3, "clip": clip} for clip in ("mse", "minmax"))
    clipped, whole = (encoded(values, **plan) for plan in plans)
    errors = [((e.decode(e.encode(values)) - values) ** 2).sum() for e in (clipped, whole)]
    assert errors[0] < 0.5 * errors[1]


@pytest.mark.parametrize("value", [0.0, 0.5, -3e-9, 7e11])
@pytest.mark.parametrize("offset", [True, False])
@pytest.mark.parametrize(
    ("scheme", "bits"), [*(("lq", b) for b in (1, 2, 3, 4)), ("affine", 2), ("affine", 8)]
)
def test_what_never_changes_and_zero_are_levels(scheme, bits, offset, value):
    encoding = encoded(
        np.full(10, value), scheme=scheme, weight_bits=4, activation_bits=bits, activation_offset=offset
    )
    check_scheme(encoding)
    assert isinstance(encoding, LearnedBasis) == (scheme == "lq")
    found = encoding.decode(encoding.encode(np.array([value, 0.0])))
    assert np.allclose(found, [value, 0.0], rtol=1e-6, atol=1e-6 * abs(value))


@pytest.mark.parametrize("target", [0.0, 2.0])
@pytest.mark.parametrize(("scheme", "bits"), [("lq", 1), ("lq", 4), ("affine", 8)])
def test_noise_that_stands_for_one_number_is_coded_as_that(scheme, bits, target):
    values = target + np.random.default_rng(0).normal(0, 1e-20 if target == 0 else 1e-3, 1000)
    encoding = encoded(values, np.full(1000, target), scheme=scheme, weight_bits=4, activation_bits=bits)
    check_scheme(encoding)
    assert np.allclose(encoding.decode(encoding.encode(values)), target, rtol=1e-6)


@pytest.mark.parametrize("size", [1e-20, 1e-12, 1.0, 1e12])
@pytest.mark.parametrize(("scheme", "bits"), [("lq", 1), ("lq", 3), ("affine", 4), ("affine", 8)])
def test_sizes_make_no_difference(scheme, bits, size):
    values = np.random.default_rng(3).normal(0.5, 1, 3000)
    plan = {"scheme": scheme, "weight_bits": 4, "activation_bits": bits}
    usual, sized = encoded(values, **plan), encoded(values * size, **plan)
    assert np.allclose(sized.levels() / size, usual.levels(), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("end", [-1, 1])
@pytest.mark.parametrize("size", [30.0, 3000.0])
def test_the_search_covers_either_end_of_the_range_alone(end, size):
    """A tail on one side does not stretch the levels of the other."""
    values = np.concatenate([np.random.default_rng(4).uniform(-1, 1, 200000), [end * size]])
    encoding = encoded(values, scheme="affine", weight_bits=8, activation_bits=3)
    body = values[:-1]
    if size < 1000:  # a lone value that squared error outweighs
        assert ((encoding.decode(encoding.encode(body)) - body) ** 2).mean() < 0.01


@pytest.mark.parametrize(("scheme", "bits"), [("lq", 2), ("affine", 8)])
def test_a_percentile_clips_both_ends(scheme, bits):
    values = np.concatenate(
        [np.random.default_rng(5).uniform(-1, 1, 9980), np.full(10, -1e4), np.full(10, 1e4)]
    )
    plan = {"scheme": scheme, "weight_bits": 4, "activation_bits": bits}
    whole, clipped = encoded(values, **plan), encoded(values, percentile=99.8, **plan)
    assert np.abs(whole.levels()).max() > 1000
    assert np.abs(clipped.levels()).max() < 1.2
