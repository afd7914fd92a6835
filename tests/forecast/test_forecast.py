"""What is forecast beside what quantization then gives: equal bytes, kept budgets, errors in their order."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest

import lowbit
from lowbit.errors import PlanError, UsageError
from lowbit.forecast import Forecast, forecast, purpose
from lowbit.forecast.forecast import file_bytes
from lowbit.forecast.writing import write_front, write_plan
from lowbit.ir import Graph
from lowbit.plan import Plan
from lowbit.zoo.trained import trained
from tests.command import Command
from tests.ir.networks import float_convnet, float_mlp

SETTINGS = ("affine:8", "lq:2", "lq:1", "lq:2/affine:8")


LIMIT = 2048


@pytest.fixture(scope="module")
def small() -> Forecast:
    graph = float_mlp((24, 20, 16, 5))
    return forecast(graph, _noise(graph, 96), settings=SETTINGS, targets=("cpu", f"c99:flash={LIMIT}"))


def test_bytes_are_those_of_the_file_that_comes(small: Forecast) -> None:
    for row in small.uniform:
        made, _ = lowbit.quantize(small.graph, _noise(small.graph, 32), plan=row.plan, check=False)
        assert row.bytes == file_bytes(made), row.name


def test_fewer_bits_are_at_more_risk_in_every_layer(small: Forecast) -> None:
    for layer in small.risks.layers:
        errors = [small.risks.errors[layer, setting] for setting in small.risks.settings[:3]]
        assert errors == sorted(errors)


def test_what_exceeds_a_limit_says_by_how_much_and_is_not_recommended(small: Forecast) -> None:
    rows = [row.costs["c99"] for row in small.uniform]
    over = [cost for cost in rows if cost.figures["flash"] > LIMIT]
    assert over
    assert [cost for cost in rows if cost.why] == over
    for cost in over:
        assert f"{cost.figures['flash'] - LIMIT:,.0f} above 2,048" in cost.why
    best = small.recommended
    assert best is None or (best.works and best.keeps())


def test_a_mixture_keeps_its_budget_exactly_and_is_no_worse_than_a_uniform_one(small: Forecast) -> None:
    rows = sorted(small.uniform, key=lambda row: row.bytes)
    for budget in (rows[0].bytes, rows[1].bytes - 1, rows[2].bytes, 20_000):
        found = small.mixed(budget)
        made, _ = lowbit.quantize(small.graph, _noise(small.graph, 32), plan=found.plan, check=False)
        assert found.bytes == file_bytes(made) <= budget
        assert found.error <= min(row.error for row in rows if row.bytes <= budget)


def test_a_budget_that_is_too_small_names_the_least(small: Forecast) -> None:
    with pytest.raises(PlanError, match=f"{small.uniform[2].bytes:,} bytes at least"):
        small.mixed(100)


def test_plan_files_say_what_was_planned(small: Forecast, tmp_path: Path) -> None:
    mixtures = small.front()
    assert any(len(set(row.chosen.values())) > 1 for row in mixtures)
    assert [row.bytes for row in mixtures] == sorted(row.bytes for row in mixtures)
    assert [row.error for row in mixtures] == sorted((row.error for row in mixtures), reverse=True)
    for path, row in zip(write_front(small, mixtures, tmp_path / "front"), mixtures, strict=True):
        assert Plan.read(path) == row.plan
    facts = json.loads((tmp_path / "front" / "front.json").read_text())
    assert [each["bytes"] for each in facts["front"]] == [row.bytes for row in mixtures]
    write_plan(small.uniform[0], tmp_path / "plan.toml")
    assert Plan.read(tmp_path / "plan.toml") == small.uniform[0].plan


def test_a_network_without_classes_and_without_data_has_risks_too() -> None:
    found = forecast(_regression(), settings=("affine:8", "lq:2"), targets=())
    assert found.data == "random pixels"
    assert [row.agreement for row in found.uniform] == [None, None]
    assert 0 < found.uniform[0].error < found.uniform[1].error
    assert "agreement" in found.uniform[0].to_dict()


def test_convolutions_and_layers_that_stay_float() -> None:
    graph = float_convnet()
    found = forecast(graph, settings=("lq:2", "lq:1"), keep=("first",), targets=())
    assert found.risks.layers == tuple(layer for layer in found.risks.layers if layer != "conv1")
    for row in found.uniform:
        made, _ = lowbit.quantize(graph, _noise(graph, 32), plan=row.plan, check=False)
        assert row.bytes == file_bytes(made)


def test_words_that_there_are_not() -> None:
    with pytest.raises(UsageError, match="xc7z020"):
        purpose("xc7z0200")
    with pytest.raises(UsageError, match=r"flash=….*ram=…"):
        purpose("c99:rom=3")
    with pytest.raises(PlanError, match="float network"):
        forecast(trained("digits"), settings=("float",))


def test_the_command(command: Command, tmp_path: Path) -> None:
    model = tmp_path / "digits.onnx"
    lowbit.write(trained("digits"), model)
    plan = tmp_path / "plan.toml"
    words = ("plan", str(model), "--data", "digits", "--try", "lq:2", "--try", "lq:3", "-o", str(plan))
    code, said, _ = command(*words, "--agreement", "0.9", "--samples", "64")
    assert code == 0, said
    assert "Take lq:2" in said
    assert f"--plan{plan}" in "".join(said.split())
    low = tmp_path / "digits.circle"
    code, said, _ = command(
        "quantize", str(model), "-o", str(low), "--data", "digits", "--plan", str(plan), "--json"
    )
    assert code == 0
    code, said, _ = command(*words, "--json", "--budget", "100")
    assert code == 6
    assert "bytes at least" in json.loads(said)["error"]["found"]


def test_the_next_command_makes_what_is_recommended(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lowbit.write(trained("digits"), "digits.onnx")
    options = ("--data", "digits", "--try", "lq:2/affine:8", "--keep", "last", "--samples", "64")
    code, said, _ = command("plan", "digits.onnx", *options, "--agreement", "0.9")
    assert code == 0, said
    words = shlex.split(said.partition("Next: lowbit ")[2])
    assert words[:4] == ["quantize", "digits.onnx", "-o", "digits.circle"]
    code, said, _ = command(*words)
    assert code == 0, said
    made = str(lowbit.read("digits.circle").metadata["quantization"])
    assert "lq:2" in made and "affine:8" in made
    code, said, _ = command("plan", "digits.onnx", *options, "--try", "lq:3", "--budget", "20K")
    assert "-o plan.toml" in said


def _noise(graph: Graph, count: int) -> np.ndarray:
    shape = [length for length in graph.value(graph.inputs[0]).shape[1:] if isinstance(length, int)]
    return np.random.default_rng(5).random((count, *shape)).astype(np.float32)


def _regression() -> Graph:
    """Return a network whose output is one number."""
    graph = float_mlp((12, 9, 1))
    graph.nodes.pop()  # the softmax
    graph.outputs = ("a2",)
    del graph.values["y"]
    return graph


def test_a_target_that_is_said_twice_is_refused() -> None:
    """Of two limits of one target one would be lost."""
    with pytest.raises(UsageError, match="c99:flash=100 and c99:flash=90K"):
        forecast(trained("digits"), targets=("c99:flash=100", "cpu", "c99:flash=90K"))
