"""Every element: all pairs of operands, long sums at the extremes, stalls; what it refuses."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("amaranth")
from lowbit.errors import NumericError, PlanError
from lowbit.rtl.elements import ELEMENTS, Element, MultiplyElement, ShiftElement, XnorElement
from lowbit.rtl.elements.element import Integers
from lowbit.schemes import PowerOfTwo
from tests.rtl.elements.streams import codes, models, stream

ALL_PAIRS = [
    *(
        MultiplyElement(1, 1, a, w, signed_activations=s)
        for a in (1, 2, 4)
        for w in (1, 3)
        for s in (False, True)
    ),
    *(
        ShiftElement(1, 1, a, w, signed_activations=s)
        for a in (1, 2, 4)
        for w in (2, 3, 4)
        for s in (False, True)
    ),
    XnorElement(1, 1, target="ecp5"),
]
LONG = [
    *(MultiplyElement(lanes, 3, 8, 8, signed_activations=True) for lanes in (2, 3, 5, 8)),
    *(MultiplyElement(4, 2, 16, 16, signed_activations=s) for s in (False, True)),
    *(ShiftElement(lanes, 3, 8, 4, signed_activations=True) for lanes in (2, 3, 5, 8)),
    *(ShiftElement(4, 5, 16, 4, signed_activations=s) for s in (False, True)),
    *(XnorElement(lanes, beats, target="ecp5") for lanes in (1, 2, 3, 7, 31, 64) for beats in (1, 3)),
]


def fitted(element: Element, weights: Integers) -> Element:
    return element.fitted(weights.reshape(len(weights), -1))


@pytest.mark.parametrize("element", ALL_PAIRS, ids=str)
def test_all_pairs_of_codes(element: Element) -> None:
    a, w = np.indices((1 << element.activation_bits, 1 << element.weight_bits)).reshape(2, -1, 1, 1)
    assert stream(fitted(element, w), a, w) == models(element, a, w)


@pytest.mark.parametrize("stall", [0.0, 0.4])
@pytest.mark.parametrize("element", LONG, ids=str)
def test_sums_of_several_beats(element: Element, stall: float) -> None:
    """The accumulator is as narrow as the weights allow, and the first sums reach its ends."""
    a, w = codes(element, 16)
    assert stream(fitted(element, w), a, w, stall=stall) == models(element, a, w)


@pytest.mark.parametrize("element", LONG, ids=str)
def test_the_range_of_sums_is_exact(element: Element) -> None:
    a, w = codes(element, 4)
    found, sums = element.sum_range(w.reshape(4, -1)), models(element, a, w)
    assert (found.low, found.high) == (min(sums), max(sums))


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_shifts_are_the_powers_of_two_of_the_scheme(bits: int) -> None:
    scheme = PowerOfTwo(bits, np.ones(1, np.float32))
    assert np.array_equal(ShiftElement(1, 1, 8, bits).weight_values(), scheme.integer_levels()[0])


def test_every_element_is_listed_by_its_name() -> None:
    assert all(name == element.kind for name, element in ELEMENTS.items())


@pytest.mark.parametrize(
    ("make", "where"),
    [
        (lambda: MultiplyElement(0, 1, 8, 8), "lanes"),
        (lambda: MultiplyElement(1, 0, 8, 8), "beats"),
        (lambda: MultiplyElement(1, 1, 17, 8), "activation bits"),
        (lambda: MultiplyElement(1, 1, 8, 17), "weight bits"),
        (lambda: ShiftElement(1, 1, 8, 5), "weight bits"),
        (lambda: XnorElement(1, 1, 2, 1), "activation bits"),
        (lambda: XnorElement(1, 1, 1, 2), "weight bits"),
        (lambda: replace(XnorElement(1, 1), accumulator_bits=49), "accumulator bits"),
    ],
)
def test_impossible_elements_are_refused(make, where: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(PlanError) as refused:
        make()
    error = refused.value
    assert error.where == where and error.expected and error.found and error.remedy


def test_sums_wider_than_any_adder_are_refused_with_their_node() -> None:
    element = MultiplyElement(1 << 16, 2, 16, 16)
    with pytest.raises(NumericError, match="overflow") as refused:
        element.fitted(np.full((1, 1 << 17), -1 << 15), where="dense_2")
    assert refused.value.where == "dense_2" and "49 bits" in refused.value.found
