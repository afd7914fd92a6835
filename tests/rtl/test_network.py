"""The integers that hardware computes with."""

import dataclasses

import numpy as np
import pytest

from lowbit.errors import PlanError
from lowbit.rtl.lst.network import pixel_codes, quantize_codes, table_codes
from lowbit.rtl.lst.pixel import find_line
from tests.rtl.networks import random_network, random_pictures, scores_by_loops


@pytest.mark.parametrize("rounding", ["half_up", "floor"])
@pytest.mark.parametrize(("m", "n"), [(6, 7), (6, 2), (1, 0), (3, 9), (1, 15)])
def test_scores_are_those_of_the_formulas(m: int, n: int, rounding: str) -> None:
    network = random_network(5, 3, 4, 2, 3, m, n, reach=2.0, rounding=rounding)  # type: ignore[arg-type]
    pictures = random_pictures(network, 12)
    assert network.scores(pictures).tolist() == [scores_by_loops(network, picture) for picture in pictures]


def test_rounding_is_half_up_and_saturates() -> None:
    values = [-0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1e300, -1e300]
    assert quantize_codes(values, 2, 1).tolist() == [-1, -1, 0, 0, 1, 1, 2, 3, -4]


def test_tables_follow_their_functions() -> None:
    table = table_codes(np.tanh, 3, 2)
    assert table.tolist() == [quantize_codes(np.tanh(code / 4), 3, 2) for code in range(-16, 16)]
    assert pixel_codes(6, 7)[[0, 127, 128, 255]].tolist() == [-128, -1, 1, 128]


def test_pixels_of_few_fraction_bits_need_only_an_adder() -> None:
    assert all(find_line(pixel_codes(6, n)) is not None for n in range(8))
    assert find_line(pixel_codes(6, 9)) is None


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"activation": np.zeros(3, np.int64)}, "activation table"),
        ({"pixels": np.full(256, 4096)}, "pixel table"),
        ({"integer_bits": 10}, ""),
        ({"integer_bits": 0}, ""),
        ({"fraction_bits": -1}, ""),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, object], where: str) -> None:
    with pytest.raises(PlanError) as refused:
        dataclasses.replace(random_network(), **change).check()  # type: ignore[arg-type]
    assert refused.value.where == where and refused.value.expected and refused.value.found
