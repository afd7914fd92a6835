"""Convolutions in the engine at every kernel level: the reference's codes, for shapes at their odd edges."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from lowbit import quantize
from lowbit.engine import Program
from lowbit.ir import Graph, evaluate
from lowbit.ir.graph import Array
from lowbit.quantization import Plan
from lowbit.zoo import NETWORKS, binary_graph, float_graph
from tests.conformance.backends import LEVELS, at_level, check_backend, engine
from tests.ir.networks import Convolution, lowbit_convnet

CHANNELS = [1, 31, 33, 63, 65]
SHAPES = {
    "padded": ((5, 7, 6), Convolution(33)),
    "one-pixel": ((33, 1, 1), Convolution(17)),
    "kernel-larger-than-map": ((7, 2, 3), Convolution(9, kernel=(5, 5), pads=(2, 2, 2, 2))),
    "strided": ((8, 9, 7), Convolution(5, strides=(2, 3))),
    "dilated": ((8, 9, 9), Convolution(5, dilations=(2, 3), pads=(2, 3, 2, 3))),
    "uneven-pads": ((8, 6, 6), Convolution(5, pads=(0, 2, 1, 0))),
    "all-padding": ((4, 2, 2), Convolution(5, kernel=(1, 1), pads=(2, 2, 2, 2))),
    "narrow": ((64, 1, 9), Convolution(16, kernel=(1, 3), pads=(0, 1, 0, 1))),
    "grouped": ((12, 5, 5), Convolution(8, group=4)),
    "depthwise": ((37, 5, 5), Convolution(37, group=37)),
    "grouped-words": ((64, 5, 5), Convolution(32, group=2)),
    "pooled": ((5, 8, 8), Convolution(33, pool=True)),
}


def samples(graph: Graph, count: int = 3, seed: int = 5) -> Array:
    shape = graph.value(graph.inputs[0]).shape[1:]
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32)


def check(graph: Graph, level: str) -> None:
    check_backend(lambda g, x: at_level(g, x, level=level), graph, samples(graph))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(shape: str, level: str) -> None:
    size, layer = SHAPES[shape]
    for bits in (1, 2, 3):
        check(
            lowbit_convnet(size, (layer, Convolution(6, kernel=(1, 1), pads=(0, 0, 0, 0))), bits, bits), level
        )


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("input_bits", "weight_bits"), list(product(range(1, 5), repeat=2)))
def test_widths(input_bits: int, weight_bits: int, level: str) -> None:
    layers = (Convolution(33, pool=True), Convolution(17))
    offset = input_bits % 2 == 1
    check(lowbit_convnet((3, 6, 6), layers, input_bits, weight_bits, weight_offset=offset, classes=5), level)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("channels", CHANNELS)
def test_odd_channels(channels: int, level: str) -> None:
    for bits in (1, 2):
        layers = (Convolution(channels), Convolution(channels + 1, pool=True), Convolution(7))
        check(lowbit_convnet((channels, 5, 4), layers, bits, bits, classes=3), level)


@pytest.mark.parametrize("bits", [1, 2, 3])
def test_two_threads_share_maps_and_channels(bits: int) -> None:
    layers = (Convolution(96), Convolution(96, pool=True), Convolution(160))
    graph = lowbit_convnet((64, 16, 16), layers, bits, bits, classes=10)
    check_backend(lambda g, x: engine(g, x, threads=2), graph, samples(graph))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", ["lenet", "vgg-fashion", "cnv", "resnet20-fashion", "densenet-fashion"])
def test_binary_networks(name: str, level: str) -> None:
    graph = binary_graph(NETWORKS[name])
    shape = graph.value(graph.inputs[0]).shape[1:]
    x = np.random.default_rng(1).random((2, *shape), np.float32)
    check_backend(lambda g, rows: at_level(g, rows, level=level), graph, x)


@pytest.mark.parametrize(
    "name", ["lenet", "vgg-fashion", "alexnet-fashion", "resnet20-fashion", "densenet-fashion"]
)
def test_float_networks(name: str) -> None:
    graph = float_graph(NETWORKS[name])
    shape = graph.value(graph.inputs[0]).shape[1:]
    x = np.random.default_rng(1).random((2, *shape), np.float32)
    expected = evaluate(graph, {graph.inputs[0]: x})[graph.outputs[0]]
    np.testing.assert_allclose(Program(graph).run(x), expected, rtol=1e-4, atol=1e-4)


def test_a_planted_fault_at_a_border_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    import lowbit.engine as module

    whole = module.plan

    def broken(graph: Graph, *options: int) -> object:
        planned = whole(graph, *options)
        steps = [
            replace(step, rows=replace(step.rows, before=0, after=2)) if hasattr(step, "rows") else step
            for step in planned.steps
        ]
        return replace(planned, steps=tuple(steps))

    monkeypatch.setattr(module, "plan", broken)
    graph = lowbit_convnet((8, 6, 6), (Convolution(33), Convolution(5)), 1, 1)
    with pytest.raises(AssertionError, match="conv1/codes"):
        check(graph, "")


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    "plan",
    [
        Plan(weight_bits=8, activation_bits=8, scheme="affine", method="plain"),
        Plan(weight_bits=4, activation_bits=4, scheme="pow2"),
    ],
    ids=lambda plan: plan.scheme,
)
def test_quantized_networks_of_bytes(plan: Plan, level: str) -> None:
    graph = float_graph(NETWORKS["lenet"])
    x = np.random.default_rng(1).random((4, 1, 28, 28), np.float32)
    small, _ = quantize(graph, x, plan=plan)
    check_backend(lambda g, rows: at_level(g, rows, level=level), small, x)
