"""150 odd graphs through everything; thousands: ``python -m tests.conformance.odd_graphs --count 2000``."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from lowbit.ir import Graph
from lowbit.program import ProgramPlan
from lowbit.program.steps import (
    AddWords,
    AverageWords,
    ByteConvolution,
    ByteFullyConnected,
    EncodeAffine,
    RankWords,
    Step,
)
from tests.conformance.odd_graphs.check import Outcome, check
from tests.conformance.odd_graphs.families import FAMILIES, draw
from tests.conformance.odd_graphs.network import Array
from tests.conformance.odd_graphs.schemes import SCHEMES

GRAPHS = 5  # of each family
TOGETHER = 2  # schemes for each graph, so that all of them have their turn


def schemes_of(index: int) -> tuple[str, ...]:
    names = tuple(SCHEMES)
    return tuple(names[(index * TOGETHER + offset) % len(names)] for offset in range(TOGETHER))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_number_is_the_same_everywhere(family: str) -> None:
    first = list(FAMILIES).index(family) * GRAPHS
    outcomes = [check(draw(family, index), schemes_of(index)) for index in range(first, first + GRAPHS)]
    found = [outcome for outcome in outcomes if outcome is not None]
    assert found, "ONNX Runtime runs none of them"
    assert not [(outcome.seed, *fault) for outcome in found for fault in outcome.faults]


def test_equal_seeds_give_equal_graphs() -> None:
    one, other, another = (draw("residual", seed) for seed in (7, 7, 8))
    assert one.model == other.model and one.model != another.model
    assert all(np.array_equal(rows, other.samples[name]) for name, rows in one.samples.items())


# A check that cannot fail is a defect: planted faults, each of which must be told.


def outcome_of(family: str, scheme: str, seeds: range = range(2)) -> list[Outcome]:
    found = [check(draw(family, seed), (scheme,)) for seed in seeds]
    return [outcome for outcome in found if outcome is not None]


def stages(outcomes: list[Outcome]) -> set[str]:
    return {stage for outcome in outcomes for stage, _ in outcome.faults}


def with_biases_clipped(graph: Graph) -> Graph:
    result = graph.copy()
    for node in graph.nodes:
        if node.op in ("Linear", "Convolution"):
            bias = graph.constant(node.inputs[2])
            result.update(node.inputs[2], data=np.clip(bias, -1, 1))
    return result


def with_scales_doubled(graph: Graph) -> Graph:
    result = graph.copy()
    for node in graph.nodes:
        if node.op in ("Linear", "Convolution"):
            encoding = graph.value(node.inputs[1]).encoding
            result.update(node.inputs[1], encoding=replace(encoding, scale=2 * encoding.scale))
    return result


@pytest.mark.parametrize("fault", [with_biases_clipped, with_scales_doubled])
def test_a_quantizer_that_is_wrong_is_found(
    monkeypatch: pytest.MonkeyPatch, fault: Callable[[Graph], Graph]
) -> None:
    right = SCHEMES["affine:8"]
    assert not stages(outcome_of("dense", "affine:8"))
    monkeypatch.setitem(SCHEMES, "affine:8", lambda graph, samples: fault(right(graph, samples)))
    assert stages(outcome_of("dense", "affine:8")) == {"affine:8 nearness"}


def _double_a_scale(step: Step) -> Step:
    if isinstance(step, EncodeAffine):
        return replace(step, scale=2 * step.scale)
    if isinstance(step, ByteFullyConnected | ByteConvolution) and hasattr(step.ending, "scale"):
        return replace(step, ending=replace(step.ending, scale=2 * step.ending.scale))
    return step


def _swap_two_weights(step: Step) -> Step:
    if not isinstance(step, ByteFullyConnected | ByteConvolution):
        return step
    weights = np.array(step.weights.weights)
    weights[:, [0, -1]] = weights[:, [-1, 0]]
    return replace(step, weights=replace(step.weights, weights=weights))


def plant(monkeypatch: pytest.MonkeyPatch, fault: Callable[[Step], Step]) -> None:
    """Let the engine's plans have a fault in every step that can have it."""
    import lowbit.engine as module

    whole = module.plan

    def broken(graph: Graph, *options: Any) -> ProgramPlan:
        planned = whole(graph, *options)
        return replace(planned, steps=tuple(fault(step) for step in planned.steps))

    monkeypatch.setattr(module, "plan", broken)


@pytest.mark.parametrize("fault", [_double_a_scale, _swap_two_weights])
def test_an_engine_that_is_wrong_is_found(
    monkeypatch: pytest.MonkeyPatch, fault: Callable[[Step], Step]
) -> None:
    plant(monkeypatch, fault)
    found = stages(outcome_of("dense", "affine:8"))
    assert "affine:8 engine" in found
    assert not any(".onnx" in stage or "onnxruntime" in stage for stage in found)


def _forget_an_activation(step: Step) -> Step:
    return replace(step, low=-(1 << 15)) if isinstance(step, AddWords) else step


def _count_one_more(step: Step) -> Step:
    return replace(step, count_all=not step.count_all) if isinstance(step, AverageWords) else step


def _move_a_threshold(step: Step) -> Step:
    if not isinstance(step, RankWords) or step.form != "planes":
        return step
    return replace(step, thresholds=step.thresholds + np.int32(40))


@pytest.mark.parametrize("fault", [_forget_an_activation, _count_one_more, _move_a_threshold])
def test_fixed_sums_that_are_wrong_are_found(
    monkeypatch: pytest.MonkeyPatch, fault: Callable[[Step], Step]
) -> None:
    assert not stages(outcome_of("fixed sums", "lq:2", range(3, 4)))
    plant(monkeypatch, fault)
    found = stages(outcome_of("fixed sums", "lq:2", range(3, 4)))
    assert "lq:2 engine" in found
    assert not any(".onnx" in stage or "onnxruntime" in stage for stage in found)


def test_a_file_that_is_wrong_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    import tests.conformance.odd_graphs.check as module

    right = module.read_model

    def swapped(path: Any) -> Graph:
        graph = right(path)
        if path.suffix == ".circle":
            for name, value in graph.values.items():
                if value.data is not None and value.dtype == "code" and value.data.shape[-1] > 1:
                    data: Array = np.array(value.data)
                    data[..., [0, 1]] = data[..., [1, 0]]
                    graph.update(name, data=data)
        return graph

    monkeypatch.setattr(module, "read_model", swapped)
    assert stages(outcome_of("dense", "affine:8")) == {"affine:8 .circle"}
