"""Fixed point: the formula for every code and its neighbours, saturation, both roundings, up to 16 bits."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit.errors import SchemeError
from lowbit.schemes import FixedPoint, check_scheme, encoding_from_dict

ROUNDINGS = ("nearest", "floor")
FORMATS = [(1, 1), (1, 7), (2, 0), (4, 4), (6, 2), (8, 0), (6, 7), (1, 15), (16, 0)]


@pytest.mark.parametrize("rounding", ["nearest", "floor"])
@pytest.mark.parametrize(("m", "n"), FORMATS)
def test_keeps_the_rules_of_encodings(m: int, n: int, rounding: str) -> None:
    check_scheme(FixedPoint(m, n, rounding))


@given(
    st.integers(1, 9),
    st.integers(0, 7),
    st.sampled_from(["nearest", "floor"]),
    st.floats(-600, 600, width=32),
)
def test_every_float_is_coded_by_the_formula(m: int, n: int, rounding: str, value: float) -> None:
    if m + n < 2:
        return
    encoding = FixedPoint(m, n, rounding)
    half = Fraction(1, 2) if rounding == "nearest" else Fraction(0)
    q = min(max(floor(Fraction(value) * 2**n + half), -(2 ** (m + n - 1))), 2 ** (m + n - 1) - 1)
    assert int(encoding.encode(value)) == q + 2 ** (m + n - 1)
    assert float(encoding.decode(encoding.encode(value))) == q / 2**n


@pytest.mark.parametrize("rounding", ["nearest", "floor"])
@pytest.mark.parametrize(("m", "n"), [(6, 7), (1, 15), (16, 0), (8, 8)])
def test_many_bits(m: int, n: int, rounding: str) -> None:
    encoding = FixedPoint(m, n, rounding)
    codes = np.arange(1 << (m + n))
    found = encoding.encode(encoding.levels()[0])
    assert found.dtype == (np.uint16 if m + n > 8 else np.uint8)
    assert (found == codes).all()
    steps = encoding.thresholds()[0]
    assert (encoding.encode(steps) == codes[:-1]).all()
    assert (encoding.encode(np.nextafter(steps, np.float32(np.inf))) == codes[1:]).all()
    assert encoding_from_dict(encoding.to_dict()) == encoding


def test_extremes_saturate_and_nan_is_the_lowest() -> None:
    encoding = FixedPoint(6, 7)
    assert encoding.encode([-np.inf, -1e30, np.nan, 1e30, np.inf]).tolist() == [0, 0, 0, 8191, 8191]


@pytest.mark.parametrize(
    ("m", "n", "rounding"), [(0, 4, "nearest"), (1, 0, "nearest"), (9, 8, "floor"), (4, 4, "up")]
)
def test_impossible_formats(m: int, n: int, rounding: str) -> None:
    with pytest.raises(SchemeError):
        FixedPoint(m, n, rounding)
