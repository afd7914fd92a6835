"""Numbers become ranks exactly as thresholds say, in whatever way is smaller."""

import numpy as np
import pytest

from lowbit.rtl.array.endings import Scaled, Steps
from lowbit.rtl.integers import Range
from lowbit.rtl.unroll.circuit import Above, Circuit, Clip, Input
from lowbit.rtl.unroll.endings import Number, Place, coded
from lowbit.rtl.unroll.sharing import Term

HERE = Place(0, 0, 0)
LOW, HIGH = -300, 500


def ranks(
    ending: Steps | Scaled, term: Term, gain: int, constant: int
) -> tuple[Circuit, np.ndarray, np.ndarray]:
    """Return the circuit, what it gives for all inputs, and the numbers that they are."""
    circuit = Circuit()
    value = circuit.add(Input(0), Range(LOW, HIGH))
    assert value == term.value
    number = coded(circuit, Number(term, constant, gain), ending, HERE)
    x = np.arange(LOW, HIGH + 1)
    found = np.full(len(x), number.constant)
    if number.term is not None:
        found = found + circuit.evaluate(x[:, None], [number.value])[:, 0]
    return circuit, found, gain * term.sign * (x << term.shift) + constant


def steps(*numbers: int) -> Steps:
    """Return thresholds of one channel."""
    return Steps(np.array(numbers, np.int64).reshape(1, 1, 1, -1))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("seed", range(12))
def test_thresholds_of_chance(seed: int, sign: int) -> None:
    random = np.random.default_rng(seed)
    gain, shift, constant = (int(random.integers(*ends)) for ends in ((1, 5), (0, 3), (-99, 99)))
    reach = 600 * gain << shift
    own = np.sort(random.integers(-reach, reach, random.integers(1, 16)))
    _, found, numbers = ranks(steps(*own), Term(0, shift, sign), gain, constant)
    assert np.array_equal(found, (numbers[:, None] > own).sum(axis=1))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("multiplier", "shift", "top", "low"),
    [(1, 4, 63, 0), (37, 9, 63, 0), (3, 5, 40, 5), (1, 0, 3000, 0), (13, 3, 2047, 7)],
)
def test_multiplications(multiplier: int, shift: int, top: int, low: int, sign: int) -> None:
    one = np.ones((1, 1, 1), np.int64)
    ending = Scaled(one * multiplier, one * 777, shift, top, low)
    _, found, numbers = ranks(ending, Term(0, 1, sign), 3, -50)
    assert np.array_equal(found, np.clip((numbers * multiplier + 777) >> shift, low, top))


def test_even_steps_of_a_power_of_two_are_a_shift() -> None:
    circuit, found, numbers = ranks(steps(*range(7, 7 + 16 * 15, 16)), Term(0, 0, 1), 1, 0)
    assert any(isinstance(operation, Clip) for operation in circuit.operations)
    assert not any(isinstance(operation, Above) for operation in circuit.operations)
    assert np.array_equal(found, np.clip((numbers + 8) // 16, 0, 15))


def test_channels_share_comparisons() -> None:
    circuit = Circuit()
    value = circuit.add(Input(0), Range(LOW, HIGH))
    for _ in range(2):
        coded(circuit, Number(Term(value, 0, 1), 0), steps(-3, 40, 300), HERE)
    assert sum(isinstance(operation, Above) for operation in circuit.operations) == 3


def test_ranks_that_fall_go_by_a_table() -> None:
    ending = Steps(np.array([0, 100], np.int64).reshape(1, 1, 1, 2), np.array([2, 0, 1]))
    _, found, numbers = ranks(ending, Term(0, 0, 1), 1, 0)
    assert np.array_equal(found, np.array([2, 0, 1])[(numbers[:, None] > [0, 100]).sum(axis=1)])
