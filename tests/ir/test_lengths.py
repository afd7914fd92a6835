"""Open lengths count as numbers do: what arithmetic says of names holds for numbers in their place."""

import operator
from collections.abc import Callable

import numpy as np
import pytest

from lowbit.ir.lengths import Length, as_array, dimension_of, length_of, product, with_known

NAMES = ("batch", "frames")
OPERATIONS: tuple[Callable[[object, object], object], ...] = (operator.add, operator.sub, operator.mul)


@pytest.mark.parametrize("seed", range(40))
def test_arithmetic_holds_for_all_numbers(seed: int) -> None:
    random = np.random.default_rng(seed)
    known = {name: int(random.integers(1, 9)) for name in NAMES}
    length, number = length_of("batch"), known["batch"]
    for _ in range(5):
        other = random.choice(["batch", "frames", "number"])
        value = int(random.integers(-4, 5)) if other == "number" else known[other]
        operand = value if other == "number" else length_of(other)
        apply = OPERATIONS[random.integers(len(OPERATIONS))]
        pair = random.permutation(2)
        length = apply(*([length, operand][k] for k in pair))  # type: ignore[assignment]
        number = apply(*([number, value][k] for k in pair))  # type: ignore[assignment]
    assert with_known(length, known) == number
    assert length_of(dimension_of(length)) == length, "the text says all there is"


@pytest.mark.parametrize(
    "text", ["batch", "12*batch", "2*frames-1", "batch*frames", "a // 2", "N-?", "b-a", "0x"]
)
def test_a_dimension_of_any_text_stays_as_it_is(text: str) -> None:
    assert dimension_of(length_of(text)) == text


def test_division_comes_out_even_or_not_at_all() -> None:
    batch, frames = length_of("batch"), length_of("frames")
    assert (batch * 12) // 12 == batch and (batch * 12) // batch == 12 and (batch * frames) // frames == batch
    for divide in (lambda: batch // 2, lambda: batch // frames, lambda: 12 // (batch + 1)):
        with pytest.raises(ArithmeticError):
            divide()


def test_rows_are_numbers_where_nothing_is_open() -> None:
    assert as_array([2, 3]).dtype == np.int64 and as_array([2, length_of("n")]).dtype == object
    assert product((2, 3)) == 6 and product((2, "n", 3)) == length_of("6*n")
    assert isinstance(length_of("n"), Length) and length_of("n") != 1
