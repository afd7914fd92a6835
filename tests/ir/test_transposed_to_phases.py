"""Transposed convolutions as convolutions of phases: equal numbers for whatever geometry, no weight more."""

import numpy as np
import pytest

from lowbit.ir import Graph, Node, Value, evaluate, infer, verify
from lowbit.ir.passes import run_passes, transposed_to_phases, why_transposed


def network(seed: int) -> Graph:
    """Return a transposed convolution of a geometry that the seed chooses."""
    random = np.random.default_rng(seed)
    rank, group = 1 + seed % 2, int(random.integers(1, 4))
    inputs, outputs = random.integers(1, 4, 2).tolist()
    kernel, strides, lengths = (random.integers(1, most, rank).tolist() for most in (6, 5, 6))
    dilations = [int(random.integers(1, 4)) if stride == 1 else 1 for stride in strides]
    whole = [
        s * (n - 1) + d * (k - 1) + 1 for s, n, d, k in zip(strides, lengths, dilations, kernel, strict=True)
    ]
    first = [int(random.integers(0, min(k, w))) for k, w in zip(kernel, whole, strict=True)]
    last = [int(random.integers(0, min(k, w - f))) for k, w, f in zip(kernel, whole, first, strict=True)]
    extra = [int(random.integers(0, max(s, d))) for s, d in zip(strides, dilations, strict=True)]
    graph = Graph("net", ("x",), ("y",), values={})
    graph.add(Value("x", "float32", ("n", group * inputs, *lengths)))
    names = [graph.add_constant("w", random.normal(size=(group * inputs, outputs, *kernel)))]
    if seed % 3:
        names.append(graph.add_constant("b", random.normal(size=group * outputs)))
    attributes = {
        "group": group,
        "strides": tuple(strides),
        "dilations": tuple(dilations),
        "pads": (*first, *last),
        "output_padding": tuple(extra),
    }
    graph.nodes = [Node("ConvTranspose", ("x", *names), ("y",), attributes, "up")]
    infer(graph)
    verify(graph)
    return graph


@pytest.mark.parametrize("seed", range(60))
def test_it_computes_the_same(seed: int) -> None:
    graph = network(seed)
    phases = run_passes(graph, [transposed_to_phases]).graph
    layers = [node for node in phases.nodes if node.op == "Conv"]
    assert layers and not any(node.op == "ConvTranspose" for node in phases.nodes)
    assert all(node.name == "up" or node.name.startswith("up/") for node in layers)
    shape = (3, *map(int, graph.value("x").shape[1:]))
    x = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    np.testing.assert_allclose(
        evaluate(phases, {"x": x})["y"], evaluate(graph, {"x": x})["y"], rtol=1e-5, atol=1e-6
    )
    kernel, strides = graph.constant("w").shape[2:], graph.nodes[0].attributes["strides"]
    if all(length >= stride for length, stride in zip(kernel, strides, strict=True)):
        assert sum(phases.constant(node.inputs[1]).size for node in layers) == graph.constant("w").size


def test_what_stays_says_why() -> None:
    graph = network(0)
    stays = {"strides": (2,), "dilations": (2,), "group": graph.nodes[0].attributes["group"]}
    node = Node("ConvTranspose", graph.nodes[0].inputs, ("y",), stays, "up")
    graph.nodes = [node]
    infer(graph)
    assert why_transposed(graph, node) == "it has a stride and a dilation"
    assert run_passes(graph, [transposed_to_phases]).graph.nodes == graph.nodes
