"""Histograms: exact counts whatever the order, range that grows, merging."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowbit.calibrate import Histogram
from lowbit.errors import NumericError

VALUES = st.lists(st.floats(-1e6, 1e6, width=32) | st.sampled_from([0.0, 1.0, -1.0, 2.0, 1e-30]), max_size=40)


def histogram_of(*batches):
    result = Histogram()
    for batch in batches:
        result.update(np.array(batch, np.float32))
    return result


def assert_same(left, right):
    assert (left.exponent, left.minimum, left.maximum) == (right.exponent, right.minimum, right.maximum)
    assert np.array_equal(left.sums[0], right.sums[0])
    assert np.allclose(left.sums, right.sums, rtol=1e-12, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(VALUES, VALUES, VALUES)
def test_order_batches_and_merging_do_not_matter(first, second, third):
    whole = histogram_of(first + second + third)
    assert_same(histogram_of(third, first, second), whole)
    merged = histogram_of(second)
    merged.merge(histogram_of(first, third))
    assert_same(merged, whole)
    assert whole.count == len(first) + len(second) + len(third)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=40))
def test_every_value_lies_in_its_bin(values):
    histogram = histogram_of(values)
    width = 2.0 ** (histogram.exponent + 1) / histogram.sums.shape[1]
    edges = np.floor(np.array(values, np.float64) / width) * width
    bins = (np.flatnonzero(histogram.sums[0]) - histogram.sums.shape[1] // 2) * width
    assert np.array_equal(np.unique(edges), bins)


def test_sums_are_those_of_values_and_targets():
    histogram = Histogram()
    histogram.update([0.25, 0.25, -3.0], [1.0, 2.0, 5.0])
    count, values, targets, squares = histogram.occupied()
    assert np.array_equal(count, [1, 2])
    assert np.array_equal(values, [-3.0, 0.5])
    assert np.array_equal(targets, [5.0, 3.0])
    assert np.array_equal(squares, [25.0, 5.0])


def test_merging_leaves_the_other_as_it_is():
    small, large = histogram_of([0.1]), histogram_of([1000.0])
    before = small.sums.copy()
    large.merge(small)
    assert np.array_equal(small.sums, before)
    assert large.count == 2


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(bad):
    with pytest.raises(NumericError, match="not finite"):
        Histogram().update([0.0, bad])
    with pytest.raises(NumericError, match="not finite"):
        Histogram().update([0.0, 1.0], [1.0, bad])


def test_nothing_is_allowed():
    histogram = histogram_of([])
    assert histogram.count == 0
    assert histogram.occupied().shape == (4, 0)
