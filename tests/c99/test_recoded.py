"""Reals between codes: sums of two values of codes and means of windows, equal to the engine's float32."""

import numpy as np
import pytest

from lowbit.c99.recoded import AddCodes, Recode, without_reals
from lowbit.c99.target import generated
from lowbit.engine import Program
from lowbit.ir import Graph, Node, Value, infer, verify
from lowbit.program import plan
from lowbit.schemes import Affine
from tests.c99.test_ends import ran


def affine(scale: float, zero: int) -> Affine:
    return Affine(8, np.full(1, scale, np.float32), np.full(1, zero, np.int32))


def network(kind: str, seed: int) -> Graph:
    """Return x -> codes -> reals -> a sum with others, or means of windows -> codes -> y."""
    random = np.random.default_rng(seed)
    graph = Graph("recoded", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 3, 4, 4))})
    for name in ("a", "b", "c"):
        scale, zero = random.uniform(0.003, 0.02), int(random.integers(0, 256))
        graph.add(Value(name, "code", (), None, affine(scale, zero)))
    nodes = [
        Node("Encode", ("x",), ("a",), {}, "encode_a", "lowbit"),
        Node("Encode", ("x",), ("b",), {}, "encode_b", "lowbit"),
        Node("Decode", ("a",), ("ra",), {}, "decode_a", "lowbit"),
        Node("Decode", ("b",), ("rb",), {}, "decode_b", "lowbit"),
    ]
    if kind == "sum":
        nodes += [Node("Add", ("ra", "rb"), ("s",), {}, "sum"), Node("Relu", ("s",), ("t",), {}, "relu")]
    else:
        nodes[2] = Node("Decode", ("m",), ("ra",), {}, "decode_a", "lowbit")
        graph.add(Value("m", "code", (), None, graph.value("a").encoding))
        nodes += [Node("MaxPool", ("a",), ("m",), {"kernel_shape": (2, 2)}, "map")]
        nodes += [Node("AveragePool", ("ra",), ("t",), {"kernel_shape": (3, 3)}, "mean")]
    nodes += [
        Node("Encode", ("t",), ("c",), {}, "encode_c", "lowbit"),
        Node("Decode", ("c",), ("y",), {}, "decode_c", "lowbit"),
    ]
    graph.nodes = nodes if kind == "sum" else [node for node in nodes if "b" not in node.name[-2:]]
    order = ("encode_a", "encode_b", "map", "decode_a", "decode_b", "sum", "mean", "relu")
    graph.nodes.sort(key=lambda node: order.index(node.name) if node.name in order else len(order))
    infer(graph)
    verify(graph)
    return graph


@pytest.mark.parametrize("kind", ["sum", "mean"])
def test_reals_between_codes_are_integers(kind: str) -> None:
    proved = 0
    for seed in range(6):
        graph = network(kind, seed)
        found = [type(step) for step in without_reals(plan(graph)).steps]
        if not {AddCodes, Recode}.intersection(found):
            continue
        proved += 1
        x = np.random.default_rng(seed).normal(0, 1, (200, 3, 4, 4)).astype(np.float32)
        assert "Add" not in generated(graph, "net").code
        np.testing.assert_array_equal(
            ran(graph, x, given="float").reshape(200, -1), Program(graph).run(x).reshape(200, -1)
        )
    assert proved >= 3
