"""Operator options: reading undoes writing, and nothing outside the buffer is read."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit.errors import ModelFormatError
from lowbit.formats.flexbuffer import MAX_BYTES, read_options, write_options

keys = st.text(st.characters(min_codepoint=97, max_codepoint=122), min_size=1, max_size=20)
reals = st.floats(allow_nan=False, width=32)
numbers = st.integers(-(2**63), 2**63 - 1) | reals
vectors = (
    st.lists(reals, min_size=1, max_size=300).map(lambda x: np.array(x, np.float32))
    | st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=300).map(lambda x: np.array(x, np.int64))
    | st.lists(st.integers(0, 255), max_size=300).map(lambda x: np.array(x, np.uint8))
)
maps = st.dictionaries(keys, numbers | st.text(max_size=300) | vectors, min_size=1, max_size=8)


@given(maps)
def test_reading_undoes_writing(options) -> None:
    found = read_options(write_options(options), where="test")
    assert found.keys() == options.keys()
    for key, value in options.items():
        assert type(found[key]) is type(value)
        assert np.array_equal(found[key], value)
        assert not isinstance(value, np.ndarray) or found[key].dtype == value.dtype


@given(maps, st.data())
def test_damage_gives_an_error_or_a_map(options, data) -> None:
    content = bytearray(write_options(options))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert isinstance(read_options(bytes(content), where="test"), dict)
    except ModelFormatError as error:
        assert error.where == "test" and error.expected and error.found and error.remedy


@given(maps, st.data())
def test_truncation_gives_an_error_or_a_map(options, data) -> None:
    content = write_options(options)
    cut = data.draw(st.integers(0, len(content) - 1))
    for part in (content[:cut], content[cut + 1 :]):
        try:
            read_options(part, where="test")
        except ModelFormatError as error:
            assert error.where == "test" and error.expected and error.found and error.remedy


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "impossible size"),
        (bytes(MAX_BYTES + 1), "impossible size"),
        (bytes([1, 4, 1]), "not a map"),
        (bytes([0, 9 << 2, 1]), "leaves them"),
        (bytes([1, 1, 1, 9 << 2, 3]), "not a map"),
    ],
)
def test_rules(content: bytes, rule: str) -> None:
    with pytest.raises(ModelFormatError, match=rule):
        read_options(content, where="test")
