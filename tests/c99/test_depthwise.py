"""Depthwise layers in C, whose weights of few bits are half bytes."""

import numpy as np
import pytest

from lowbit.c99.target import generated
from lowbit.ir import Graph, Node, Value, infer, verify
from lowbit.schemes import Affine
from tests.c99.test_networks import check


def depthwise(bits: int, factor: int, *kernels: tuple[int, int]) -> Graph:
    """Return depthwise layers of these windows, one after another; the first weight is the lowest code."""
    random = np.random.default_rng(bits)
    graph = Graph("depthwise", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 7, 6, 5))})
    codes = Affine(8, [0.05], [3])
    graph.add(Value("c", "code", (), None, codes))
    graph.nodes.append(Node("Encode", ("x",), ("c",), {}, "encode", "lowbit"))
    source = "c"
    for number, (height, width) in enumerate(kernels):
        top = 1 << bits
        weights = random.integers(0, top, (7, height, width, 1)).astype(np.uint8) // factor * factor
        weights[0, 0, 0, 0] = 0
        encoding = Affine(bits, random.uniform(0.02, 0.03, 7), np.full(7, top // 2))
        graph.add(Value(f"w{number}", "code", weights.shape, weights, encoding))
        graph.add_constant(f"b{number}", random.integers(-50, 50, 7), "int32")
        target = graph.add(Value(f"a{number}", "code", (), None, codes))
        pads = (height // 2, width // 2, height // 2, width // 2)
        window = {"group": 7, "kernel_shape": (height, width), "pads": pads}
        inputs = (source, f"w{number}", f"b{number}")
        graph.nodes.append(Node("Convolution", inputs, (target,), window, f"l{number}", "lowbit"))
        source = target
    graph.nodes.append(Node("Decode", (source,), ("y",), {}, "decode", "lowbit"))
    infer(graph)
    verify(graph)
    return graph


@pytest.mark.parametrize(("bits", "factor"), [(2, 1), (4, 1), (7, 8), (5, 1)])
def test_half_bytes(bits: int, factor: int) -> None:
    kernels = ((3, 3), (1, 3), (4, 4), (5, 5), (1, 1))
    graph = depthwise(bits, factor, *kernels)
    check(graph, np.random.default_rng(0).normal(0, 6, (4, 7, 6, 5)).astype(np.float32))
    taps = [height * width for height, width in kernels]
    halves = sum(7 * 4 * (n // 8) + 4 * (n % 8) for n in taps)
    found = generated(graph, "net", given="", integers=False).weights
    assert found == (halves if bits != 5 else sum(7 * n for n in taps))
