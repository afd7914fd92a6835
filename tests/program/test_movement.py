"""Operators that only move elements give in the engine what they give in the reference."""

from itertools import product

import numpy as np
import pytest

from lowbit.engine import Program
from lowbit.ir import Graph, Node, Value, evaluate, infer, verify

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
