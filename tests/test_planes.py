"""The packed layout against its definition, exhaustively where small."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit import planes
from lowbit.errors import GraphError

SIZES = [0, 1, 31, 32, 33, 63, 64, 65]


@pytest.mark.parametrize("elements", SIZES)
@pytest.mark.parametrize("bits", range(1, 9))
def test_every_bit_is_where_the_layout_says(elements: int, bits: int) -> None:
    codes = np.random.default_rng(elements).integers(0, 1 << bits, (3, elements)).astype(np.uint8)
    packed = planes.pack(codes, bits)
    assert packed.shape == (3, bits, planes.word_count(elements))
    assert packed.dtype == np.uint32
    for row in range(3):
        for element in range(elements):
            for bit in range(bits):
                found = int(packed[row, bit, element >> 5]) >> (element & 31) & 1
                assert found == codes[row, element] >> bit & 1
    assert planes.padding_is_zero(packed, elements)
    assert np.array_equal(planes.unpack(packed, elements), codes)


@given(st.lists(st.integers(0, 255), max_size=100))
def test_round_trip_of_any_codes(codes: list[int]) -> None:
    array = np.array(codes, np.uint8)
    assert planes.unpack(planes.pack(array, 8), len(codes)).tolist() == codes


def test_padding_is_seen() -> None:
    packed = planes.pack(np.zeros(33, np.uint8), 1)
    packed[0, 1] |= 2
    assert not planes.padding_is_zero(packed, 33)


def test_a_code_that_does_not_fit_is_refused() -> None:
    with pytest.raises(GraphError, match="expected codes below 4; found 4"):
        planes.pack(np.array([0, 4]), 2)


def test_planes_of_the_wrong_length_are_refused() -> None:
    with pytest.raises(GraphError, match="expected 2 words for 33 elements"):
        planes.unpack(np.zeros((1, 1), np.uint32), 33)
