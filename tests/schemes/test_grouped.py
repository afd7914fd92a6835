"""Groups: each is an encoding of its scheme, whatever is done to rows."""

import json

import numpy as np
import pytest

from lowbit.errors import SchemeError
from lowbit.plan import Plan
from lowbit.schemes import (
    Affine,
    Encoding,
    Grouped,
    LearnedBasis,
    decoded,
    encoding_from_dict,
    encoding_from_fields,
)
from lowbit.schemes.encoding import SMALLEST, in_groups, out_of_groups
from lowbit.schemes.fitting.fit import Fit
from lowbit.schemes.specification import specification

ROWS = 3


def sets_of(scheme: str, count: int) -> Encoding:
    random = np.random.default_rng(count)
    scale = random.uniform(0.1, 2, count)
    if scheme == "affine":
        return Affine(4, scale, random.integers(0, 16, count))
    return LearnedBasis(scale[:, None] * [1, 2, 5], random.normal(size=count), np.zeros(count))


@pytest.fixture(params=["affine", "lq"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize(("length", "group"), [(1, 1), (7, 3), (64, 32), (70, 32), (5, 9)])
def test_every_group_is_coded_by_its_own_set(scheme: str, length: int, group: int) -> None:
    groups = -(-length // group)
    encoding = Grouped(sets_of(scheme, ROWS * groups), group)
    x = np.random.default_rng(0).normal(size=(ROWS, length))
    codes = encoding.encode(x)
    for row in range(ROWS):
        for n in range(length):
            one = encoding.block(n // group, groups)
            assert codes[row, n] == one.encode(np.tile(x[row, n], (ROWS, 1)))[row, 0]
            assert decoded(encoding, codes)[row, n] == one.levels()[row, codes[row, n]]
    np.testing.assert_array_equal(encoding.decode(codes), decoded(encoding, codes).astype(np.float32))
    np.testing.assert_array_equal(out_of_groups(in_groups(x, group), x.shape), x)


def test_rows_of_more_axes_are_one_run_of_numbers(scheme: str) -> None:
    encoding, x = Grouped(sets_of(scheme, 3 * 4), 5), np.random.default_rng(1).normal(size=(3, 3, 2, 3))
    flat = encoding.encode(x.reshape(3, -1))
    np.testing.assert_array_equal(encoding.encode(x), flat.reshape(x.shape))


def test_what_is_done_to_rows_is_done_to_their_groups(scheme: str) -> None:
    encoding = Grouped(sets_of(scheme, ROWS * 3), 4)
    codes = encoding.encode(np.random.default_rng(2).normal(size=(ROWS, 11)))
    levels, rows = decoded(encoding, codes), np.array([True, False, True])
    scaled = encoding.scaled([0.5, 1, 4])
    assert scaled is not None
    np.testing.assert_allclose(decoded(scaled, codes), levels * [[0.5], [1], [4]], rtol=1e-6)
    turned = encoding.opposite(codes, rows)
    assert turned is not None
    np.testing.assert_array_equal(decoded(*turned), np.where(rows[:, None], -levels, levels))
    silent = decoded(*encoding.silent(codes, rows))
    assert (np.abs(silent[rows]) <= 10 * SMALLEST).all()
    np.testing.assert_array_equal(silent[~rows], levels[~rows])
    both = Grouped.joined([encoding, scaled], [ROWS, ROWS])
    expected = np.concatenate([levels, decoded(scaled, codes)])
    np.testing.assert_array_equal(decoded(both, np.concatenate([codes, codes])), expected)


def test_fields_and_text_keep_it(scheme: str) -> None:
    encoding = Grouped(sets_of(scheme, 6), 4)
    assert encoding_from_fields(scheme, encoding.fields()) == encoding
    assert encoding_from_dict(json.loads(json.dumps(encoding.to_dict()))) == encoding
    assert encoding != encoding.sets and encoding.scheme == scheme


@pytest.mark.parametrize("group", [0, -3, "4", 1.5, None])
def test_groups_of_no_length_are_refused(group: object) -> None:
    with pytest.raises(SchemeError):
        encoding_from_dict({**Grouped(sets_of("affine", 6), 4).to_dict(), "group": group})


def test_groups_of_groups_are_refused() -> None:
    with pytest.raises(SchemeError, match="impossible groups"):
        Grouped(Grouped(sets_of("affine", 6), 4), 2)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("length", [32, 33, 50])
def test_the_fit_of_a_group_knows_no_other(length: int, symmetric: bool) -> None:
    form = specification("affine:3:group=16")
    weights = np.random.default_rng(length).normal(size=(4, length))
    plan = Plan(weights=form, symmetric=symmetric)
    found, fit = form.fit.weights(weights, form, plan), form.row.fit
    assert isinstance(found, Grouped) and isinstance(fit, Fit)
    for index in range(-(-length // 16)):
        own = fit.weights(weights[:, 16 * index : 16 * index + 16], form, plan)
        assert found.block(index, -(-length // 16)) == own
