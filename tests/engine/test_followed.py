"""Layers that end with what follows them: a run, which joins the steps, beside a trace, which does not."""

import numpy as np
import pytest

from lowbit.engine import Program
from lowbit.ir import Graph, Node, Value, evaluate, infer, verify
from lowbit.schemes.affine.encoding import Affine

SCALES = [0.5, 0.031, 2.0**-4, 0.0371]  # some put sums halfway between two codes
BEHIND = ["none", "relu codes", "clip codes", "wide clip codes"]


def layered(kind, scale, group, seed):
    """Return x -> codes -> convolution -> what `kind` says -> codes -> y, and samples."""
    random, channels = np.random.default_rng(seed), 20
    graph = Graph("followed", ("x",), ("y",), values={"x": Value("x", "float32", ("n", channels, 5, 6))})

    def coded(name, scale, zero):
        return graph.add(Value(name, "code", (), None, Affine(8, np.array([scale]), np.array([zero]))))

    source = Affine(8, np.array([0.25]), np.array([int(random.integers(0, 256))]))
    graph.add(Value("codes", "code", (), None, source))
    weights = Affine(8, np.full(channels, 2.0**-6), np.full(channels, 128))
    data = random.integers(1, 256, (channels, 3, 3, channels // group)).astype(np.uint8)
    graph.add(Value("w", "code", data.shape, data, weights))
    graph.add_constant("b", random.integers(-999, 999, channels).astype(np.int32), "int32")
    window = {"kernel_shape": (3, 3), "pads": (1, 1, 1, 1), "group": group}
    on_codes = kind in ("none", "relu codes")
    middle = coded("middle", scale * 0.99, int(random.integers(0, 256))) if on_codes else "middle"
    graph.nodes = [
        Node("Encode", ("x",), ("codes",), {}, "encode", "lowbit"),
        Node("Convolution", ("codes", "w", "b"), (middle,), window, "layer", "lowbit"),
    ]
    last = coded("last", scale, int(random.integers(0, 256))) if kind != "none" else "middle"
    if kind == "relu codes":
        graph.nodes.append(Node("Relu", ("middle",), ("last",), {}, "relu", ""))
    elif kind != "none":
        ends = (-1.7, 2.3) if kind == "clip codes" else (-1e9, 1e9)
        for name, end in zip(("low", "high"), ends, strict=True):
            graph.add_constant(name, np.float32(end))
        graph.nodes.append(Node("Clip", ("middle", "low", "high"), ("clipped",), {}, "clip", ""))
        graph.nodes.append(Node("Encode", ("clipped",), ("last",), {}, "again", "lowbit"))
    graph.nodes.append(Node("Decode", (last,), ("y",), {}, "decode", "lowbit"))
    infer(graph)
    verify(graph)
    return graph, random.normal(0, 9, (3, channels, 5, 6)).astype(np.float32)


@pytest.mark.parametrize("kind", BEHIND)
@pytest.mark.parametrize("group", [1, 20])
def test_a_run_equals_a_trace(kind, group):
    joined = 0
    for seed, scale in enumerate(SCALES):
        graph, samples = layered(kind, scale, group, seed)
        expected = evaluate(graph, {"x": samples})["y"]
        for level in ("portable", "avx2", ""):
            program = Program(graph, kernels=level)
            np.testing.assert_array_equal(program.trace(samples)["y"], expected)
            np.testing.assert_array_equal(program.run(samples), expected)
        joined += any(step.seconds == 0 for step in program.profile(samples, repeats=1))
        assert len(np.unique(expected)) > 3
    assert (joined > 0) == (kind != "none")


def gated(channels, seed):
    """Return x -> x sigmoid(x) -> codes -> y, and samples; ties are among the largest."""
    graph = Graph("gated", ("x",), ("y",), values={"x": Value("x", "float32", ("n", channels, 5, 7))})
    graph.add(Value("codes", "code", (), None, Affine(8, np.array([0.25]), np.array([3]))))
    graph.nodes = [
        Node("Sigmoid", ("x",), ("gate",), {}, "gate", ""),
        Node("Mul", ("x", "gate"), ("gated",), {}, "gated", ""),
        Node("Encode", ("gated",), ("codes",), {}, "encode", "lowbit"),
        Node("Decode", ("codes",), ("y",), {}, "decode", "lowbit"),
    ]
    infer(graph)
    verify(graph)
    samples = np.random.default_rng(seed).integers(-400, 4000, (3, channels, 5, 7)) / 64
    return graph, samples.astype(np.float32)


@pytest.mark.parametrize("channels", [1, 3, 40])  # pixels with gaps; more than one run of floats
def test_chains_end_in_codes(channels):
    graph, samples = gated(channels, channels)
    expected = evaluate(graph, {"x": samples})["y"]
    for level in ("portable", "avx2", ""):
        program = Program(graph, kernels=level)
        np.testing.assert_array_equal(program.trace(samples)["y"], expected)
        np.testing.assert_array_equal(program.run(samples), expected)
