"""Codebooks: whole tables conform, fits are centres of weighted clusters, and what trains is deployed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowbit.errors import PlanError, SchemeError
from lowbit.quantization import Plan
from lowbit.quantization.weights import nearest
from lowbit.schemes import check_scheme, encoding_from_dict
from lowbit.schemes.codebook import Codebook
from lowbit.schemes.codebook.encoding import snapped
from lowbit.schemes.codebook.fit import FIT, centres
from lowbit.schemes.specification import specification


@settings(deadline=None)  # a rule is checked for every code
@given(st.integers(2, 4), st.integers(1, 3), st.data())
def test_tables_of_whole_numbers_conform(bits: int, channels: int, data: st.DataObject) -> None:
    rows = st.lists(st.integers(-127, 127), min_size=1 << bits, max_size=1 << bits).map(sorted)
    table = data.draw(st.lists(rows, min_size=channels, max_size=channels))
    scale = data.draw(st.lists(st.floats(2**-7, 8, width=32), min_size=channels, max_size=channels))
    encoding = Codebook(scale, table)
    check_scheme(encoding)
    assert encoding_from_dict(encoding.to_dict()) == encoding
    assert np.array_equal(encoding.levels(), np.float64(np.float32(scale))[:, None] * table)


@pytest.mark.parametrize(
    ("scale", "table"),
    [
        ([1], [[1, 2]]),
        ([1], [[1, 2, 3, 4, 5]]),
        ([1], [list(range(32))]),
        ([1], [[3, 2, 1, 0]]),
        ([1], [[-128, 0, 1, 2]]),
        ([0], [[0, 1, 2, 3]]),
        ([1, 1], [[0, 1, 2, 3]]),
    ],
)
def test_impossible_tables_are_refused(scale: list[float], table: list[list[int]]) -> None:
    with pytest.raises(SchemeError):
        Codebook(scale, table)


def test_a_specification_names_its_bits() -> None:
    assert str(specification("codebook:4", "weights")) == "codebook:4"
    with pytest.raises(PlanError, match="codebook:2 to codebook:4"):
        specification("codebook:5")
    with pytest.raises(PlanError, match="cannot have this scheme"):
        specification("codebook:4", "activations")


def test_centres_of_separate_clusters_are_found() -> None:
    random = np.random.default_rng(0)
    middle = np.array([-3.0, -1.0, 0.5, 4.0])
    weights = random.choice(middle, (5, 400)) + random.normal(0, 0.01, (5, 400))
    assert np.abs(centres(weights, 4) - middle).max() < 0.01
    assert np.abs(snapped(centres(weights, 4)).levels() - middle).max() < 0.01 + 0.5 * 4 / 127


def test_centres_are_means_weighted_by_importance() -> None:
    weights = np.array([[0.0, 1.0, 10.0, 11.0, 20.0, 21.0, 30.0, 31.0]])
    importance = np.array([3.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 3.0])
    assert centres(weights, 4, importance).tolist() == [[0.25, 10.5, 20.5, 30.75]]


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_a_codebook_has_less_error_than_a_uniform_grid(bits: int) -> None:
    weights = np.random.default_rng(bits).standard_t(4, (20, 300))
    form = specification(f"codebook:{bits}")
    own = FIT.weights(weights, form, Plan())
    uniform = nearest(weights, Plan(scheme="affine", weight_bits=bits, activation_bits=bits))
    error = ((own.levels()[np.arange(20)[:, None], own.encode(weights)] - weights) ** 2).sum()
    assert error < 0.9 * ((uniform.values() - weights) ** 2).sum()


def test_weights_of_few_values_are_exact() -> None:
    weights = np.tile([[-127.0, 0.0, 3.0, 64.0]], (2, 5))
    encoding = FIT.weights(weights, specification("codebook:2"), Plan())
    assert np.array_equal(encoding.decode(encoding.encode(weights)), weights)
