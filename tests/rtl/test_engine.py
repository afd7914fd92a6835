"""LST engines in Amaranth's simulator: small shapes, both variants, streams with gaps and stalls, resets."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("amaranth")
from lowbit.rtl.lst.network import LstNetwork
from lowbit.rtl.lst.plan import Variant, plan_lst
from tests.rtl.lst_stream import stream
from tests.rtl.networks import expected_beats, network_and_bench, random_network, random_pictures

VARIANTS: tuple[Variant, ...] = ("shared", "pipelined")


def sent(
    network: LstNetwork, variant: Variant, pictures: npt.NDArray[np.uint8], **disturbances: Any
) -> tuple[list[list[int]], list[int]]:
    """Return `stream` of a variant."""
    return stream(plan_lst(network, variant), pictures, **disturbances)


SHAPES = [
    {"rows": 1, "columns": 1, "a": 1, "b": 1, "classes": 1},
    {"rows": 1, "columns": 3, "a": 2, "b": 1, "classes": 2},
    {"rows": 4, "columns": 4, "a": 4, "b": 4, "classes": 4},
    {"rows": 5, "columns": 7, "a": 3, "b": 6, "classes": 4},
    {"rows": 9, "columns": 2, "a": 4, "b": 11, "classes": 10, "n": 2, "reach": 3.0},
    {"rows": 3, "columns": 4, "a": 8, "b": 5, "classes": 2, "n": 9, "rounding": "floor", "function": "Relu"},
    {"rows": 8, "columns": 8, "a": 8, "b": 8, "classes": 8},
    # The bits of a row number, of a slot and of an output all differ.
    {"rows": 8, "columns": 8, "a": 4, "b": 20, "classes": 2, "m": 3, "n": 5},
    {"rows": 2, "columns": 9, "a": 5, "b": 3, "classes": 2},
    # The activation changes once, so that its index is a sign alone.
    {
        "rows": 3,
        "columns": 2,
        "a": 2,
        "b": 2,
        "classes": 2,
        "m": 6,
        "n": 0,
        "reach": 9.0,
        "function": "Sigmoid",
    },
    # A class has more bits than a score.
    {"rows": 1, "columns": 1, "a": 1, "b": 1, "classes": 3, "m": 2, "n": 0, "reach": 0.6},
]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_back_to_back_pictures(shape: dict, variant: Variant) -> None:  # type: ignore[type-arg]
    network, bench = network_and_bench(3, **shape)
    results, finished = sent(network, variant, bench.pictures)
    assert results == expected_beats(network, bench)
    assert set(np.diff(finished).tolist()) == {plan_lst(network, variant).cycles_per_image}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("gap_and_stall", [(0.4, 0.0), (0.0, 0.7), (0.3, 0.3), (0.9, 0.0)])
def test_gaps_and_stalls(gap_and_stall: tuple[float, float], variant: Variant) -> None:
    network, bench = network_and_bench(5, 5, 4, 4, 5, 3)
    gap, stall = gap_and_stall
    assert sent(network, variant, bench.pictures, gap=gap, stall=stall)[0] == expected_beats(network, bench)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("reset_after", [1, 15, 16, 17, 40, 55])
def test_reset_in_mid_picture(reset_after: int, variant: Variant) -> None:
    network, bench = network_and_bench(4)
    results, _ = sent(network, variant, bench.pictures, gap=0.1, stall=0.1, reset_after=reset_after)
    assert results == expected_beats(network, bench)


@pytest.mark.parametrize("variant", VARIANTS)
def test_of_equal_scores_the_first_wins(variant: Variant) -> None:
    network = random_network(classes=4)
    network.output.weights[:], network.output.bias[:] = 0, [5, 7, 7, 7]
    assert sent(network, variant, random_pictures(network, 2))[0] == [[640, 896, 896, 896, 1]] * 2


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("packet", [2, 3])
def test_a_packet_ends_where_it_ended(packet: int, variant: Variant) -> None:
    network, bench = network_and_bench(6)
    results, _ = sent(network, variant, bench.pictures, gap=0.1, stall=0.1, packet=packet)
    assert results == expected_beats(network, bench)


def test_no_result_waits_for_the_next_picture() -> None:
    network = random_network()
    assert len(sent(network, "shared", random_pictures(network, 1))[0]) == 1
