"""Endings without hardware: multiplications equal their function at every number, tables every change."""

import numpy as np
import numpy.typing as npt
import pytest

from lowbit.rtl.array.endings import Meaning, Scaled, Steps, ending_of, merged, runs

Integers = npt.NDArray[np.int64]


def rounding(seed: int, top: int, low: int = 0) -> Meaning:
    """Return a rounding of three channels in two border classes, half to even, clipped."""
    random = np.random.default_rng(seed)
    slope, start = random.uniform(0.01, 0.9, 3), random.uniform(-20, top / 2, (2, 3)).ravel()

    def rank(numbers: Integers, rows: npt.NDArray[np.intp]) -> Integers:
        line = np.resize(slope, 6)[rows, None] * numbers + start[rows, None]
        return np.clip(np.rint(line), low, top).astype(np.int64)

    return Meaning(rank, np.resize(slope, 6), start, top, -3000, 3000, (2, 1, 3))


def made(ending: Scaled | Steps, numbers: Integers) -> Integers:
    """Return the ranks that an ending gives, ``[rows, numbers]``."""
    if isinstance(ending, Steps):
        steps = ending.thresholds.reshape(-1, ending.thresholds.shape[-1])
        counts = (numbers[None, :, None] > steps[:, None]).sum(axis=2)
        return counts if ending.table is None else ending.table[counts]
    multiplier, addend = ending.multiplier.reshape(-1, 1), ending.addend.reshape(-1, 1)
    return np.clip((numbers * multiplier + addend) >> ending.shift, ending.low, ending.top)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("top", "low"), [(7, 0), (255, 0), (255, 100), (1000, 500), (9000, 200)])
def test_an_ending_equals_its_function_at_every_number(seed: int, top: int, low: int) -> None:
    meaning = rounding(seed, top, low)
    ending, numbers = ending_of(meaning), np.arange(-3000, 3001)
    assert isinstance(ending, Steps if top == 7 else Scaled)
    wanted = meaning.rank(np.broadcast_to(numbers, (6, len(numbers))), np.arange(6))
    assert np.array_equal(made(ending, numbers), wanted)


def test_a_multiplication_that_is_one_off_is_not_taken() -> None:
    """A function that rounds with a kink has no multiplication; its 255 thresholds are compared."""
    plain = rounding(1, 255)

    def kinked(numbers: Integers, rows: npt.NDArray[np.intp]) -> Integers:
        return plain.rank(np.where(numbers > 40, 2 * numbers - 40, numbers), rows)

    meaning = Meaning(kinked, plain.slope, plain.start, 255, -3000, 3000, plain.shape)
    ending, numbers = ending_of(meaning), np.arange(-3000, 3001)
    assert isinstance(ending, Steps)
    wanted = kinked(np.broadcast_to(numbers, (6, len(numbers))), np.arange(6))
    assert np.array_equal(made(ending, numbers), wanted)


@pytest.mark.parametrize("seed", range(5))
def test_a_function_that_falls_has_a_table(seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.integers(0, 4, (3, 9)).repeat(20, axis=1)  # changes at every twentieth number, or not
    meaning = Meaning(
        lambda numbers, rows: values[rows[:, None], numbers], np.ones(3), np.zeros(3), 3, 0, 179, (1, 1, 3)
    )
    ending = runs(meaning)
    assert ending is not None and np.array_equal(made(ending, np.arange(180)), values)


def test_orders_are_found_in_what_is_made_of_them() -> None:
    random = np.random.default_rng(3)
    drawn = [random.integers(0, 5, random.integers(1, 9)).tolist() for _ in range(20)]
    orders = [tuple(rank for at, rank in enumerate(one) if not at or rank != one[at - 1]) for one in drawn]
    table = merged(orders)
    for order in orders:
        rest = iter(table)
        assert all(any(rank == other for other in rest) for rank in order)
