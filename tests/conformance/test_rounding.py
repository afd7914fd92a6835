"""Layers of weights of every scheme that end in uniform codes by one rounding: the same codes everywhere.

All scales are powers of two or none, so that a good part of the sums lies on ties, or just beside them.
"""

from collections.abc import Iterator
from itertools import groupby

import numpy as np
import pytest

from lowbit.ir import Graph, Node, Value, infer, verify
from lowbit.ir.activations import apply_activation
from lowbit.ir.deployed import deployed_layer, thresholds_of_rounding
from lowbit.ir.graph import Array
from lowbit.ir.operators.registry import code_dtype, storage_dtype
from lowbit.planes import pack
from lowbit.schemes import Affine, Encoding, FixedPoint
from tests.conformance.backends import BACKENDS, reference
from tests.conformance.pairs import WEIGHTS, weight_encoding


def _scheme(name: str) -> str:
    return name.partition(":")[0]


def _ends(names: Iterator[str]) -> tuple[str, str]:
    every = list(names)
    return every[0], every[-1]


OUTPUTS = 5
SHAPES = {"rows": (12,), "maps": (3, 4, 5)}
TARGETS: dict[str, Encoding] = {
    "affine:8": Affine(8, [0.25], [0]),
    "affine:8, zero inside": Affine(8, [0.3], [77]),
    "affine:5": Affine(5, [2.0], [16]),
    "affine:7": Affine(7, [0.7], [127]),
    "fixed:4.4": FixedPoint(4, 4),
    "fixed:5.1:floor": FixedPoint(5, 1, "floor"),
}
_COMPILED = ("affine:8", "affine:8, zero inside", "fixed:4.4")
ENDS = ("none", "relu", "relu6", "hardtanh")
CHOSEN = sorted({end for _, names in groupby(WEIGHTS, _scheme) for end in _ends(names)})
"""Of every scheme of weights the fewest and the most bits."""

CASES = [
    (target, shape, exact, ENDS[(number + exact) % 4])
    for number, (target, shape) in enumerate((t, s) for t in TARGETS for s in SHAPES)
    for exact in ((True, False) if shape == "maps" else (True,))
]


def layers(target: str, shape: str, *, exact: bool, activation: str) -> Graph:
    """Return a network of a layer of every scheme of weights that read the same codes."""
    random = np.random.default_rng(len(target) * 8 + len(shape) * 2 + exact)
    sample, maps = SHAPES[shape], shape == "maps"
    graph = Graph(target, ("x",), (), values={"x": Value("x", "float32", ("n", *sample))})
    graph.add(Value("codes", "code", (), None, Affine(8, [2.0**-4 if exact else 0.07], [100])))
    graph.nodes.append(Node("Encode", ("x",), ("codes",), {}, "encode", "lowbit"))
    rows = (OUTPUTS, 2, 3, sample[0]) if maps else (OUTPUTS, sample[0])
    window = {"kernel_shape": (2, 3), "pads": (1, 0, 0, 2)} if maps else {}
    for name in CHOSEN:
        weights = _weights(name, random, rows, exact=exact)
        graph.add(weights)
        biases = random.integers(-64, 64, OUTPUTS) / 16 if exact else random.normal(size=OUTPUTS)
        biases[:2] = [1e6, -1e6] if maps else biases[:2]  # what saturates
        graph.add_constant(f"{name}/bias", biases)
        graph.add(Value(f"{name}/a", code_dtype(TARGETS[target]), (), None, TARGETS[target]))
        made = {**window, **({} if activation == "none" else {"activation": activation})}
        ends = ("codes", weights.name, f"{name}/bias"), (f"{name}/a",)
        graph.nodes.append(Node("Convolution" if maps else "Linear", *ends, made, name, "lowbit"))
        graph.nodes.append(Node("Decode", (f"{name}/a",), (f"{name}/y",), {}, f"{name}/decode", "lowbit"))
        graph.outputs = (*graph.outputs, f"{name}/y")
    infer(graph)
    verify(graph)
    return graph


def _weights(name: str, random: np.random.Generator, rows: tuple[int, ...], *, exact: bool) -> Value:
    encoding = weight_encoding(name, random, OUTPUTS)
    if exact:
        encoding = encoding.scaled(2.0**-3 / encoding.integer_scale()) or encoding
    codes = random.integers(0, 1 << encoding.bits, rows).astype(encoding.code_of_rank().dtype)
    dtype = storage_dtype(encoding)
    data = pack(codes.reshape(OUTPUTS, -1), encoding.bits) if dtype == "planes" else codes
    return Value(f"{name}/weights", dtype, rows, data, encoding)


def samples(shape: str) -> Array:
    """Return samples of all codes, the first all at one end and the second at the other."""
    found = np.random.default_rng(0).normal(0, 4, (5, *SHAPES[shape])).astype(np.float32)
    found[0], found[1] = -1e9, 1e9
    return found


@pytest.mark.parametrize(("target", "shape", "exact", "activation"), CASES)
def test_every_back_end_gives_the_same_codes(target: str, shape: str, exact: bool, activation: str) -> None:
    graph = layers(target, shape, exact=exact, activation=activation)
    x = samples(shape)
    wanted = reference(graph, x)
    for name, run in BACKENDS.items():
        if name == "c99" and (shape != "maps" or target not in _COMPILED):  # a compiler takes its time
            continue
        found = run(graph, x)
        assert found.keys() >= {*graph.outputs}, name
        for value in wanted.keys() & found.keys():
            np.testing.assert_array_equal(
                found[value].reshape(wanted[value].shape), wanted[value], err_msg=f"{name}: {value}"
            )


@pytest.mark.parametrize("target", TARGETS)
def test_thresholds_of_a_rounding_give_its_codes(target: str) -> None:
    """At each step and beside it, and at all that a layer reaches: hardware compares with them."""
    activation = ENDS[len(target) % 4]
    graph = layers(target, "rows", exact=True, activation=activation)
    source, encoding = graph.value("codes").encoding, TARGETS[target]
    assert source is not None
    ties = 0
    for node in (node for node in graph.nodes if node.op == "Linear"):
        layer = deployed_layer(source, graph.value(node.inputs[1]), graph.value(node.inputs[2]))
        steps = thresholds_of_rounding(layer, layer.bias, encoding, activation)
        bound = layer.accumulator_bound()
        sums = np.linspace(-bound, bound, 4001).astype(np.int64)
        for o in range(OUTPUTS):
            tried = np.clip(np.concatenate([sums, steps[o], steps[o] + 1]), -bound, bound)
            real = layer.scale[o] * tried + layer.bias[o]
            wanted = encoding.encode(apply_activation(activation, real))
            ties += int(np.count_nonzero((real / encoding.integer_scale()[0]) % 1 == 0.5))
            np.testing.assert_array_equal((tried[:, None] > steps[o]).sum(axis=1), wanted)
    assert ties > 100 or encoding.integer_scale()[0] in (np.float32(0.3), np.float32(0.7))
