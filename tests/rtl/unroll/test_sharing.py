"""Constant multiples as few adders."""

from itertools import pairwise

import numpy as np
import pytest

from lowbit.rtl.integers import Range
from lowbit.rtl.unroll.circuit import Circuit, Input, Sum
from lowbit.rtl.unroll.digits import signed_digits
from lowbit.rtl.unroll.sharing import BLOCK, shared


def test_signed_digits_are_canonical() -> None:
    for number in range(-300, 300):
        digits = signed_digits(number)
        assert sum(sign << shift for shift, sign in digits) == number
        shifts = [shift for shift, _ in digits]
        assert all(after - before > 1 for before, after in pairwise(shifts))


@pytest.mark.parametrize("weights", [1, 6, 200])
@pytest.mark.parametrize("inputs", [3, BLOCK + 5])
def test_sums_are_exact_and_so_are_their_ranges(weights: int, inputs: int) -> None:
    random = np.random.default_rng(weights * inputs)
    matrix = random.integers(-weights, weights + 1, (inputs, 4)) * (random.random((inputs, 4)) < 0.7)
    circuit = Circuit()
    ranges = [Range(0, 1), Range(-3, 4), Range(0, 9), Range(-8, -1)]
    values = [circuit.add(Input(number), ranges[number % 4]) for number in range(inputs)]
    rows = [{v: int(w) for v, w in zip(values, column, strict=True) if w} for column in matrix.T]
    terms = shared(circuit, rows)
    low, high = ([getattr(ranges[at % 4], end) for at in range(inputs)] for end in ("low", "high"))
    x = random.integers(low, np.array(high) + 1, (40, inputs))
    # The inputs with which each sum is largest and least reach its range.
    ends = np.concatenate([np.where(matrix.T > 0, high, low), np.where(matrix.T > 0, low, high)])
    for inputs_ in (x, ends):
        found = circuit.evaluate(inputs_, range(len(circuit)))
        want = inputs_ @ matrix
        for term, column in zip(terms, want.T, strict=True):
            own = 0 * column if term is None else term.sign * (found[:, term.value] << term.shift)
            assert np.array_equal(own, column)
        assert all(
            c.min() >= r.low and c.max() <= r.high for c, r in zip(found.T, circuit.ranges, strict=True)
        )
    for number, term in enumerate(terms):
        if term is not None:
            reached = circuit.evaluate(ends[[number, number + 4]], [term.value]).ravel()
            assert {*reached.tolist()} == {circuit.ranges[term.value].low, circuit.ranges[term.value].high}


def test_what_outputs_share_is_made_once() -> None:
    circuit = Circuit()
    x, y, z = (circuit.add(Input(number), Range(0, 7)) for number in range(3))
    shared(circuit, [{x: 5, y: -10, z: 1}, {x: 1, y: -2}, {x: -4, y: 8, z: 3}])
    assert sum(isinstance(operation, Sum) for operation in circuit.operations) == 4  # of 11 signed digits


def test_a_sum_of_nothing_has_no_term() -> None:
    assert shared(Circuit(), [{}]) == [None]
