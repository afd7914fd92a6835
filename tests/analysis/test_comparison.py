"""Planted faults are located to their node, and only there: the suite must be able to fail."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import lowbit.engine
from lowbit.analysis import first_divergence, layer_errors, trace
from lowbit.errors import DataError, PlanError
from lowbit.ir import Graph, Node, Value, infer
from lowbit.ir.graph import Array
from lowbit.program.steps import PlaneEnding, PlaneFullyConnected, Step
from lowbit.schemes import LearnedBasis
from tests.ir.networks import Convolution, float_mlp, lowbit_convnet, lowbit_mlp

Fault = Callable[[Step], Step]


def samples(graph: Graph, count: int = 300) -> Array:
    shape = graph.value(graph.inputs[0]).shape[1:]
    return np.random.default_rng(5).normal(size=(count, *shape)).astype(np.float32)


def break_engine(monkeypatch: pytest.MonkeyPatch, value: str, fault: Fault) -> None:
    """Let the engine be planned with a fault in the step that makes a value."""
    whole = lowbit.engine.plan

    def broken(graph: Graph, *options: int) -> object:
        planned = whole(graph, *options)
        assert value in [result.value for result in planned.results]
        made = zip(planned.steps, planned.results, strict=True)
        steps = [fault(step) if result.value == value else step for step, result in made]
        return replace(planned, steps=tuple(steps))

    monkeypatch.setattr(lowbit.engine, "plan", broken)


def move_threshold(step: Step) -> Step:
    """Let channel 3 never have the lowest level."""
    assert isinstance(step, PlaneFullyConnected) and isinstance(step.ending, PlaneEnding)
    thresholds = np.array(step.ending.thresholds)
    thresholds[3, 0] -= 1_000_000
    return replace(step, ending=replace(step.ending, thresholds=thresholds))


@pytest.mark.parametrize("layer", ["fc1", "fc2", "fc3"])
def test_a_moved_threshold_is_found(monkeypatch: pytest.MonkeyPatch, layer: str) -> None:
    graph = lowbit_mlp((65, 33, 17, 9, 10), 2, 2)
    x = samples(graph)
    assert first_divergence(graph, x) is None
    break_engine(monkeypatch, f"{layer}/codes", move_threshold)
    found = first_divergence(graph, x)
    assert found is not None and (found.node, found.channel) == (layer, 3)
    assert found.at_fault == ("engine",) and found.suspects == (layer,)
    expected, wrong = (trace(graph, backend)(x)[f"{layer}/codes"] for backend in ("reference", "engine"))
    at = (found.sample, *found.position)
    assert (expected[at], wrong[at]) == (found.expected, found.found)
    assert found.sample == np.argmax((expected != wrong).any(axis=1))


def with_other_pad(graph: Graph, name: str) -> Graph:
    """Return the network with a convolution shifted by one row."""
    broken = graph.copy()
    position, node = next((i, node) for i, node in enumerate(graph.nodes) if node.name == name)
    attributes = {**node.attributes, "pads": (0, 1, 2, 1)}
    broken.nodes[position] = Node(node.op, node.inputs, node.outputs, attributes, node.name, node.domain)
    return broken


@pytest.mark.parametrize("name", ["conv1", "conv2"])
def test_a_wrong_pad_is_found_in_its_convolution(name: str) -> None:
    layers = (Convolution(33), Convolution(32), Convolution(5))
    graph = lowbit_convnet((3, 8, 8), layers, classes=4)
    x = samples(graph, 20)
    assert first_divergence(graph, x) is None
    found = first_divergence(graph, x, "reference", trace(with_other_pad(graph, name), "engine"))
    assert found is not None and (found.node, found.at_fault) == (name, ("other",))


def test_a_fault_behind_a_value_that_is_not_shown_has_suspects() -> None:
    graph = lowbit_mlp((33, 17, 9), 2, 2)

    def broken(x: Array) -> dict[str, Array]:
        values = trace(graph)(x)
        values["z"] = values["z"][:, ::-1]
        del values["fc1/codes"], values["y"]
        return values

    found = first_divergence(graph, samples(graph, 5), "reference", broken)
    assert found is not None and found.value == "z" and found.suspects == ("fc1", "fc2")


def test_rounding_that_takes_another_code_is_nobodys_fault() -> None:
    graph = lowbit_mlp((33, 17, 9), 2, 2)
    graph.nodes[0] = Node("Encode", ("r",), ("x/codes",), {}, "x/encode", "lowbit")
    graph.nodes.insert(0, Node("Relu", ("x",), ("r",), {}, "relu"))
    infer(graph)
    encoding = graph.value("x/codes").encoding
    assert encoding is not None
    step = encoding.thresholds()[0][-1]
    x = np.full((2, 33), 1.5 * step, np.float32)
    x[1, 7] = np.nextafter(step, np.float32(np.inf))

    def lower(x: Array) -> dict[str, Array]:
        return {**trace(graph)(np.nextafter(x, np.float32(0))), "x": x}

    found = first_divergence(graph, x, "reference", lower)
    assert found is not None and found.at_fault == ()
    assert (found.node, found.sample, found.position, found.differing) == ("x/encode", 1, (7,), 1)


@pytest.mark.parametrize("integers", [(2, 3, 7, 8), (1, 1, 1, 1), (1, 2, 3, 6)])
def test_codes_of_one_level_are_one(integers: tuple[int, ...]) -> None:
    """Whoever gives the other of two codes with the same level is not wrong; a code beside them is."""
    basis = np.array([integers], np.float32) / 8
    encoding = LearnedBasis(basis, np.zeros(1, np.float32), np.array(integers[-1:], np.int32))
    graph = lowbit_mlp((33, 17, 9), 4, 2)
    graph.update("x/codes", encoding=encoding)
    levels = encoding.levels()[0]
    twins = {int(code): int(np.flatnonzero(levels == levels[code])[-1]) for code in range(16)}
    changed = np.array([twins[code] for code in range(16)], np.uint8)
    assert (changed != np.arange(16)).any()

    def other(x: Array) -> dict[str, Array]:
        values = trace(graph)(x)
        return {**values, "x/codes": changed[values["x/codes"]]}

    def wrong(x: Array) -> dict[str, Array]:
        values = trace(graph)(x)
        return {**values, "x/codes": values["x/codes"] ^ np.uint8(1)}

    x = samples(graph, 50)
    assert first_divergence(graph, x) is None
    assert first_divergence(graph, x, "reference", other) is None
    found = first_divergence(graph, x, "reference", wrong)
    assert found is not None and found.node == "x/encode"


def test_tolerance_is_of_floats_alone() -> None:
    graph = float_mlp((7, 5, 3))

    def scaled(x: Array) -> dict[str, Array]:
        return {
            name: array * np.float32(1.001 if name == "h1" else 1) for name, array in trace(graph)(x).items()
        }

    x = samples(graph, 9)
    found = first_divergence(graph, x, "reference", scaled)
    assert found is not None and found.node == "f1" and found.at_fault == ("other",)
    assert first_divergence(graph, x, "reference", scaled, tolerance=0.01) is None


def test_bad_questions() -> None:
    graph = lowbit_mlp()
    with pytest.raises(DataError, match="no samples"):
        first_divergence(graph, samples(graph, 0))
    with pytest.raises(PlanError, match="unknown backend"):
        first_divergence(graph, samples(graph, 2), "reference", "fpga")


def of_two_inputs(second: str = "n") -> Graph:
    """Return ``relu(a) b`` and codes of it; the second input's first axis may be another one."""
    graph = lowbit_mlp((33, 17, 9), 2, 2)
    graph.add(Value("b", "float32", (second, 33)))
    graph.inputs = ("x", "b")
    graph.nodes[0] = Node("Encode", ("xb",), ("x/codes",), {}, "x/encode", "lowbit")
    graph.nodes.insert(0, Node("Mul", ("x", "b"), ("xb",), {}, "product"))
    infer(graph)
    return graph


@pytest.mark.parametrize("second", ["n", 1])
def test_networks_of_several_inputs_are_compared(second: str) -> None:
    graph = of_two_inputs(second)
    x, b = samples(graph, 40), samples(graph, 40 if second == "n" else 1)[::-1]
    given = {"b": b, "x": x}

    def broken(x: Array, b: Array) -> dict[str, Array]:
        values = trace(graph)(x, b)
        values["fc1/codes"] = np.where(
            x[:, :1] == given["x"][31, 0], values["fc1/codes"] ^ np.uint8(1), values["fc1/codes"]
        )
        return values

    for many in (given, (x, b), [x, b]):
        assert first_divergence(graph, many) is None
        found = first_divergence(graph, many, "reference", broken)
        assert found is not None and (found.node, found.sample) == ("fc1", 31)
    assert all(row.snr_db == np.inf for row in layer_errors(graph, graph, given))
    for wrong in (x, (x,), {"x": x}, (x, b, b)):
        with pytest.raises(DataError, match="x, b"):
            first_divergence(graph, wrong)
