"""Places of largest and smallest elements in generated C: of reals with ties, and of integer scores."""

import numpy as np
import pytest

from lowbit.c99 import blockers
from lowbit.c99.target import generated
from lowbit.engine import Program
from lowbit.errors import UnsupportedError
from lowbit.ir import Graph, Node, Value, infer
from tests.c99.test_ends import pictures, ran
from tests.c99.test_networks import check
from tests.ir.networks import lowbit_mlp


def graph_of(*nodes: Node, outputs: tuple[str, ...]) -> Graph:
    graph = Graph("places", ("x",), outputs, values={"x": Value("x", "float32", ("n", 3, 4, 5))})
    graph.add_constant("three", [3], "int64")
    graph.nodes = list(nodes)
    infer(graph)
    return graph


def test_places_of_reals_are_those_of_the_reference() -> None:
    nodes, outputs = [], []
    for axis in (1, 2, 3):
        for number, settings in enumerate(({}, {"select_last_index": 1}, {"keepdims": 0})):
            name = f"{'largest' if number % 2 else 'smallest'}{axis}{number}"
            nodes.append(
                Node("ArgMax" if number % 2 else "ArgMin", ("x",), (name,), {"axis": axis, **settings})
            )
            outputs.append(name)
        for largest in (0, 1):
            names = f"values{axis}{largest}", f"places{axis}{largest}"
            nodes.append(Node("TopK", ("x", "three"), names, {"axis": axis, "largest": largest}))
            outputs += names
    graph = graph_of(*nodes, outputs=tuple(outputs))
    random = np.random.default_rng(0)
    x = random.integers(-3, 4, (12, 3, 4, 5)).astype(np.float32)  # many are equal
    x[6:] += random.normal(size=(6, 3, 4, 5)).astype(np.float32)
    check(graph, x)


@pytest.mark.parametrize("softmax", [False, True])
def test_the_place_of_the_largest_score_is_the_class(softmax: bool) -> None:
    graph = lowbit_mlp((65, 33, 10), 2, 2, softmax=softmax)
    (scores,) = graph.outputs
    graph.nodes.append(Node("ArgMax", (scores,), ("class",), {"axis": 1}, "class"))
    graph.outputs = ("class",)
    infer(graph)
    x = pictures(100, 65)
    expected = Program(graph).run(x.astype(np.float32) / 255)
    np.testing.assert_array_equal(ran(graph, x, integers=True), expected)
    if softmax:  # its last bit might decide
        with pytest.raises(UnsupportedError, match="floats stand between codes"):
            generated(graph, "net")
    else:
        assert not blockers(graph)
        np.testing.assert_array_equal(ran(graph, x, given="pixels"), expected)


def test_scores_of_two_layers_are_not_compared() -> None:
    graph = lowbit_mlp((65, 33, 10), 2, 2, softmax=False)
    last = graph.nodes[-1]
    graph.nodes.append(Node(last.op, last.inputs, ("again",), dict(last.attributes), "again", last.domain))
    graph.nodes.append(Node("Concat", (*graph.outputs, "again"), ("both",), {"axis": 1}, "both"))
    graph.outputs = ("both",)
    infer(graph)
    generated(graph, "net")
    with pytest.raises(UnsupportedError, match="scores of several layers are joined"):
        generated(graph, "net", integers=True)
