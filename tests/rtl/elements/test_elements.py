"""Every element: all pairs of operands, long sums at the extremes, stalls; what it refuses."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("amaranth")
from lowbit.errors import NumericError, PlanError
from lowbit.rtl.elements import ELEMENTS, Element, MultiplyElement, PlanesElement, ShiftElement, XnorElement
from lowbit.rtl.elements.element import Integers
from lowbit.rtl.integers import Range
from lowbit.schemes import PowerOfTwo
from tests.rtl.elements.streams import codes, coefficients, models, stream

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
    XnorElement(1, 1, target="generic"),
]
LONG = [
    *(MultiplyElement(lanes, 3, 8, 8, signed_activations=True) for lanes in (2, 3, 5, 8)),
    *(MultiplyElement(4, 2, 16, 16, signed_activations=s) for s in (False, True)),
    *(ShiftElement(lanes, 3, 8, 4, signed_activations=True) for lanes in (2, 3, 5, 8)),
    *(ShiftElement(4, 5, 16, 4, signed_activations=s) for s in (False, True)),
    *(XnorElement(lanes, beats, target="generic") for lanes in (1, 2, 3, 7, 31, 64) for beats in (1, 3)),
]


PLANES = [
    *(
        PlanesElement(1, 1, 2, w, activation_multipliers=(1, 2), largest_coefficient=3, target="generic")
        for w in (1, 2)
    ),
    PlanesElement(3, 2, 1, 1, target="generic"),
    PlanesElement(5, 2, 1, 3, largest_coefficient=127, target="generic"),
    PlanesElement(7, 3, 3, 1, activation_multipliers=(1, 2, 4), target="generic"),
    PlanesElement(33, 3, 2, 2, activation_multipliers=(3, 8), largest_coefficient=88, target="generic"),
    PlanesElement(4, 1, 4, 4, activation_multipliers=(1, 5, 6, 9), largest_coefficient=64, target="generic"),
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


@pytest.mark.parametrize("stall", [0.0, 0.4])
@pytest.mark.parametrize("element", PLANES, ids=str)
def test_planes_with_coefficients_of_each_channel(element: PlanesElement, stall: float) -> None:
    (a, w), channels = codes(element, 24), coefficients(element, 24)
    element = element.fitted(w.reshape(len(w), -1), channels)
    assert stream(element, a, w, channels, stall=stall) == models(element, a, w, channels)


def test_planes_of_two_bits_for_all_pairs_and_coefficients() -> None:
    shape = (4, 4, 4, 4)
    a, w, low, high = np.indices(shape).reshape(4, -1)
    element = PlanesElement(
        1, 1, 2, 2, activation_multipliers=(1, 2), largest_coefficient=3, target="generic"
    )
    channels, a, w = np.stack([low, high], axis=1), a.reshape(-1, 1, 1), w.reshape(-1, 1, 1)
    element = element.fitted(w.reshape(len(w), -1), channels)
    assert stream(element, a, w, channels) == models(element, a, w, channels)


@pytest.mark.parametrize("element", LONG, ids=str)
def test_the_range_of_sums_is_exact(element: Element) -> None:
    a, w = codes(element, 4)
    found, sums = element.sum_range(w.reshape(4, -1)), models(element, a, w)
    assert (found.low, found.high) == (min(sums), max(sums))


def test_a_sum_that_is_short_of_beats_fits_as_well() -> None:
    """Planes of opposite signs: a product is at least -3, what is skipped adds -21."""
    element = PlanesElement(1, 4, 2, 2, activation_multipliers=(1, 2), largest_coefficient=4)
    weights, own = np.full((1, 4), 2), np.array([[3, 4]])
    assert element.sum_range(weights, own) == Range(-12, 12)
    assert element.sum_range(weights, own, short=True) == Range(-84, 12)
    assert element.skipped_beat(own).tolist() == [-21]


@pytest.mark.parametrize("element", [*LONG, *PLANES], ids=str)
def test_differences_of_sums_are_multiples_of_their_step(element: Element) -> None:
    (a, _), w = codes(element, 40), codes(element, 1, seed=3)[1]
    own = coefficients(element, 1)[0] if element.coefficient_bits else None
    sums, step = [element.model(one, w[0], own) for one in a], element.sum_step(w.ravel(), own)
    assert np.gcd.reduce(np.diff(sums)) % step == 0


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
        (lambda: PlanesElement(1, 1, 2, 1), "activation multipliers"),
        (lambda: PlanesElement(1, 1, 2, 1, activation_multipliers=(0, 1)), "activation multiplier"),
        (lambda: PlanesElement(1, 1, 1, 1, largest_coefficient=0), "largest coefficient"),
        (lambda: PlanesElement(1, 1, 1, 2, largest_coefficient=3).pack_coefficients([4, 1]), "coefficient"),
        (lambda: PlanesElement(1 << 9, 1 << 8, 1, 2, target="ecp5"), "bits of a total"),
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
