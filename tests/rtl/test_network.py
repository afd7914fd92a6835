"""The integers that hardware computes with."""

import dataclasses

import numpy as np
import pytest

from lowbit.errors import PlanError
from lowbit.rtl.lst.pixel_line import find_line
from lowbit.schemes import FixedPoint
from tests.rtl.networks import random_network


@pytest.mark.parametrize("n", range(8))
def test_pixels_of_few_fraction_bits_need_only_an_adder(n: int) -> None:
    codes = random_network(n=n).pixels
    line = find_line(codes)
    assert line is not None
    assert [
        ((p + line.rounding + (p >= line.step)) >> line.shift) - line.offset for p in range(256)
    ] == codes.tolist()


def test_pixels_of_more_need_a_table() -> None:
    assert find_line(random_network(n=9).pixels) is None


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"activation": np.zeros(3, np.int64)}, "activation table"),
        ({"pixels": np.full(256, 4096)}, "pixel table"),
        ({"encoding": FixedPoint(2, 7)}, "activation table"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, object], where: str) -> None:
    with pytest.raises(PlanError) as refused:
        dataclasses.replace(random_network(), **change).check()  # type: ignore[arg-type]
    assert refused.value.where == where and refused.value.expected and refused.value.found
