"""Arithmetic of values of different shapes, and transpositions, in the engine: the reference's numbers."""

from dataclasses import replace
from itertools import product
from math import prod

import numpy as np
import pytest

from lowbit.engine import Program, kernel_levels
from lowbit.ir import Graph, Node, Value, evaluate, infer, verify
from lowbit.planes import pack
from lowbit.quantization import Plan, quantize
from tests.ir.networks import Convolution, lowbit_convnet, lowbit_mlp

FEATURES = 24
SHAPES = [
    ((3, 4, 5), (3, 1, 1)),  # squeeze and excite
    ((3, 4, 5), (1, 4, 5)),
    ((3, 4, 5), (1, 1, 1)),
    ((3, 1, 1), (1, 4, 5)),
    ((1, 1, 5), (3, 4, 1)),
    ((3, 1, 1), (3, 1, 1)),
    ((7,), (1,)),
    ((3, 1), (1, 4)),
    ((3, 4, 1, 2), (1, 4, 2, 1)),
]


def start() -> Graph:
    return Graph("net", ("x",), ("y",), values={"x": Value("x", "float32", ("n", FEATURES))})


def value(graph: Graph, name: str, shape: tuple[int, ...], as_map: bool) -> str:
    """Add a value of that shape, made of the input, lying as a map where asked and possible."""
    random = np.random.default_rng(len(name) + prod(shape))
    graph.add_constant(f"{name}/w", random.normal(size=(prod(shape), FEATURES)))
    graph.add_constant(f"{name}/b", random.normal(size=prod(shape)))
    graph.add_constant(f"{name}/s", [-1, *shape], "int64")
    operands = ("x", f"{name}/w", f"{name}/b")
    graph.nodes.append(Node("Gemm", operands, (f"{name}/m",), {"transB": 1}, f"{name}/m"))
    graph.nodes.append(Node("Reshape", (f"{name}/m", f"{name}/s"), (f"{name}/r",), {}, f"{name}/r"))
    if not as_map or len(shape) != 3:
        return f"{name}/r"
    pool = Node("AveragePool", (f"{name}/r",), (f"{name}/p",), {"kernel_shape": (1, 1)}, f"{name}/p")
    graph.nodes.append(pool)
    return f"{name}/p"


def check(graph: Graph) -> None:
    infer(graph)
    verify(graph)
    x = np.random.default_rng(3).normal(size=(5, FEATURES)).astype(np.float32)
    np.testing.assert_allclose(Program(graph).run(x), evaluate(graph, {"x": x})["y"], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("swapped", [False, True])
def test_two_values_of_any_shapes(op: str, swapped: bool) -> None:
    for shapes, as_maps in product(SHAPES, product([False, True], repeat=2)):
        graph = start()
        pair = shapes[::-1] if swapped else shapes
        names = tuple(value(graph, n, shape, m) for n, shape, m in zip("ab", pair, as_maps, strict=True))
        graph.nodes.append(Node(op, names, ("y",), {}, "y"))
        check(graph)


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("first", [False, True])
def test_a_constant_of_any_shape(op: str, first: bool) -> None:
    for (shape, other), as_map in product([*SHAPES, *(pair[::-1] for pair in SHAPES)], [False, True]):
        graph = start()
        source = value(graph, "a", shape, as_map)
        graph.add_constant("c", np.random.default_rng(4).uniform(0.5, 2, size=other))
        names = ("c", source) if first else (source, "c")
        graph.nodes.append(Node(op, names, ("y",), {}, "y"))
        check(graph)


@pytest.mark.parametrize("order", [(0, 2, 3, 1), (0, 3, 1, 2), (0, 1, 3, 2), (0, 2, 1), (0, 3, 4, 1, 2)])
@pytest.mark.parametrize("as_map", [False, True])
def test_transpositions(order: tuple[int, ...], as_map: bool) -> None:
    for shape in ((3, 4, 5), (3, 1, 1), (1, 4, 5), (3, 4), (2, 3, 1, 4)):
        if len(shape) != len(order) - 1:
            continue
        graph = start()
        source = value(graph, "a", shape, as_map)
        graph.nodes.append(Node("Transpose", (source,), ("y",), {"perm": order}, "y"))
        check(graph)


@pytest.mark.parametrize("samples", [1, 2, 5])
def test_a_batch_may_move(samples: int) -> None:
    graph = start()
    graph.nodes.append(Node("Transpose", (value(graph, "a", (3,), False),), ("y",), {"perm": (1, 0)}, "y"))
    infer(graph)
    x = np.random.default_rng(0).random((samples, *graph.value("x").shape[1:]), np.float32)
    np.testing.assert_allclose(Program(graph).run(x), evaluate(graph, {"x": x})["y"], rtol=1e-5)


def squeeze_and_excite(gate: str, connected: bool) -> Graph:
    """Return conv, relu, then channels weighed by what two layers make of their means, then a classifier."""
    random = np.random.default_rng(5)
    graph = Graph("se", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 3, 6, 6))})

    def layer(op: str, source: str, name: str, shape: tuple[int, ...]) -> str:
        graph.add_constant(f"{name}/w", random.normal(size=shape) / np.sqrt(prod(shape[1:])))
        graph.add_constant(f"{name}/b", random.normal(size=shape[0]) / 4)
        attributes = {"transB": 1} if op == "Gemm" else {"pads": (shape[2] // 2,) * 4}
        graph.nodes.append(Node(op, (source, f"{name}/w", f"{name}/b"), (name,), attributes, name))  # type: ignore[arg-type]
        return name

    def unary(op: str, source: str, name: str) -> str:
        graph.nodes.append(Node(op, (source,), (name,), {}, name))
        return name

    wide = unary("Relu", layer("Conv", "x", "conv1", (8, 3, 3, 3)), "relu1")
    mean = unary("GlobalAveragePool", wide, "mean")
    if connected:
        narrow = unary("Relu", layer("Gemm", unary("Flatten", mean, "flat"), "fc1", (4, 8)), "relu2")
        weights = unary(gate, layer("Gemm", narrow, "fc2", (8, 4)), "gate1")
        graph.add_constant("map", [-1, 8, 1, 1], "int64")
        graph.nodes.append(Node("Reshape", (weights, "map"), ("gate",), {}, "gate"))
    else:
        narrow = unary("Relu", layer("Conv", mean, "fc1", (4, 8, 1, 1)), "relu2")
        unary(gate, layer("Conv", narrow, "fc2", (8, 4, 1, 1)), "gate")
    graph.nodes.append(Node("Mul", (wide, "gate"), ("weighed",), {}, "weighed"))
    unary("Flatten", layer("Conv", "weighed", "conv2", (5, 8, 6, 6)), "end")
    graph.nodes[-2] = Node(
        "Conv", ("weighed", "conv2/w", "conv2/b"), ("conv2",), {"kernel_shape": (6, 6)}, "conv2"
    )
    graph.outputs = ("end",)
    infer(graph)
    verify(graph)
    return graph


@pytest.mark.parametrize(("gate", "connected"), [("Sigmoid", False), ("HardSigmoid", True)])
def test_squeeze_and_excite_in_every_scheme(gate: str, connected: bool) -> None:
    graph = squeeze_and_excite(gate, connected)
    x = np.random.default_rng(6).normal(size=(64, 3, 6, 6)).astype(np.float32)
    exact = evaluate(graph, {"x": x})["end"]
    np.testing.assert_allclose(Program(graph).run(x), exact, rtol=1e-4, atol=1e-5)
    for scheme, bits in (("lq", 2), ("affine", 8), ("pow2", 4)):
        low, _ = quantize(graph, x, Plan(scheme=scheme, weight_bits=bits, activation_bits=bits))
        expected = evaluate(low, {"x": x})["end"]
        np.testing.assert_allclose(Program(low).run(x), expected, rtol=1e-4, atol=1e-4)
        if bits == 8:
            assert np.abs(expected - exact).max() < 0.1 * np.abs(exact).max()


@pytest.mark.parametrize("level", kernel_levels())
def test_codes_move_and_join_as_floats_do(level: str) -> None:
    """Channel shuffle, transpositions and joins between low-bit layers, of codes of any width."""
    random = np.random.default_rng(7)
    orders = [(0, 2, 1, 3, 4), (0, 1, 2, 4, 3), (0, 3, 4, 1, 2)]
    for order, bits in product(orders, (1, 2, 3)):
        graph = lowbit_convnet((8, 4, 4), (Convolution(64),), bits, 2, classes=0)
        graph = _with_codes_moved(graph, order, random)
        x = random.normal(size=(3, 8, 4, 4)).astype(np.float32)
        np.testing.assert_array_equal(Program(graph, kernels=level).run(x), evaluate(graph, {"x": x})["y"])


def _with_codes_moved(graph: Graph, order: tuple[int, ...], random: np.random.Generator) -> Graph:
    """Return the network with its codes split in groups of channels, moved and joined before the layer."""
    codes = graph.value("x/codes")
    layer = graph.nodes.pop()
    graph.add_constant("groups", [-1, 2, 4, 4, 4], "int64")
    graph.add_constant("map", [-1, 8, 4, 4], "int64")
    moved = [
        Node("Reshape", ("x/codes", "groups"), ("split",), {}, "split"),
        Node("Transpose", ("split",), ("moved",), {"perm": order}, "move"),
        Node("Reshape", ("moved", "map"), ("shuffled",), {}, "shuffled"),
        Node("Concat", ("shuffled", "x/codes"), ("tall",), {"axis": 2}, "tall"),
        Node("MaxPool", ("tall",), ("pooled",), {"kernel_shape": (2, 1), "strides": (2, 1)}, "pooled"),
    ]
    for node in moved:
        graph.values[node.outputs[0]] = Value(node.outputs[0], "code", (), None, codes.encoding)
    graph.nodes += [*moved, replace(layer, inputs=("pooled", *layer.inputs[1:]))]
    infer(graph)
    verify(graph)
    return graph


@pytest.mark.parametrize("features", [5, 32, 64])
def test_features_in_codes_are_joined(features: int) -> None:
    """Whole words of features too: flat codes are no maps of planes."""
    for bits in (1, 2):
        graph = lowbit_mlp((features, 40, 10), bits, 2)
        codes = graph.value("x/codes")
        graph.values["joined"] = Value("joined", "code", ("n", 2 * features), None, codes.encoding)
        encode, layer, *rest = graph.nodes
        twice = pack(np.random.default_rng(1).integers(0, 4, (40, 2 * features)), 2)
        weights = graph.value(layer.inputs[1])
        graph.update(weights.name, data=twice, shape=(40, 2 * features))
        join = Node("Concat", ("x/codes", "x/codes"), ("joined",), {"axis": 1}, "join")
        graph.nodes = [encode, join, replace(layer, inputs=("joined", *layer.inputs[1:])), *rest]
        infer(graph)
        verify(graph)
        x = np.random.default_rng(2).normal(size=(4, features)).astype(np.float32)
        np.testing.assert_allclose(Program(graph).run(x), evaluate(graph, {"x": x})["y"], atol=1e-6)
