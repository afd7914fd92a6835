"""Networks that run sample by sample: what exporters write of a recurrent layer, and what counts samples."""

import numpy as np

from lowbit.engine import Program
from lowbit.ir import Graph, Node, Value, evaluate, infer, verify


def network(*, counts: bool) -> Graph:
    """Return an LSTM whose first state is as long as there are samples; `counts` divides by their number."""
    random = np.random.default_rng(0)
    graph = Graph("net", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 5, 3))})
    for name, shape in (("W", (1, 16, 3)), ("R", (1, 16, 4)), ("head", (4, 2))):
        graph.add_constant(name, random.normal(size=shape))
    rows = {"first": [0], "one": [1], "width": [4], "flat": [0, 5, 4]}
    for name, row in rows.items():
        graph.add_constant(name, row, "int64")
    graph.add_constant("zero", 0.0)
    graph.add_constant("last", -1, "int64")
    graph.nodes = [
        Node("Shape", ("x",), ("shape",), {}, "shape"),
        Node("Gather", ("shape", "first"), ("count",), {}, "count"),
        Node("Concat", ("one", "count", "width"), ("lengths",), {"axis": 0}, "lengths"),
        Node("Expand", ("zero", "lengths"), ("state",), {}, "state"),
        Node("Transpose", ("x",), ("turned",), {"perm": (1, 0, 2)}, "turn"),
        Node("LSTM", ("turned", "W", "R", "", "", "state", "state"), ("all",), {"hidden_size": 4}, "lstm"),
        Node("Transpose", ("all",), ("back",), {"perm": (2, 0, 1, 3)}, "back"),
        Node("Reshape", ("back", "flat"), ("states",), {}, "flatten"),
        Node("Gather", ("states", "last"), ("end",), {"axis": 1}, "end"),
        Node("MatMul", ("end", "head"), ("y",), {}, "fc"),
    ]
    if counts:
        graph.nodes[-1] = Node("MatMul", ("end", "head"), ("scores",), {}, "fc")
        graph.nodes += [
            Node("Cast", ("count",), ("number",), {"to": 1}, "cast"),
            Node("Div", ("scores", "number"), ("y",), {}, "mean"),
        ]
    infer(graph)
    verify(graph)
    return graph


def test_a_recurrent_layer_of_turned_samples_runs_them_one_by_one() -> None:
    graph, x = network(counts=False), np.random.default_rng(1).normal(size=(9, 5, 3)).astype(np.float32)
    np.testing.assert_allclose(Program(graph).run(x), evaluate(graph, {"x": x})["y"], rtol=1e-5, atol=1e-6)


def test_what_computes_with_the_number_of_samples_runs_them_together() -> None:
    graph, x = network(counts=True), np.random.default_rng(1).normal(size=(9, 5, 3)).astype(np.float32)
    for count in (1, 9):
        expected = evaluate(graph, {"x": x[:count]})["y"]
        np.testing.assert_allclose(Program(graph).run(x[:count]), expected, rtol=1e-5, atol=1e-6)
