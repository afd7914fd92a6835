"""Operators that only move elements give in the engine what they give in the reference."""

from itertools import product

import numpy as np
import pytest

from lowbit.engine import Program
from lowbit.ir import Graph, Node, Value, evaluate, infer, verify
from lowbit.ir.operators import OPERATORS

RANDOM = np.random.default_rng(8)
PADS = [(0, 1, 0, 2), (1, 0, 2, 1), (0, -1, 0, 1), (-1, 0, 0, 0)]


def network(
    op: str, *constants: np.ndarray, first: tuple[int, ...] = (3, 4, 3), **attributes: object
) -> Graph:
    """Return one operator of a value of that shape, between functions."""
    graph = Graph("moved", ("x",), ("y",), values={"x": Value("x", "float32", ("n", *first))})
    names = ["t"]
    for number, constant in enumerate(constants):
        array = np.asarray(constant)
        kind = "int64" if array.dtype.kind == "i" else "float32"
        names.append(graph.add_constant(f"c{number}", array, kind))
    graph.nodes = [
        Node("Tanh", ("x",), ("t",), {}, "t"),
        Node(op, tuple(names), ("m",), attributes, "m"),
        Node("Tanh", ("m",), ("y",), {}, "y"),
    ]
    infer(graph)
    verify(graph)
    return graph


def check(graph: Graph, *, samples: int = 3) -> None:
    shape = (samples, *graph.value("x").shape[1:])
    x = RANDOM.normal(size=shape).astype(np.float32)
    wanted = evaluate(graph, {"x": x})["y"]
    np.testing.assert_allclose(Program(graph).run(x), wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("first", [(3, 4, 3), (4, 3)])
@pytest.mark.parametrize("mode", ["constant", "reflect", "edge", "wrap"])
def test_pads(mode: str, first: tuple[int, ...]) -> None:
    for begins, ends in product(PADS, PADS):
        pads = np.array([0, *begins[: len(first)], 0, *ends[: len(first)]])
        if mode != "constant" and (pads < 0).any():
            continue
        if mode == "reflect" and max(*begins[: len(first)], *ends[: len(first)]) > 1:
            continue
        fill = (np.float32(0.75),) if mode == "constant" else ()
        check(network("Pad", pads, *fill, first=first, mode=mode))


def test_a_pad_of_samples_takes_them_as_one() -> None:
    graph = network("Pad", np.array([0, 1, 0, 0, 0, 1, 0, 0]))
    graph.values["x"] = Value("x", "float32", (2, 3, 4, 3))
    graph.values["c0"] = Value("c0", "int64", (8,), np.array([1, 0, 0, 0, 0, 0, 0, 0]))
    infer(graph)
    x = RANDOM.normal(size=(2, 3, 4, 3)).astype(np.float32)
    program = Program(graph)
    assert not program.by_rows
    np.testing.assert_allclose(program.run(x), evaluate(graph, {"x": x})["y"], rtol=1e-6)


def test_joined_parts_may_be_constant_or_the_same() -> None:
    graph = Graph("joined", ("x",), ("y",), values={"x": Value("x", "float32", (1, 2, 3))})
    graph.add_constant("k", RANDOM.normal(size=(1, 4, 3)))
    graph.nodes = [
        Node("Concat", ("k", "x", "x"), ("j",), {"axis": 1}, "j"),
        Node("Concat", ("j", "j"), ("y",), {"axis": -1}, "y"),
    ]
    infer(graph)
    x = RANDOM.normal(size=(1, 2, 3)).astype(np.float32)
    np.testing.assert_array_equal(Program(graph).run(x), evaluate(graph, {"x": x})["y"])


MOVERS = [
    ("Slice", (np.array([1]), np.array([3]), np.array([2])), {}),
    ("Slice", (np.array([-1, 0]), np.array([-9, 2]), np.array([1, 3]), np.array([-1, 1])), {}),
    ("Gather", (np.array([2, 0, 0]),), {"axis": 2}),
    ("Gather", (np.array(1),), {"axis": 1}),
    ("Gather", (np.array([[0, 1], [2, 1]]),), {"axis": 3}),
    ("Tile", (np.array([1, 2, 1, 3]),), {}),
    *([("Split", (np.array([1, 2]),), {"axis": 1})] if ("", "Split") in OPERATORS else []),
]


@pytest.mark.parametrize(("op", "constants", "attributes"), MOVERS)
@pytest.mark.parametrize("batch", ["n", 1, 2])
@pytest.mark.parametrize("island", [False, True])
def test_movers_of_maps(op, constants, attributes, batch, island: bool) -> None:
    """On maps as they are, and with channels last between layers that have them first."""
    graph = Graph("moved", ("x",), ("y",), values={"x": Value("x", "float32", (batch, 3, 4, 3))})
    graph.add_constant("w", RANDOM.normal(size=(3, 3, 1, 1)))
    names = [graph.add_constant(f"c{n}", data, "int64") for n, data in enumerate(constants)]
    graph.nodes = [
        Node("Conv", ("x", "w"), ("t",), {}, "t"),
        Node("Transpose", ("t",), ("l",), {"perm": (0, 2, 3, 1)}, "l"),
        Node(op, ("l" if island else "t", *names), ("m", "o") if op == "Split" else ("m",), attributes, "m"),
        Node("Tanh", ("m",), ("y",), {}, "y"),
    ]
    if op == "Split":
        graph.outputs = ("y", "o")
        if island:
            graph.values["c0"] = Value("c0", "int64", (2,), np.array([1, 3]))
    infer(graph)
    graph.remove_unused()
    verify(graph)
    x = RANDOM.normal(size=(3 if batch == "n" else batch, 3, 4, 3)).astype(np.float32)
    found = Program(graph).run(x)
    wanted = evaluate(graph, {"x": x})
    for name, array in zip(graph.outputs, found if op == "Split" else (found,), strict=True):
        np.testing.assert_allclose(array, wanted[name], rtol=1e-5, atol=1e-5)
