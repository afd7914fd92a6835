"""The table of back ends: each says before it is asked to run what keeps it from a graph, and is right."""

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from inspect import signature
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")

from lowbit import backends
from lowbit.backends import BACKENDS, backend_of
from lowbit.blockers import Blocker, grouped
from lowbit.errors import DataError, LowbitError, MissingExtra, PlanError
from lowbit.formats import without_unused_inputs
from lowbit.formats.onnx import from_proto
from lowbit.ir import Graph, evaluate
from tests.conformance.odd_graphs.families import FAMILIES, draw
from tests.conformance.odd_graphs.schemes import SCHEMES
from tests.formats.test_target import network
from tests.ir.networks import float_mlp, lowbit_mlp

FOLDER = Path(backends.__file__).parent


def drawn(family: str, index: int) -> Iterator[tuple[Graph, list[np.ndarray]]]:
    """Yield an odd graph, and what one scheme makes of it, with samples."""
    one = draw(family, index)
    try:
        graph = without_unused_inputs(from_proto(one.model))
        rows = graph.value(graph.inputs[0]).shape[0]
        count = rows if isinstance(rows, int) else 3
        samples = [np.asarray(one.samples[name], np.float32) for name in graph.inputs]
        yield graph, [array[:count] for array in samples]
        if len(graph.inputs) == 1:
            quantize = list(SCHEMES.values())[(list(FAMILIES).index(family) + index) % len(SCHEMES)]
            yield quantize(graph, samples[0]), [samples[0][:count]]
    except LowbitError:
        return


def test_every_row_has_a_module_and_every_module_a_row() -> None:
    modules = {path.stem for path in FOLDER.glob("*.py")} - {"__init__", "backend"}
    assert modules == set(BACKENDS)
    for name in BACKENDS:
        module = import_module(f"lowbit.backends.{name}")
        assert set(signature(module.blockers).parameters) == {"graph"}
        assert {"graph"} < set(signature(module.load).parameters)


def test_the_table_is_light() -> None:
    code = "import json, sys, lowbit.backends; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)
    assert not {"numpy", "onnx", "onnxruntime", "amaranth", "torch"} & set(loaded)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(PlanError, match="unknown backend"):
        backend_of("fpga")


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_not_blocked_runs_and_what_is_blocked_does_not(family: str) -> None:
    for graph, samples in drawn(family, 3):
        for name, backend in BACKENDS.items():
            check(graph, name, backend.blockers(graph), samples)


def check(graph: Graph, name: str, blockers: list[Blocker], samples: list[np.ndarray]) -> None:
    try:
        runner = BACKENDS[name].load(graph)
        outputs = graph.outputs if name == "hardware" else runner.run(*samples)  # these are no pictures
    except MissingExtra:
        return
    except LowbitError as error:
        assert blockers, f"{name} refuses what has no blocker: {error}"
        assert all(blocker.what and blocker.remedy and blocker.count >= 1 for blocker in blockers)
        return
    assert not blockers, f"{name} runs in spite of {blockers[0]}"
    assert len(outputs) == len(graph.outputs)


@pytest.mark.parametrize("name", BACKENDS)
def test_all_give_what_the_reference_gives(name: str) -> None:
    x = np.random.default_rng(0).integers(0, 256, (7, 65)).astype(np.float32) / 255  # hardware takes bytes
    for graph in (float_mlp((65, 33, 10), activation="Relu"), lowbit_mlp((65, 33, 10), 2, 2)):
        if BACKENDS[name].blockers(graph):
            continue
        runner = runner_of(name, graph)
        (found,) = runner.run(x)
        wanted = evaluate(graph, {graph.inputs[0]: x})[graph.outputs[0]]
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
        values = runner.trace(x)
        np.testing.assert_allclose(values[graph.outputs[0]], found, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(values[graph.inputs[0]], x)
        with pytest.raises(DataError, match="inputs of the network"):
            runner.run(x, x)


def runner_of(name: str, graph: Graph) -> backends.Runner:
    try:
        return BACKENDS[name].load(graph)
    except MissingExtra as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", ["engine", "litert"])
def test_all_is_said_at_once_with_counts(name: str) -> None:
    graph = network()
    (soft,) = (node.op for node in graph.nodes if node.name == "soft")
    blockers = BACKENDS[name].blockers(graph)
    others = [] if name == "engine" else [(soft, 1, ("soft",))]
    assert [(each.operator, each.count, each.nodes) for each in blockers] == [
        ("Conv", 2, ("first", "second")),
        *others,
    ]
    assert str(blockers[0]).startswith("2 × Conv: ") and "(first, second)" in str(blockers[0])


def test_what_is_asked_is_not_changed() -> None:
    graph = network()
    before = str(graph)
    for backend in BACKENDS.values():
        backend.blockers(graph)
    assert str(graph) == before


def test_equal_reasons_are_one() -> None:
    found = grouped([Blocker("a", ("x",), "Add"), Blocker("b", ("y",), "Add"), Blocker("a", ("z",), "Add")])
    assert [(each.what, each.nodes) for each in found] == [("a", ("x", "z")), ("b", ("y",))]


def test_a_session_of_another_runtime_is_made_in_one_place() -> None:
    """Everything else asks the table, or its module's own function."""
    root = FOLDER.parents[2]
    for call, module in (("InferenceSession" + "(", "onnxruntime"), ("Interpreter" + "(", "litert")):
        places = [path for part in ("src", "tests", "benchmarks") for path in (root / part).rglob("*.py")]
        assert [path for path in places if call in path.read_text()] == [FOLDER / f"{module}.py"]
