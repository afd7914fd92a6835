"""Which sums and means become fixed point, in generated networks of real sums between low-bit layers."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from lowbit.ir import Graph, Node, Value, evaluate, infer, run_passes, verify
from lowbit.ir.activations import ACTIVATIONS, apply_activation
from lowbit.ir.graph import Array, Attribute
from lowbit.ir.passes import (
    RegionFormat,
    fixed_sums,
    fold_activations,
    fold_encodes,
    lift_encodes,
    region_format,
    sum_regions,
)
from lowbit.ir.reference import evaluate_node
from lowbit.schemes import Affine, Encoding, FixedPoint, LearnedBasis

INPUT = Affine(8, np.array([1 / 32], np.float32), np.array([0], np.int32))
WEIGHTS = Affine(4, np.array([1 / 16], np.float32), np.array([8], np.int32))
LEARNED = LearnedBasis([[0.25, 0.5]], [0.75], [2])
LOWBIT = ("Encode", "Decode", "Linear", "Convolution")


class Network:
    """A graph whose values are called after their operators: x, then n1, n2, …"""

    def __init__(self, seed: int = 0, channels: int = 4, size: int = 6) -> None:
        self.random = np.random.default_rng(seed)
        self.graph = Graph("sums", ("x",), (), values={})
        self.graph.add(Value("x", "float32", ("n", channels, size, size)))

    def node(self, op: str, *inputs: str, encoding: Encoding | None = None, **attributes: Attribute) -> str:
        name = f"n{len(self.graph.nodes) + 1}"
        if encoding is not None:
            self.graph.add(Value(name, "code", (), None, encoding))
        domain = "lowbit" if op in LOWBIT else ""
        self.graph.nodes.append(Node(op, inputs, (name,), attributes, name, domain))
        infer(self.graph)
        return name

    def constant(self, data: Array) -> str:
        return self.graph.add_constant(self.graph.fresh_name("c"), data)

    def encode(self, x: str, encoding: Encoding = INPUT) -> str:
        return self.node("Encode", x, encoding=encoding)

    def layer(self, codes: str, outputs: int = 4, stride: int = 1) -> str:
        """Add a low-bit convolution with a real output."""
        channels = int(self.graph.value(codes).shape[1])
        rows = (outputs, 3, 3, channels)
        data = self.random.integers(0, 16, rows).astype("u1")
        weights = self.graph.add(Value(self.graph.fresh_name("w"), "code", rows, data, WEIGHTS))
        bias = self.constant(self.random.normal(size=outputs))
        return self.node("Convolution", codes, weights, bias, pads=(1, 1, 1, 1), strides=(stride, stride))

    def finished(self, *outputs: str) -> Graph:
        self.graph.outputs = outputs
        self.graph.remove_unused()
        verify(self.graph)
        return self.graph


def fixed(graph: Graph, x: Array) -> Graph:
    """Return the network with fixed-point sums where it can have them, its layers ended in codes."""
    largest: dict[str, float] = {}
    evaluate(graph, {"x": x}, lambda name, array: largest.update({name: float(np.abs(array).max())}))
    found = [region_format(region, largest) for region in sum_regions(graph)]
    return run_passes(graph, [fixed_sums(found), lift_encodes, fold_activations, fold_encodes]).graph


def samples(seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=(16, 4, 6, 6)).astype(np.float32)


def reals(graph: Graph) -> list[str]:
    """Return the operators that give floats, in order."""
    return [node.op for node in graph.nodes if graph.value(node.outputs[0]).encoding is None]


def layer_types(graph: Graph) -> set[str]:
    return {graph.value(node.outputs[0]).dtype for node in graph.nodes if node.op == "Convolution"}


def step_of(graph: Graph) -> float:
    (form,) = {str(v.encoding): v.encoding for v in graph.values.values() if v.dtype == "code16"}.values()
    assert isinstance(form, FixedPoint)
    return float(2.0**-form.fraction_bits)


def activations(net: Network) -> dict[str, Callable[[str], str]]:
    def clip(low: float, high: float) -> Callable[[str], str]:
        ends = net.constant(np.array(low)), net.constant(np.array(high))
        return lambda name: net.node("Clip", name, *ends)

    made = {"relu": lambda name: net.node("Relu", name), "relu6": clip(0, 6), "hardtanh": clip(-1, 1)}
    assert made.keys() == {name for name, row in ACTIVATIONS.items() if row.clip is not None}
    return {**made, "none": lambda name: name}


@pytest.mark.parametrize("activation", [name for name, row in ACTIVATIONS.items() if row.clip] + ["none"])
def test_layers_and_sums_take_their_activation(activation: str) -> None:
    net = Network()
    act = activations(net)[activation]
    x = act(net.layer(net.encode("x")))
    for _ in range(2):
        x = act(net.node("Add", net.layer(net.encode(x)), x))
    graph = net.finished(net.node("Decode", net.encode(x, LEARNED)))
    low = fixed(graph, samples())
    assert set(reals(low)) == {"Decode"} and layer_types(low) == {"code16"}
    adds = [node for node in low.nodes if node.op == "FixedAdd"]
    assert [node.attributes["activation"] for node in adds] == [activation] * 2
    (before,), (after,) = (list(evaluate(g, {"x": samples(1)}).values()) for g in (graph, low))
    assert (before != after).mean() < 0.01


def test_means_maxima_and_joins_are_of_codes() -> None:
    """As in a network of dense blocks with pools between: Concat, AveragePool, MaxPool, GlobalAveragePool."""
    net = Network()
    layer = net.layer(net.encode("x"))
    joined = net.node("Concat", layer, net.layer(net.encode(layer), 3), axis=1)
    pools: dict[str, Attribute] = {"kernel_shape": (3, 3), "strides": (2, 2), "pads": (1, 1, 0, 0)}
    mean = net.node("AveragePool", joined, **pools)
    most = net.node("MaxPool", joined, **pools)
    both = net.node("Concat", mean, most, axis=1)
    flat = net.node("Flatten", net.node("GlobalAveragePool", both))
    ends = [net.node("Decode", net.encode(name, LEARNED)) for name in (both, flat)]
    graph = net.finished(*ends)
    low = fixed(graph, samples())
    assert set(reals(low)) == {"Decode"} and layer_types(low) == {"code16"}
    for name, after in evaluate(low, {"x": samples(1)}).items():
        assert (evaluate(graph, {"x": samples(1)})[name] != after).mean() < 0.01


def test_what_nothing_but_floats_goes_into_stays_real() -> None:
    """A sum of floats and its pool are left to them; the sum behind them encodes what they give."""
    net = Network()
    pooled = net.node("MaxPool", net.node("Add", net.node("Tanh", "x"), "x"), kernel_shape=(3, 3))
    total = net.node("Add", pooled, net.layer(net.encode(pooled)))
    graph = net.finished(net.node("Decode", net.encode(total, LEARNED)))
    assert {region.sums: region.why for region in sum_regions(graph)} == {
        (total,): "",
        ("n2",): "what goes into it is computed in floats",
    }
    assert reals(fixed(graph, samples())) == ["Tanh", "Add", "MaxPool", "Decode", "Decode"]


def test_a_value_that_floats_read_too_is_decoded() -> None:
    """A layer that feeds a sum and a product, the sum an output as well: one rounding for all of them."""
    net = Network()
    layer = net.layer(net.encode("x"))
    other = net.layer(net.encode(net.node("Relu", layer)))
    total = net.node("Add", layer, other)
    product = net.node("Mul", total, layer)
    coded = net.node("Decode", net.encode(total, LEARNED))
    low = fixed(net.finished(coded, product, total), samples())
    assert layer_types(low) == {"code16"}
    given, step = evaluate(low, {"x": samples()}), step_of(low)
    assert np.array_equal(given[total], np.rint(given[total] / step) * step)
    assert np.abs(given[product]).max() > 0


@pytest.mark.parametrize("function", ["Relu", "Tanh", "Sigmoid"])
def test_encoders_behind_a_function_have_it_in_their_thresholds(function: str) -> None:
    """Then no float is computed between a sum and the layer that reads a function of it."""
    net = Network()
    total = net.node("Add", *(net.layer(net.encode("x")) for _ in range(2)))
    activated = net.node(function, total)
    graph = net.finished(
        *(net.node("Decode", name) for name in (net.encode(activated, LEARNED), net.encode(total)))
    )
    encoder = next(node for node in graph.nodes if node.inputs[0] == activated)
    thresholds = graph.add_constant("t", np.array([-0.1, 0.2, 0.6]))
    index = graph.nodes.index(encoder)
    graph.nodes[index] = replace(encoder, inputs=(activated, thresholds))
    low = fixed(graph, samples())
    assert set(reals(low)) == {"Decode"}
    seen: dict[str, Array] = {}
    evaluate(low, {"x": samples(1)}, seen.__setitem__)
    real = seen[total]
    again = evaluate_node(
        graph, graph.nodes[index], {activated: _applied(function, real), "t": graph.constant("t")}
    )
    assert np.array_equal(seen[encoder.outputs[0]], again[0])


def _applied(function: str, real: Array) -> Array:
    name = next(name for name, row in ACTIVATIONS.items() if row.operator == function)
    return apply_activation(name, real)


def test_a_function_of_a_layer_does_not_saturate_before_it() -> None:
    """Sums of a layer go as far as its function needs, though the function keeps within 1."""
    net = Network()
    layer = net.layer(net.encode("x"))
    squashed = net.node("Sigmoid", layer)
    total = net.node("Add", squashed, net.node("Sigmoid", net.layer(net.encode("x"))))
    graph = net.finished(net.node("Decode", net.encode(total)))
    assert {layer, squashed} <= set(sum_regions(graph)[0].ranged)
    low, x = fixed(graph, samples()), samples()
    (before,), (after,) = (list(evaluate(g, {"x": x}).values()) for g in (graph, low))
    assert np.abs(before - after).max() < 0.05


def test_regions_that_stay_real_say_why() -> None:
    net = Network()
    total = net.node("Add", *(net.layer(net.encode("x")) for _ in range(2)))
    (region,) = sum_regions(net.finished(total))
    assert region_format(region, {}).why == "no low-bit layer reads it"
    (region,) = sum_regions(net.finished(net.node("Decode", net.encode(total))))

    def found(largest: float) -> RegionFormat:
        return region_format(region, dict.fromkeys(region.ranged, largest))

    assert [str(found(most).form) for most in (0.0, 1.0, 1.01, 63)] == [
        "fixed:1.15",
        "fixed:2.14",
        "fixed:3.13",
        "fixed:8.8",
    ]
    assert found(512).why == "a layer behind it tells 0.031 apart, less than 4 steps of fixed:11.5"
    assert found(20000).why == "values up to 2e+04 leave 16 bits no room"


def test_an_input_that_is_left_out_is_none() -> None:
    """A Clip from above alone, between a sum and its reader."""
    net = Network()
    total = net.node("Add", *(net.layer(net.encode("x")) for _ in range(2)))
    clipped = net.node("Clip", total, "", net.constant(np.array(0.5)))
    low = fixed(net.finished(net.node("Decode", net.encode(clipped, LEARNED))), samples())
    assert reals(low) == ["Decode", "Clip", "Decode"]


def test_sums_that_broadcast_stay_real() -> None:
    net = Network()
    layer = net.layer(net.encode("x"))
    gate = net.node("Add", layer, net.node("GlobalMaxPool", layer))
    (region,) = sum_regions(net.finished(net.node("Decode", net.encode(gate))))
    assert region.why == "what it adds has different shapes"
