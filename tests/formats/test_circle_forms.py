"""Forms that the format does not have: written by TFLite's own operators, with the same numbers."""

from itertools import permutations
from typing import Any

import numpy as np
import pytest

from lowbit.formats.circle import blockers
from lowbit.formats.circle.reader import read_content
from lowbit.formats.circle.writer import content_of
from lowbit.ir import Graph, Node, Value, evaluate, infer
from lowbit.ir.graph import Attribute
from lowbit.quantization import Plan, quantize

SHAPES: dict[str, tuple[int, ...]] = {"features": (5,), "rows": (4, 5), "maps": (3, 4, 5)}
PADS = {"features": [0, 2, 0, 1], "rows": [0, 2, 1, 0, 0, 3], "maps": [0, 0, 2, 1, 0, 0, 3, 4]}

CASES: dict[str, tuple[str, tuple[Any, ...], dict[str, Attribute]]] = {
    "softmax over channels": ("Softmax", (), {"axis": 1}),
    "logarithms over channels": ("LogSoftmax", (), {"axis": 1}),
    "pads that reflect": ("Pad", ("pads",), {"mode": "reflect"}),
    "pads of the edge": ("Pad", ("pads",), {"mode": "edge"}),
    "pads of the other end": ("Pad", ("pads",), {"mode": "wrap"}),
    "a bound from below": ("Max", (np.float32(0.25),), {}),
    "a bound from above": ("Min", (np.full((1, 1), 0.25, np.float32),), {}),
    "the larger of two": ("Max", ("x",), {}),
    "one over": ("Reciprocal", (), {}),
    "a place that keeps its axis": ("ArgMax", (), {"axis": -1}),
    "a sum over the last axis": ("ReduceSum", (np.array([-1]),), {}),
    "a mean over features": ("ReduceMean", (np.array([-1]),), {"keepdims": 1}),
    "every second from the end": (
        "Slice",
        (np.array([-1]), np.array([-(2**31)]), np.array([-1]), np.array([-2])),
        {},
    ),
    "places from the end": ("Gather", (np.array([[-1, 0]]),), {"axis": -1}),
    "repeated": ("Tile", ("times",), {}),
    "nothing known": ("Where", (np.float32(1), np.float32(2)), {}),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("case", CASES)
def test_forms_are_written_by_operators_of_the_format(case: str, shape: str) -> None:
    graph = of_one(case, shape)
    assert not blockers(graph, builtin=True), "other runtimes have all of its operators"
    again = read_content(bytes(content_of(graph)), "forms")
    assert all(not node.op.startswith("onnx.") for node in again.nodes)
    x = np.random.default_rng(1).uniform(-1, 1, (3, *SHAPES[shape])).astype(np.float32)
    wanted, found = (evaluate(each, {each.inputs[0]: x}) for each in (graph, again))
    np.testing.assert_array_equal(found[again.outputs[0]], wanted["y"])


def of_one(case: str, shape: str) -> Graph:
    """Return a network of one operator between two others."""
    op, operands, attributes = CASES[case]
    graph = Graph("forms", ("x",), ("y",), values={"x": Value("x", "float32", ("n", *SHAPES[shape]))})
    rank = 1 + len(SHAPES[shape])
    given = {"pads": np.array(PADS[shape]), "times": np.array([1, *[2] * (rank - 1)])}
    names = []
    for index, part in enumerate(operands):
        data = given.get(part, part) if isinstance(part, str) else part
        kind = "float32" if not isinstance(data, str) and np.asarray(data).dtype.kind == "f" else "int64"
        names.append(data if isinstance(data, str) else graph.add_constant(f"c{index}", data, kind))
    graph.nodes = [Node("Abs", ("x",), ("a",), {}, "before")]
    source = "a"
    if op == "Where":
        graph.nodes.append(Node("Greater", ("a", names[0]), ("g",), {}, "tested"))
        source = "g"
    graph.nodes.append(Node(op, (source, *names), ("b",), attributes, "node"))
    graph.nodes.append(Node("Cast", ("b",), ("y",), {"to": 1}, "after"))
    infer(graph)
    return graph


def test_rows_of_channels_beside_maps() -> None:
    """A normalization of pixels between convolutions, and a sum around them, as in ConvNeXt."""
    random = np.random.default_rng(3)
    graph = Graph("rows", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 3, 4, 5))})
    for name in ("v", "w"):
        graph.add_constant(name, random.normal(size=(3, 3, 1, 1)))
    graph.add_constant("last", np.array([-1]), "int64")
    graph.nodes = [
        Node("Conv", ("x", "v"), ("a",), {}, "first"),
        Node("Transpose", ("a",), ("rows",), {"perm": (0, 2, 3, 1)}, "turn"),
        Node("ReduceMean", ("rows", "last"), ("mean",), {"keepdims": 1}, "mean"),
        Node("Sub", ("rows", "mean"), ("free",), {}, "free"),
        Node("Transpose", ("free",), ("map",), {"perm": (0, 3, 1, 2)}, "back"),
        Node("Conv", ("map", "w"), ("b",), {}, "second"),
        Node("Transpose", ("b",), ("more",), {"perm": (0, 2, 3, 1)}, "again"),
        Node("Add", ("more", "free"), ("y",), {}, "sum"),
    ]
    infer(graph)
    assert not blockers(graph, builtin=True)
    again = read_content(bytes(content_of(graph)), "rows")
    x = random.normal(size=(2, 3, 4, 5)).astype(np.float32)
    wanted, found = (evaluate(each, {"x": x})["y"] for each in (graph, again))
    np.testing.assert_array_equal(found, wanted)


GELUS = ("half first", "half last")


@pytest.mark.parametrize("form", GELUS)
def test_what_exporters_make_of_a_gelu_is_one_in_the_file(form: str) -> None:
    graph = gelu(form)
    assert not blockers(graph, builtin=True)
    again = read_content(bytes(content_of(graph)), "gelu")
    x = np.random.default_rng(1).normal(size=(3, 7)).astype(np.float32)
    wanted, found = (evaluate(each, {"x": x})["y"] for each in (graph, again))
    np.testing.assert_allclose(found, wanted, 1e-6, 1e-6)
    assert [node.op for node in again.nodes] == ["Gelu"]


def test_a_gelu_with_another_reader_inside_stays() -> None:
    graph = gelu("half last")
    graph.outputs = ("y", "e")
    again = read_content(bytes(content_of(graph)), "gelu")
    assert "Erf" in [node.op for node in again.nodes]


def gelu(form: str) -> Graph:
    graph = Graph("gelu", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 7))})
    numbers = {"half": 0.5, "root": 1.4142135, "inverse": 0.70710677, "one": 1.0}
    for name, number in numbers.items():
        graph.add_constant(name, np.float32(number))
    first = form == "half first"
    scaled = ("Mul", ("x", "inverse")) if first else ("Div", ("x", "root"))
    graph.nodes = [
        Node(*scaled, ("s",), {}, "s"),
        Node("Erf", ("s",), ("e",), {}, "e"),
        Node("Add", ("e", "one"), ("p",), {}, "p"),
    ]
    if first:
        graph.nodes += [Node("Mul", ("half", "x"), ("h",), {}, "h"), Node("Mul", ("h", "p"), ("y",), {}, "y")]
    else:
        graph.nodes += [Node("Mul", ("x", "p"), ("m",), {}, "m"), Node("Mul", ("m", "half"), ("y",), {}, "y")]
    infer(graph)
    graph.remove_unused()
    return graph


@pytest.mark.parametrize("low", [False, True])
@pytest.mark.parametrize("perm", [(0, *rest) for rest in permutations((1, 2, 3))])
def test_a_map_that_is_turned_is_another_map(perm: tuple[int, ...], low: bool) -> None:
    """As where a layer mixes along height: rows of channels of a map are read by a window again."""
    random, shape = np.random.default_rng(0), (2, 3, 4)
    turned = [[0, 5, *shape[1:]][axis] for axis in perm]
    graph = Graph("turned", ("x",), ("y",), values={"x": Value("x", "float32", ("n", *shape))})
    graph.add_constant("w", random.normal(size=(5, 2, 1, 1)))
    graph.add_constant("v", random.normal(size=(4, turned[1], 1, 1)))
    graph.nodes = [
        Node("Conv", ("x", "w"), ("a",), {}, "first"),
        Node("Transpose", ("a",), ("b",), {"perm": perm}, "turn"),
        Node("Conv", ("b", "v"), ("y",), {}, "second"),
    ]
    infer(graph)
    x = random.normal(size=(8, *shape)).astype(np.float32)
    graph = quantize(graph, x, Plan("affine:8", "affine:8", method="rtn"))[0] if low else graph
    again = read_content(bytes(content_of(graph)), "forms")
    wanted, found = (evaluate(each, {each.inputs[0]: x})[each.outputs[0]] for each in (graph, again))
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("form", ["", "affine:8", "lq:2"])
@pytest.mark.parametrize("turns", [False, True])
def test_a_map_whose_rows_are_mixed_is_added_to_the_map(turns: bool, form: str) -> None:
    """As in a mixer: along its rows, or, turned, along its columns."""
    random, shape = np.random.default_rng(0), (2, 3, 4)
    graph = Graph("mixed", ("x",), ("y",), values={"x": Value("x", "float32", ("n", *shape))})
    length = shape[1 if turns else 2]
    for name, extents in (("w", (5, 2, 1, 1)), ("m", (length, length)), ("v", (3, 5, 1, 1))):
        graph.add_constant(name, random.normal(size=extents))
    perm: dict[str, Attribute] = {"perm": (0, 1, 3, 2)}
    graph.nodes = [
        Node("Conv", ("x", "w"), ("a",), {}, "first"),
        *([Node("Transpose", ("a",), ("t",), perm, "turn")] if turns else []),
        Node("MatMul", ("t" if turns else "a", "m"), ("r",), {}, "rows"),
        *([Node("Transpose", ("r",), ("b",), perm, "back")] if turns else []),
        Node("Add", ("a", "b" if turns else "r"), ("s",), {}, "sum"),
        Node("Relu", ("s",), ("h",), {}, "relu"),
        Node("Conv", ("h", "v"), ("y",), {}, "last"),
    ]
    infer(graph)
    x = random.normal(size=(8, *shape)).astype(np.float32)
    graph = quantize(graph, x, Plan(form, form, method="rtn"))[0] if form else graph
    again = read_content(bytes(content_of(graph)), "forms")
    wanted, found = (evaluate(each, {each.inputs[0]: x})[each.outputs[0]] for each in (graph, again))
    np.testing.assert_array_equal(found, wanted)
