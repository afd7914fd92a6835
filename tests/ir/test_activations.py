"""Thresholds before an activation: the last float that stays below, for every activation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit.ir.activations import ACTIVATIONS, apply_activation, preimage_thresholds


@pytest.mark.parametrize("name", ACTIVATIONS)
@given(threshold=st.floats(-2, 2, width=32))
def test_the_next_float_is_above(name: str, threshold: float) -> None:
    found = preimage_thresholds(np.float32([threshold]), name)
    highest, lowest = np.finfo(np.float32).max, np.finfo(np.float32).min
    if found[0] > lowest:
        assert apply_activation(name, found)[0] <= threshold
    if found[0] < highest:
        assert apply_activation(name, np.nextafter(found, np.float32(np.inf)))[0] > threshold


def test_identity_gives_the_thresholds_back() -> None:
    values = np.float32([-1.5, -0.0, 1e-40, 3.25])
    assert np.array_equal(preimage_thresholds(values, "none"), values)


def test_relu_never_codes_below_zero() -> None:
    assert preimage_thresholds(np.float32([-0.1]), "relu")[0] == np.finfo(np.float32).min
