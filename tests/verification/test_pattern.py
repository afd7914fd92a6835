"""What a difference looks like, in words."""

import numpy as np
import pytest

from lowbit.analysis.pattern import pattern_of
from lowbit.ir.graph import Array

SHAPE = (6, 37, 5, 5)


def said(expected: Array, found: Array) -> str:
    return pattern_of(expected, found, expected != found)


def codes() -> Array:
    return np.random.default_rng(2).integers(1, 3, SHAPE).astype(np.uint8)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ((slice(None), 4), "in channel 4 of 37 alone"),
        ((slice(None), slice(32, None)), "in the last 5 of 37 channels: those behind whole vectors"),
        ((slice(None), slice(0, 9)), "in 9 of 37 channels"),
        ((slice(None), slice(None), 0), "at the edges of maps alone"),
        ((2,), "in sample 2 of 6 alone"),
        ((slice(None),), "everywhere"),
    ],
)
def test_places(place: tuple[slice | int, ...], words: str) -> None:
    expected = codes()
    found = expected.copy()
    found[place] += 1
    assert words in said(expected, found) and "by one each: perhaps a rounding" in said(expected, found)


def test_sizes() -> None:
    expected = codes()
    limited = np.where(expected > 1, np.uint8(7), expected)
    assert "all 7 there: perhaps a limit" in said(expected, limited)
    far = expected + np.arange(37, dtype=np.uint8)[:, None, None]
    assert "by up to 36" in said(expected, far)
    reals = expected.astype(np.float32)
    assert "by up to 0.25" in said(reals, reals + np.float32(0.25))
