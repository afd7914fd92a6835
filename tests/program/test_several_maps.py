"""Several maps of one sample, as of frames: the engine gives what the reference gives."""

from itertools import product

import numpy as np
import pytest

from lowbit.engine import Program
from lowbit.errors import EngineError
from lowbit.ir import Graph, Node, Value, evaluate, infer, verify

RANDOM = np.random.default_rng(4)
FRAMES, CHANNELS, LENGTHS = 3, 4, (7, 6)


def network(op: str, weights: tuple[int, ...] = (), **attributes: object) -> Graph:
    """Return ``[1, t, c, h, w]`` to an operator on t maps, and back."""
    frames = (FRAMES, CHANNELS, *LENGTHS)
    graph = Graph("frames", ("x",), ("y",), values={"x": Value("x", "float32", (1, *frames))})
    graph.add_constant("maps", frames, "int64")
    names = ["m"]
    if weights:
        names += [
            graph.add_constant("w", RANDOM.normal(size=weights)),
            graph.add_constant("b", np.arange(8.0)),
        ]
    if op == "BatchNormalization":
        names += [graph.add_constant(f"bn{n}", RANDOM.uniform(0.5, 2, CHANNELS)) for n in range(4)]
    graph.nodes = [
        Node("Reshape", ("x", "maps"), ("m",), {}, "m"),
        Node(op, tuple(names), ("o",), attributes, "o"),
    ]
    infer(graph)
    graph.add_constant("back", (1, *graph.value("o").shape), "int64")
    graph.nodes.append(Node("Reshape", ("o", "back"), ("y",), {}, "y"))
    infer(graph)
    verify(graph)
    return graph


def check(graph: Graph) -> None:
    x = RANDOM.normal(size=graph.value("x").shape).astype(np.float32)
    wanted = evaluate(graph, {"x": x})["y"]
    np.testing.assert_allclose(Program(graph).run(x), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kernel", [(1, 1), (3, 2), (2, 3)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 1), (3, 2), (5, 1)])
def test_windows(kernel: tuple[int, int], stride: tuple[int, int]) -> None:
    for pads, dilation, group in product(
        [(0, 0, 0, 0), (1, 0, 1, 1), (0, 1, 2, 0)], [(1, 1), (2, 1)], [1, 4]
    ):
        window = {"pads": pads, "dilations": dilation, "strides": stride}
        check(network("Conv", (8, CHANNELS // group, *kernel), group=group, **window))
        if kernel[0] > 2 and dilation == (1, 1):
            check(network("MaxPool", kernel_shape=kernel, pads=pads, strides=stride))


def test_means_and_normalization() -> None:
    check(network("AveragePool", kernel_shape=(2, 3), strides=(2, 1), pads=(0, 1, 0, 1)))
    check(network("BatchNormalization"))
    with pytest.raises(EngineError):
        Program(network("AveragePool", kernel_shape=(2, 3), pads=(1, 0, 1, 0)))
