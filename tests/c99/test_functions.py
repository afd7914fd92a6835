"""Functions between a layer and an encoder: codes behind leaky ReLUs, hard swishes, … are the engine's."""

import numpy as np
import pytest

import lowbit
from lowbit.backends import BACKENDS
from lowbit.c99 import blockers
from lowbit.c99.functions import evaluated, source_of
from lowbit.ir import Graph, Node, Value, infer
from lowbit.ir.graph import Array
from lowbit.program import steps

FUNCTIONS = {
    "leaky": [("LeakyRelu", {"alpha": 0.1}, ())],
    "parametric": [("PRelu", {}, ("slopes",))],
    "falling": [("LeakyRelu", {"alpha": -0.3}, ())],
    "hard swish": [("HardSwish", {}, ())],
    "hard sigmoid": [("HardSigmoid", {}, ())],
    "moved": [("Mul", {}, ("factor",)), ("Add", {}, ("summand",)), ("Clip", {}, ("summand", "factor"))],
}
SCHEMES = ("affine:8", "affine:4", "lq:2", "binary", "fixed:4.6")


def network(function: str, pool: bool, random: np.random.Generator) -> Graph:
    """Return normalization, convolution, function, pool or none, convolution, function, convolution."""
    graph = Graph("functions", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 1, 9, 9))})
    graph.add_constant("slopes", random.uniform(-0.2, 0.5, (3, 1, 1)))
    graph.add_constant("factor", 1.7)
    graph.add_constant("summand", -0.4)
    graph.add_constant("w1", random.normal(size=(3, 1, 3, 3)))
    graph.add_constant("w2", random.normal(size=(3, 3, 3, 3)) / 3)
    graph.add_constant("w3", random.normal(size=(5, 3, 3, 3)) / 3)
    padded = {"kernel_shape": (3, 3), "pads": (1, 1, 1, 1)}

    def through(source: str, stem: str) -> str:
        for number, (op, settings, constants) in enumerate(FUNCTIONS[function]):
            made = f"{stem}{number}"
            graph.nodes.append(Node(op, (source, *constants), (made,), dict(settings), made))
            source = made
        return source

    graph.nodes.append(Node("Mul", ("x", "factor"), ("normal",), {}, "normal"))
    graph.nodes.append(Node("Conv", ("normal", "w1"), ("a",), dict(padded), "a"))
    source = through("a", "f")
    if pool:
        graph.nodes.append(
            Node("MaxPool", (source,), ("p",), {"kernel_shape": (2, 2), "strides": (2, 2)}, "p")
        )
        source = "p"
    graph.nodes.append(Node("Conv", (source, "w2"), ("b",), dict(padded), "b"))
    graph.nodes.append(Node("Conv", (through("b", "g"), "w3"), ("y",), dict(padded), "y"))
    infer(graph)
    return graph


def same_as_engine(graph: Graph, x: Array) -> None:
    wanted, found = (BACKENDS[name].load(graph).trace(x) for name in ("engine", "c99"))
    for name in wanted.keys() & found.keys():
        np.testing.assert_array_equal(found[name], wanted[name].reshape(found[name].shape), name)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("pool", [False, True])
def test_codes_behind_functions_are_the_engines(function: str, pool: bool) -> None:
    random = np.random.default_rng(len(function) + pool)
    x = random.normal(size=(40, 1, 9, 9)).astype(np.float32) * 2
    scheme = SCHEMES[(2 * list(FUNCTIONS).index(function) + pool) % len(SCHEMES)]
    plan = lowbit.Plan(scheme, scheme)
    graph, _ = lowbit.quantize(network(function, pool, random), x, plan=plan)
    assert not blockers(graph), (scheme, blockers(graph))
    same_as_engine(graph, x[:8])


def test_functions_that_are_not_held_are_refused_with_what_helps() -> None:
    random = np.random.default_rng(0)
    graph = network("leaky", True, random)
    graph.nodes = [
        Node("AveragePool", *(node.inputs, node.outputs, node.attributes, node.name))
        if node.op == "MaxPool"
        else node
        for node in graph.nodes
    ]
    infer(graph)
    x = random.normal(size=(40, 1, 9, 9)).astype(np.float32)
    graph, _ = lowbit.quantize(graph, x, plan=lowbit.Plan("affine:8", "affine:8"))
    found = blockers(graph)
    assert found and all("average what a layer or its ReLU makes" in each.remedy for each in found)


def test_functions_of_decoded_codes_are_known_by_code() -> None:
    reals, slope = np.linspace(-3, 4, 29, dtype=np.float32), np.float32([0.1])
    made = {
        1: steps.Decode(reals, sources=(0,)),
        2: steps.Clip(-np.inf, 0.0, sources=(1,)),
        3: steps.CombineConstant(slope, "multiply", sources=(2,)),
        4: steps.Clip(0.0, np.inf, sources=(1,)),
        5: steps.Combine("add", sources=(3, 4)),
    }
    encoder = steps.EncodeAffine(0.02, 20.0, 255.0, sources=(5,))
    wanted = np.minimum(reals, 0) * slope + np.maximum(reals, 0)
    found = evaluated(encoder, made, source_of(5, made), reals)
    assert found is not None
    np.testing.assert_array_equal(found, wanted)
    made[3] = steps.CombineConstant(np.float32([0.1, 0.2]), "multiply", sources=(2,))
    assert evaluated(encoder, made, 1, reals) is None  # other functions of other channels
