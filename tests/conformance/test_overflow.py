"""Accumulators at the bound that the graph declares: reached exactly, both signs; one more takes 64 bits.

Every layer here has the widest fan-in that int32 allows for the largest levels: 805 205 inputs for a learned
basis (levels to 21 and 127), 131 586 for powers of two and 65 793 for 8-bit affine codes, whose bias fills
up the rest to 2^31 - 1. Scales are 1 and a float bias takes most of the sum away again: each unit shows.
"""

from dataclasses import dataclass

import numpy as np
import pytest

from lowbit.engine import Program, kernel_levels
from lowbit.ir import Graph, Node, Value, evaluate, infer, verify
from lowbit.ir.deployed import INT32_MAX, deployed_layer
from lowbit.ir.graph import Array
from lowbit.planes import pack
from lowbit.schemes import Affine, Encoding, LearnedBasis, PowerOfTwo

LEVELS = kernel_levels()
SHAPES = {"fully-connected": (), "pointwise": (1, 1), "window": (3, 3)}
BY_BITS, BY_BYTES = "popcount", "dot"


@dataclass(frozen=True)
class Layer:
    """A layer of three outputs: largest levels, smallest levels, random ones.

    Attributes:
        scheme: of the weights.
        source: the input's encoding.
        weights: the weights' encoding.
        fan_in: the most inputs that int32 allows.
        path: how the engine multiplies.
        bias: of the outputs; int32 for affine layers.
    """

    scheme: str
    source: Encoding
    weights: Encoding
    fan_in: int
    path: str = BY_BYTES
    bias: tuple[int, int, int] = (0, 0, 0)

    def graph(self, kernel: tuple[int, ...], extra: int = 0) -> Graph:
        """Return the layer with as many inputs as allowed, and `extra` channels more."""
        taps = int(np.prod(kernel, dtype=int))
        channels = self.fan_in // taps + extra
        sample = (channels, *kernel)
        graph = Graph("bound", ("x",), ("y",), values={"x": Value("x", "float32", ("n", *sample))})
        graph.add(Value("codes", "code", ("n", *sample), None, self.source))
        graph.add(self._weights((3, *kernel, channels)))
        affine = self.scheme == "Affine"
        graph.add_constant("b", np.array(self.bias), "int32" if affine else "float32")
        operator = "Convolution" if kernel else "Linear"
        attributes = {"kernel_shape": kernel, "pads": (1,) * 4 if taps > 1 else (0,) * 4} if kernel else {}
        graph.nodes = [
            Node("Encode", ("x",), ("codes",), {}, "encode", "lowbit"),
            Node(operator, ("codes", "w", "b"), ("y",), attributes, "layer", "lowbit"),
        ]
        infer(graph)
        verify(graph)
        return graph

    def _weights(self, shape: tuple[int, ...]) -> Value:
        random = np.random.default_rng(0)
        order = self.weights.code_of_rank()[0]
        codes = random.integers(0, len(order), shape).astype(np.uint8)
        codes[0], codes[1] = order[-1], order[0]
        if isinstance(self.weights, LearnedBasis):
            packed = pack(codes.reshape(3, -1), self.weights.bits)
            return Value("w", "planes", shape, packed, self.weights)
        return Value("w", "code", shape, codes, self.weights)

    def samples(self, graph: Graph) -> Array:
        """Return samples of the largest levels, of the smallest, and of both at random."""
        low, high = self.source.levels().min(), self.source.levels().max()
        shape = tuple(int(extent) for extent in graph.value("x").shape[1:])
        mixed = np.random.default_rng(1).choice([low, high], shape)
        return np.stack([np.full(shape, high), np.full(shape, low), mixed]).astype(np.float32)


def basis(multipliers: list[int], channels: int = 1) -> LearnedBasis:
    rows = np.tile(np.float32(multipliers), (channels, 1))
    return LearnedBasis(rows, np.zeros(channels), np.full(channels, multipliers[-1]))


WIDEST = INT32_MAX // (21 * 127)
NEAR = 2**31 - 2048  # a float32 close to the bound of a learned basis
LAYERS = {
    "lq-1x1": Layer("LQ", basis([21]), basis([127], 3), WIDEST, BY_BITS, (-NEAR, NEAR, 0)),
    "lq-3x2": Layer("LQ", basis([3, 6, 12]), basis([42, 85], 3), WIDEST, BY_BITS, (-NEAR, NEAR, 0)),
    "lq-2x3-bytes": Layer("LQ", basis([7, 14]), basis([18, 36, 73], 3), WIDEST, BY_BYTES, (-NEAR, NEAR, 0)),
    "pow2": Layer("Pow2", Affine(8, [1.0], [0]), PowerOfTwo(4, [64.0] * 3), INT32_MAX // (64 * 255)),
    "affine-positive": Layer(
        "Affine", Affine(8, [1.0], [0]), Affine(8, [1.0], [128]), 65793, bias=(127, -127, 0)
    ),
    "affine-negative": Layer(
        "Affine", Affine(8, [1.0], [255]), Affine(8, [1.0], [128]), 65793, bias=(-127, 127, 0)
    ),
}


def bound_of(graph: Graph) -> int:
    """Return the bound that the graph declares for its layer."""
    source, weights, bias = graph.value("codes").encoding, graph.value("w"), graph.constant("b")
    return deployed_layer(source, weights, bias).accumulator_bound()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", LAYERS)
def test_the_bound_is_reached(name: str, shape: str) -> None:
    layer, kernel = LAYERS[name], SHAPES[shape]
    graph = layer.graph(kernel)
    x, bound = layer.samples(graph), bound_of(graph)
    expected = evaluate(graph, {"x": x})["y"]
    middle = expected.astype(np.float64).reshape(3, 3, -1)[:, :2, expected[0, 0].size // 2]
    if layer.scheme == "LQ":
        assert list(middle[0] - layer.bias[:2]) == [bound, -bound]
    else:
        assert np.abs(middle).max() == np.float32(bound)
    for level in LEVELS:
        program = Program(graph, kernels=level, path=layer.path)
        np.testing.assert_array_equal(program.run(x), expected, err_msg=level)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", LAYERS)
def test_one_channel_more_is_summed_in_64_bits(name: str, shape: str) -> None:
    layer = LAYERS[name]
    graph = layer.graph(SHAPES[shape], extra=1)
    assert bound_of(graph) > INT32_MAX
    check_wide(graph, layer)


@pytest.mark.parametrize("shape", ["fully-connected", "pointwise"])
@pytest.mark.parametrize("name", ["affine-positive", "affine-negative"])
def test_affine_sums_reach_int32_to_the_unit(name: str, shape: str) -> None:
    layer = LAYERS[name]
    graph = layer.graph(SHAPES[shape])
    assert bound_of(graph) == INT32_MAX
    bias = graph.constant("b")
    bias += np.sign(bias)
    assert bound_of(graph) == INT32_MAX + 1
    check_wide(graph, layer)


def check_wide(graph: Graph, layer: Layer) -> None:
    """Check that the engine sums words, and gives what the reference gives."""
    x = layer.samples(graph)
    expected = evaluate(graph, {"x": x})["y"]
    for level in LEVELS:
        program = Program(graph, kernels=level, path=layer.path)
        assert any(operation.startswith("word_") for operation, _, _ in program.kernels)
        np.testing.assert_array_equal(program.run(x), expected, err_msg=level)
