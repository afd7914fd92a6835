"""Weight-only layers in every backend: within the tolerance that their definition states."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from lowbit.engine import Program, kernel_levels
from lowbit.ir import Graph, evaluate
from lowbit.ir.graph import Array
from lowbit.ir.weight_only import tolerance
from lowbit.program.steps import Step, WeightOnlyFullyConnected
from tests.conformance.backends import BACKENDS, Backend, reference
from tests.ir.networks import Convolution, grouped_layer, weight_only_convnet, weight_only_mlp

LEVELS = kernel_levels()
SIZES = [1, 31, 32, 33, 63, 65, 513]
RUNNING = [name for name in BACKENDS if name.startswith("engine") or name == "onnxruntime"]


def check_layer(backend: Backend, graph: Graph, x: Array) -> None:
    """Compare one fully connected layer without activation with the reference."""
    expected, found = evaluate(graph, {"x": x})["y"], backend(graph, x)["y"].reshape(len(x), -1)
    weights, bias = (graph.value(name) for name in graph.nodes[0].inputs[1:])
    bound = tolerance(weights, bias.data, np.abs(x.astype(np.float64)).sum(axis=1))
    worst = (np.abs(found.astype(np.float64) - expected) / bound).max()
    assert worst <= 1, f"{worst:.3g} times the tolerance"


def check_values(backend: Backend, graph: Graph, x: Array) -> None:
    """Compare every value of a network with the reference, to 1e-5 of its largest element."""
    expected, found = reference(graph, x), backend(graph, x)
    assert graph.outputs[0] in found
    for name in found.keys() & expected.keys():
        shaped, largest = found[name].reshape(expected[name].shape), np.abs(expected[name]).max()
        np.testing.assert_allclose(shaped, expected[name], rtol=0, atol=1e-5 * largest, err_msg=name)


@pytest.mark.parametrize("backend", RUNNING)
@pytest.mark.parametrize("bits", [2, 3, 4, 5, 8])
def test_groups(backend: str, bits: int) -> None:
    for inputs, outputs in ((1, 1), (33, 17), (300, 40)):
        for group in (1, 24, 32, 200, inputs):
            graph = grouped_layer(inputs, outputs, bits, group, bits + group, symmetric=group == 32)
            for count in (1, 5):
                check_layer(BACKENDS[backend], graph, samples(count, inputs))


@pytest.mark.parametrize("level", LEVELS)
def test_groups_of_rows_that_vary_in_size(level: str) -> None:
    """Rows of zeros, of numbers that are nearly none, of one that outweighs all, and of such differences."""
    graph, x = grouped_layer(700, 33, 4, 32), samples(6, 700)
    x[1], x[2], x[3, 5], x[4, :32] = 0, x[2] * np.float32(1e-38), 1e30, x[4, :32] * np.float32(1e-20)
    x[5] *= np.float32(10) ** np.random.default_rng(0).integers(-9, 9, 700).astype(np.float32)
    check_layer(lambda g, rows: {"y": Program(g, kernels=level).run(rows)}, graph, x)


@pytest.mark.parametrize("backend", RUNNING)
def test_groups_of_tokens(backend: str) -> None:
    graph = grouped_layer(70, 33, 4, 32, tokens=9)
    check_values(BACKENDS[backend], graph, samples(3, 9, 70))


def samples(count: int, *shape: int) -> Array:
    return np.random.default_rng(5).normal(size=(count, *shape)).astype(np.float32)


@pytest.mark.parametrize("backend", RUNNING)
@pytest.mark.parametrize("bits", range(1, 9))
def test_every_width(backend: str, bits: int) -> None:
    for inputs, outputs in ((65, 33), (40, 100)):
        check_layer(BACKENDS[backend], weight_only_mlp((inputs, outputs), bits), samples(3, inputs))


@pytest.mark.parametrize("backend", RUNNING)
@pytest.mark.parametrize("size", SIZES)
def test_odd_sizes(backend: str, size: int) -> None:
    for count in (1, 2, 65):
        check_layer(BACKENDS[backend], weight_only_mlp((size, size + 1), 2), samples(count, size))
        check_layer(BACKENDS[backend], weight_only_mlp((70, size), 1), samples(count, 70))


@pytest.mark.parametrize("backend", BACKENDS)
def test_networks(backend: str) -> None:
    for activation in ("none", "relu", "tanh"):
        graph = weight_only_mlp((65, 33, 40, 10), 3, activation=activation)
        check_values(BACKENDS[backend], graph, samples(4, 65))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("group", [1, 3])
def test_convolutions(backend: str, group: int) -> None:
    layers = (Convolution(33, strides=(2, 1), group=group), Convolution(6, kernel=(1, 1), pads=(0, 0, 0, 0)))
    graph = weight_only_convnet((9, 5, 4), layers, 2)
    check_values(BACKENDS[backend], graph, samples(3, 9, 5, 4))


@pytest.mark.parametrize("level", LEVELS)
def test_infinity_stays_in_its_row(level: str) -> None:
    x = samples(3, 33)
    x[1, 32] = np.inf
    found = Program(weight_only_mlp((33, 17), 1), kernels=level).run(x)
    assert np.isfinite(found[[0, 2]]).all() and not np.isfinite(found[1]).any()


def test_threads_and_batches_do_not_change_floats() -> None:
    graph = weight_only_mlp((513, 400), 2)
    x = samples(70, 513)
    one_by_one = np.concatenate([Program(graph).run(row[None]) for row in x[:5]])
    for threads in (1, 2):
        found = Program(graph, threads=threads).run(x)
        np.testing.assert_array_equal(found[:5], one_by_one)


def _flip_a_bit(step: Step) -> Step:
    assert isinstance(step, WeightOnlyFullyConnected)
    planes = np.array(step.planes)
    planes[3, 0, 1] ^= np.uint32(1 << 5)
    return replace(step, planes=planes)


def _move_a_factor(step: Step) -> Step:
    assert isinstance(step, WeightOnlyFullyConnected)
    factors = np.array(step.factors)
    factors[7, 1] *= np.float32(1.01)
    return replace(step, factors=factors)


@pytest.mark.parametrize("fault", [_flip_a_bit, _move_a_factor])
def test_a_planted_fault_is_found(monkeypatch: pytest.MonkeyPatch, fault: Callable[[Step], Step]) -> None:
    import lowbit.engine as module

    whole = module.plan

    def broken(graph: Graph, *options: int) -> object:
        planned = whole(graph, *options)
        return replace(planned, steps=tuple(fault(step) for step in planned.steps))

    monkeypatch.setattr(module, "plan", broken)
    with pytest.raises(AssertionError, match="times the tolerance"):
        check_layer(BACKENDS["engine-portable"], weight_only_mlp((65, 33), 2), samples(50, 65))
