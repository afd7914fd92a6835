"""Every scheme passes the public conformance check, and breaks it when broken."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowbit.errors import SchemeError
from lowbit.schemes import (
    ACTIVATION_BOUND,
    WEIGHT_BOUND,
    Affine,
    Encoding,
    FixedPoint,
    LearnedBasis,
    PowerOfTwo,
    check_scheme,
    encoding_from_dict,
    snap,
    snap_weights,
)

reals = st.floats(0.0078125, 8.0, width=32)


@st.composite
def bases(draw: st.DrawFn) -> LearnedBasis:
    bits, channels = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    basis = [sorted(draw(st.lists(reals, min_size=bits, max_size=bits))) for _ in range(channels)]
    offset = draw(st.lists(st.floats(-4, 4, width=32), min_size=channels, max_size=channels))
    return LearnedBasis(np.array(basis), np.array(offset), np.zeros(channels))


@settings(deadline=None)  # a rule is checked for every code
@given(bases())
def test_free_bases_conform(encoding: LearnedBasis) -> None:
    check_scheme(encoding)


@settings(deadline=None)  # a rule is checked for every code
@given(bases(), st.sampled_from([ACTIVATION_BOUND, WEIGHT_BOUND]))
def test_snapped_bases_conform_and_keep_the_bound(encoding: LearnedBasis, bound: int) -> None:
    try:
        snapped = snap(encoding, bound)
    except SchemeError:  # a coefficient below half a unit of the largest
        assert (encoding.basis[:, 0] / encoding.basis[:, -1]).min() < 1.0 / (bound / encoding.bits)
        return
    check_scheme(snapped)
    assert snapped.multipliers.sum(axis=1).max() <= bound
    assert (snapped.multipliers >= 1).all()
    assert (np.gcd.reduce(snapped.multipliers, axis=1) == 1).all()
    error = np.abs(snapped.basis / snapped.basis[:, -1:] - encoding.basis / encoding.basis[:, -1:])
    assert error.max() <= 0.5 * encoding.bits / (bound - encoding.bits)  # half a unit of the coarsest top


@settings(deadline=None)  # a rule is checked for every code
@given(st.integers(1, 8), st.lists(st.tuples(reals, st.integers(0, 255)), min_size=1, max_size=3))
def test_affine_conforms_and_equals_its_planes(bits: int, channels: list[tuple[float, int]]) -> None:
    scale = np.array([scale for scale, _ in channels], np.float32)
    zero_point = np.array([zero % (1 << bits) for _, zero in channels])
    encoding = Affine(bits, scale, zero_point)
    check_scheme(encoding)
    learned = encoding.to_learned_basis()
    check_scheme(learned)
    tolerance = 1e-6 * scale.max() * (1 << bits)
    assert np.abs(learned.levels() - encoding.levels()).max() <= tolerance
    offset = learned.integer_weight_offset()
    assert np.array_equal(learned.integer_levels() + offset[:, None], 2 * encoding.integer_levels())


@settings(deadline=None)  # a rule is checked for every code
@given(st.integers(2, 4), st.lists(reals, min_size=1, max_size=3))
def test_powers_of_two_conform(bits: int, scales: list[float]) -> None:
    encoding = PowerOfTwo(bits, np.array(scales))
    check_scheme(encoding)
    positive = encoding.levels()[:, 1 : 1 << (bits - 1)]
    assert np.array_equal(positive[:, 1:], 2 * positive[:, :-1])
    assert np.array_equal(positive[:, -1], encoding.scale)


def test_powers_of_two_round_in_the_linear_domain_and_never_make_a_negative_zero() -> None:
    encoding = PowerOfTwo(3, [4.0])  # levels 0, 1, 2, 4
    values = np.array([-9, -3.1, -3, -0.5, -0.4, 0, 0.5, 0.6, 1.5, 1.6, 2.9, 3.1], np.float32)
    expected = [-4, -4, -4, -1, 0, 0, 0, 1, 1, 2, 2, 4]
    codes = encoding.encode(values)
    assert encoding.decode(codes).tolist() == expected and 4 not in codes
    assert encoding.integer_levels()[0].tolist() == [0, 1, 2, 4, 0, -1, -2, -4]


@pytest.mark.parametrize(
    ("bits", "scale"), [(1, [1.0]), (5, [1.0]), (3, [0.0]), (3, [np.nan]), (3, [-1.0]), (3, [])]
)
def test_impossible_powers_of_two_are_refused(bits: int, scale: list[float]) -> None:
    with pytest.raises(SchemeError):
        PowerOfTwo(bits, scale)


def test_a_tie_takes_the_lower_level_of_a_learned_basis() -> None:
    encoding = LearnedBasis(np.array([[0.5]]), np.array([0.5]), np.array([1]))  # levels 0 and 1
    assert encoding.encode(np.float32([0.5, np.nextafter(np.float32(0.5), np.float32(1))])).tolist() == [0, 1]


def test_an_affine_tie_goes_to_the_even_integer() -> None:
    encoding = Affine(4, np.array([1.0]), np.array([8]))
    assert encoding.encode([-1.5, -0.5, 0.5, 1.5, 2.5]).tolist() == [6, 8, 8, 10, 10]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_gets_the_lowest_level(channels: int, dtype: type) -> None:
    """NaN is above no threshold: an engine that counts thresholds gives it rank 0, and so do we."""
    values = np.full((channels, 2), [[np.nan, np.inf]], dtype)
    basis = LearnedBasis(np.tile([1.0, 1.5, 1.8], (channels, 1)), np.ones(channels), np.zeros(channels))
    affine = Affine(8, np.full(channels, 0.1), np.full(channels, 7))
    for encoding in (basis, affine):
        order = encoding.code_of_rank()
        assert encoding.encode(values).tolist() == order[:, [0, -1]].tolist()
        assert encoding.encode(values[0]).tolist() == order[0, [0, -1]].tolist() or channels > 1


def test_codes_of_a_three_bit_basis_need_not_be_in_order_of_level() -> None:
    encoding = LearnedBasis(np.array([[1.0, 1.5, 1.8]]), np.zeros(1), np.zeros(1))
    assert encoding.code_of_rank().tolist() == [[0, 1, 2, 4, 3, 5, 6, 7]]
    check_scheme(encoding)


def test_one_bit_weights_snap_to_one() -> None:
    snapped = snap(LearnedBasis(np.array([[0.37]]), np.zeros(1), np.zeros(1)), WEIGHT_BOUND)
    assert snapped.multipliers.tolist() == [[1]]
    assert snapped.scale[0] == np.float32(0.37)


def test_weight_offsets_snap_to_whole_scales() -> None:
    snapped = snap_weights(LearnedBasis(np.array([[0.1, 0.2]]), np.array([0.13]), np.zeros(1)))
    assert snapped.integer_weight_offset().tolist() == [1]
    with pytest.raises(SchemeError, match="not a whole number of scales"):
        dataclasses.replace(snapped, offset=np.array([0.15], np.float32)).integer_weight_offset()


@pytest.mark.parametrize(
    ("basis", "offset"),
    [
        ([[0.0]], [0]),
        ([[-1.0]], [0]),
        ([[2.0, 1.0]], [0]),
        ([[np.nan]], [0]),
        ([[np.inf]], [0]),
        ([[1.0]], [np.nan]),
    ],
)
def test_a_row_that_is_no_basis_is_refused(basis: list[list[float]], offset: list[float]) -> None:
    with pytest.raises(SchemeError, match="channel 0: a basis row is not a basis"):
        LearnedBasis(np.array(basis), np.array(offset), np.zeros(1))


@pytest.mark.parametrize(
    ("bits", "scale", "zero_point", "message"),
    [
        (9, 1, 0, "1 to 8 bits"),
        (0, 1, 0, "1 to 8 bits"),
        (4, 0, 0, "above 0"),
        (4, np.nan, 0, "above 0"),
        (4, 1, 16, "0 to 15"),
        (4, 1, -1, "0 to 15"),
    ],
)
def test_impossible_affine_parameters_are_refused(
    bits: int, scale: float, zero_point: int, message: str
) -> None:
    with pytest.raises(SchemeError, match=message):
        Affine(bits, np.array([scale]), np.array([zero_point]))


class _OffByOne(Affine):
    def encode(self, values: object) -> np.ndarray:  # a broken scheme of a third party
        return np.minimum(super().encode(values) + 1, 3).astype(np.uint8)


def test_check_scheme_finds_a_broken_scheme() -> None:
    with pytest.raises(SchemeError, match="encoding counts thresholds"):
        check_scheme(_OffByOne(2, np.array([1.0]), np.array([1])))


def _first_bit(codes: np.ndarray) -> np.ndarray:
    return codes ^ codes.dtype.type(1)


class _Below(Affine):
    def thresholds(self) -> np.ndarray:
        return np.nextafter(super().thresholds(), np.float32(-np.inf))


FAULTS = {
    "as_basis gives the levels": {"as_basis": lambda self: self.to_learned_basis().scaled(2)},
    "as_affine gives the levels": {"as_affine": lambda self: self.scaled(2)},
    "as_affine encodes alike": {"as_affine": lambda self: _Below(self.bits, self.scale, self.zero_point)},
    "codes fit the storage": {"storage": "halves"},
    "what rounds is linear": {"linear": False},
    "whole_levels give": {"whole_levels": lambda self: self.integer_levels() + 1},
    "scaled multiplies": {"scaled": lambda self, factor: Affine.scaled(self, np.sqrt(factor))},
    "opposite negates": {"opposite": lambda self, codes, rows: (self, _first_bit(codes))},
    "silent rows are zero": {"silent": lambda self, codes, rows: (self, codes)},
    "silent keeps": {"silent": lambda self, codes, rows: Affine.silent(self, codes, rows | True)},
    "joined keeps": {"joined": classmethod(lambda cls, parts, rows: Affine.joined(parts, rows).scaled(3))},
    "fields round trip": {
        "from_fields": classmethod(lambda cls, fields: Affine.from_fields({**fields, "scale": np.ones(2)}))
    },
}


@pytest.mark.parametrize("rule", FAULTS)
def test_check_scheme_finds_what_is_broken(rule: str) -> None:
    broken = type("Broken", (Affine,), FAULTS[rule])
    check_scheme(Affine(6, [0.5, 0.25], [3, 9]))
    with pytest.raises(SchemeError, match=rule):
        check_scheme(broken(6, [0.5, 0.25], [3, 9]))


@settings(deadline=None)  # a rule is checked for every code
@given(st.floats(0.01, 100), st.integers(1, 6), st.integers(0, 6))
def test_a_fixed_point_format_is_scaled_by_the_powers_of_two_that_move_its_point(
    factor: float, m: int, n: int
) -> None:
    if m + n < 2:
        return
    power = 2.0 ** round(np.log2(factor))
    encoding, expected = FixedPoint(m, n).scaled(np.full(3, power)), np.log2(power)
    possible = m + expected >= 1 and n - expected >= 0
    assert (encoding is not None) == possible
    assert encoding is None or np.array_equal(encoding.levels(), power * FixedPoint(m, n).levels())
    assert FixedPoint(m, n).scaled(np.array([1.0, 2.0])) is None
    assert FixedPoint(m, n).scaled(1.5) is None


def test_check_scheme_finds_levels_that_are_not_even() -> None:
    broken = type("Broken", (LearnedBasis,), {"linear": True})
    check_scheme(broken([[1, 2, 4]], [0.5], [4]))
    with pytest.raises(SchemeError, match="evenly spaced"):
        check_scheme(broken([[1, 2, 3]], [0.5], [3]))


def test_one_scale_for_all_rows_becomes_one_each_where_they_differ() -> None:
    codes = np.array([[0, 1, 7], [7, 2, 0]], np.uint8)
    encoding = Affine(3, [0.5], [2])
    turned, other = encoding.opposite(codes, np.array([True, False]))
    assert np.array_equal(turned.decode(other), encoding.decode(codes) * [[-1], [1]])
    assert np.array_equal(encoding.scaled([1.0, 2.0]).decode(codes), encoding.decode(codes) * [[1], [2]])


def test_parts_of_different_formats_are_no_one_tensor() -> None:
    assert FixedPoint.joined([FixedPoint(3, 2)] * 2, [1, 4]) == FixedPoint(3, 2)
    with pytest.raises(SchemeError, match="different formats"):
        FixedPoint.joined([FixedPoint(3, 2), FixedPoint(2, 3)], [1, 1])
    assert FixedPoint(3, 2).opposite(np.array([[0, 5]], np.uint8), np.array([True])) is None


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"scheme": "x"},
        {"scheme": "lq"},
        {"scheme": "lq", "basis": [["no"]], "offset": ["0x0p+0"], "top": [0]},
        {"scheme": "affine", "bits": 2, "scale": ["0x1p+0"], "zero_point": [7]},
    ],
)
def test_bad_fields_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(SchemeError):
        encoding_from_dict(fields)


def test_encodings_satisfy_the_protocol() -> None:
    assert isinstance(Affine(2, np.ones(1), np.zeros(1)), Encoding)
    assert isinstance(LearnedBasis(np.ones((1, 1)), np.zeros(1), np.ones(1)), Encoding)
    assert isinstance(PowerOfTwo(2, [1]), Encoding) and isinstance(FixedPoint(8, 8), Encoding)


@pytest.mark.parametrize("basis", [[1.0, 3.3], [1.0, 2.001], [0.1, 3.0]])
def test_a_snapped_basis_is_what_it_says(basis) -> None:
    """Else those who add integers and those who add coefficients would have two networks."""
    with pytest.raises(SchemeError, match="not the integers that it says"):
        LearnedBasis(np.float32([[1, 3], basis]), np.zeros(2), np.int32([3, 3]))
    nearly = np.nextafter(np.float32([[1, 3]]), np.float32(9))
    assert LearnedBasis(nearly, np.zeros(1), np.int32([3])).snapped
