"""One suite for all backends: the same integers as the reference, for every width and odd size."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from lowbit.api import quantize
from lowbit.engine import Program
from lowbit.ir import Graph
from lowbit.ir.graph import Array
from lowbit.program.steps import PlaneEnding, PlaneFullyConnected, Step
from lowbit.quantization import Plan
from lowbit.zoo.architecture import Activation, Architecture, Convolution, Flatten, Linear, Pool
from lowbit.zoo.float_graph import float_graph
from tests.conformance.backends import BACKENDS, check_backend, engine
from tests.formats.networks import affine_mlp
from tests.ir.networks import float_mlp, lowbit_mlp

WIDTHS = list(product(range(1, 5), repeat=2))
SIZES = [1, 31, 32, 33, 63, 65]


def samples(graph: Graph, count: int = 6, seed: int = 5) -> Array:
    shape = graph.value(graph.inputs[0]).shape[1:]
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("input_bits", "weight_bits"), WIDTHS)
def test_every_width(backend: str, input_bits: int, weight_bits: int) -> None:
    graph = lowbit_mlp((65, 33, 17, 10), input_bits, weight_bits, weight_offset=weight_bits % 2 == 1)
    check_backend(BACKENDS[backend], graph, samples(graph))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", SIZES)
def test_odd_sizes(backend: str, size: int) -> None:
    for bits, count in ((1, 1), (2, 9), (3, 65)):
        graph = lowbit_mlp((size, size + 1, size, 3), bits, bits, seed=size, weight_offset=True)
        check_backend(BACKENDS[backend], graph, samples(graph, count))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("activation", ["none", "relu", "tanh", "sigmoid", "hardtanh", "relu6"])
def test_activations(backend: str, activation: str) -> None:
    graph = lowbit_mlp((40, 20, 5), 2, 3, activation=activation, softmax=False)
    check_backend(BACKENDS[backend], graph, samples(graph))


@pytest.mark.parametrize("backend", BACKENDS)
def test_pools_of_words(backend: str) -> None:
    """Codes of 16 bits stand between layer and pool as well: the layer rounds once, the pool compares."""
    layers = (Convolution(3, 3, 1, 1), Activation(), Pool("max", 3, 2), Convolution(4, 3), Activation())
    shape = (2, 11, 9)
    graph = float_graph(Architecture("words", shape, (*layers, Pool(), Flatten(), Linear(3)), ""), seed=6)
    x = np.random.default_rng(6).random((40, *shape)).astype(np.float32)
    low, _ = quantize(
        graph, x, plan=Plan("pow2:4", "fixed:4.11", layers={"first": {"activations": "affine:8"}})
    )
    between = [
        low.value(node.outputs[0]).dtype for node in low.nodes if node.op in ("Convolution", "MaxPool")
    ]
    assert between == ["code16"] * 4
    check_backend(BACKENDS[backend], low, x[:5])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("value", [-1e30, -0.0, 0.3, 1e30])
def test_equal_inputs_give_planes_of_one_value(backend: str, value: float) -> None:
    graph = lowbit_mlp((65, 33, 10), 2, 2)
    check_backend(BACKENDS[backend], graph, np.full((3, 65), value, np.float32))


@pytest.mark.parametrize("backend", BACKENDS)
def test_inputs_on_thresholds(backend: str) -> None:
    graph = lowbit_mlp((65, 33, 10), 3, 2)
    (steps,) = graph.value("x/codes").encoding.thresholds()
    around = np.concatenate([steps, np.nextafter(steps, np.float32(9)), np.nextafter(steps, np.float32(-9))])
    check_backend(BACKENDS[backend], graph, np.random.default_rng(0).choice(around, (8, 65)))


@pytest.mark.parametrize("backend", BACKENDS)
def test_float_and_affine_networks(backend: str) -> None:
    for graph in (
        float_mlp((33, 17, 5)),
        float_mlp((33, 17, 5), activation="Relu"),
        affine_mlp((65, 33, 10)),
    ):
        check_backend(BACKENDS[backend], graph, samples(graph))


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 200])
def test_batches_do_not_change_rows(count: int) -> None:
    graph = lowbit_mlp((65, 33, 10), 2, 2)
    x = samples(graph, count)
    program = Program(graph)
    one_by_one = np.concatenate([program.run(row[None]) for row in x])
    np.testing.assert_array_equal(program.run(x), one_by_one)


# A suite that cannot fail is a defect: planted faults, each of which must be found.


def _flip_a_threshold(step: Step) -> Step:
    if not isinstance(step, PlaneFullyConnected) or not isinstance(step.ending, PlaneEnding):
        return step
    thresholds = np.array(step.ending.thresholds)
    thresholds[3, 0] += 1_000_000
    return replace(step, ending=replace(step.ending, thresholds=np.sort(thresholds, axis=1)))


def _flip_a_weight(step: Step) -> Step:
    if not isinstance(step, PlaneFullyConnected):
        return step
    planes = np.array(step.weights.planes)
    planes[0, 0, 0] ^= np.uint32(0x7FFF)
    return replace(step, weights=replace(step.weights, planes=planes))


def _swap_the_input_planes(step: Step) -> Step:
    if not isinstance(step, PlaneFullyConnected):
        return step
    swapped = step.weights.input_factors[::-1]
    return replace(step, weights=replace(step.weights, input_factors=swapped))


@pytest.mark.parametrize("fault", [_flip_a_threshold, _flip_a_weight, _swap_the_input_planes])
def test_a_planted_fault_is_found(monkeypatch: pytest.MonkeyPatch, fault: Callable[[Step], Step]) -> None:
    import lowbit.engine as module

    whole = module.plan

    def broken(graph: Graph, *options: int) -> object:
        planned = whole(graph, *options)
        return replace(planned, steps=tuple(fault(step) for step in planned.steps))

    graph = lowbit_mlp((65, 33, 10), 2, 2)
    x = samples(graph, 50)
    monkeypatch.setattr(module, "plan", broken)
    with pytest.raises(AssertionError, match=r"fc1/codes"):
        check_backend(lambda g, rows: engine(g, rows, kernels=""), graph, x)
