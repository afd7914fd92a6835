"""Bodies: read, written out as nodes, and equal to what the operator is defined as."""

import numpy as np
import pytest

from lowbit.errors import GraphError, UnsupportedError
from lowbit.ir import OPERATORS, Graph, Node, Value, evaluate, infer, verify
from lowbit.ir.graph import Attribute
from lowbit.ir.operators.body import parse
from lowbit.ir.passes import expand
from tests.ir.toys import network, samples, toy

WITH_BODY = sorted(name for (domain, name), operator in OPERATORS.items() if operator.body and not domain)
ATTRIBUTES: dict[str, list[dict[str, Attribute]]] = {
    "Elu": [{"alpha": 1.0}, {"alpha": 0.3}, {"alpha": -2.0}],
    "HardSigmoid": [{}, {"alpha": 0.5, "beta": 0.1}],
    "LeakyRelu": [{}, {"alpha": -0.5}, {"alpha": 3.0}],
}


def in_steps(graph: Graph, node: Node) -> bool:
    """Return whether an operator is none that has a body, as a back end of primitives says it."""
    return OPERATORS[node.domain, node.op].body is None or (
        node.op == "Elu" and node.attributes["alpha"] == 1
    )


@pytest.mark.parametrize("op", WITH_BODY)
def test_a_body_is_its_operator_to_float32_rounding(op: str) -> None:
    for attributes in ATTRIBUTES.get(op, [{}]):
        inputs = len(OPERATORS["", op].inputs)
        graph = network(
            op, (3, 4, 5), attributes, constants={"slope": np.linspace(-1, 2, 3).reshape(3, 1, 1)}
        )
        graph.nodes[-1] = Node(op, ("x", "slope")[:inputs], ("y",), attributes, "f")
        infer(graph)
        verify(graph)
        written = expand(graph, in_steps)
        assert all(in_steps(written, node) for node in written.nodes)
        x = samples((3, 4, 5))
        result, expected = (evaluate(each, {"x": x})["y"] for each in (written, graph))
        with np.errstate(invalid="ignore"):  # infinities are equal, and their tolerance is no number
            bound = 3e-7 * np.maximum(1, np.abs(x))
            near = np.isclose(result, expected, rtol=3e-6, atol=bound, equal_nan=True)
        assert near.all(), (x[~near], result[~near], expected[~near])


def test_what_a_back_end_has_stays_and_the_graph_is_the_same() -> None:
    graph = network("HardSwish", (7,))
    assert expand(graph, lambda graph, node: True) is graph


def test_what_has_no_body_stays() -> None:
    graph = network("Tanh", (7,))
    assert expand(graph, lambda graph, node: False) is graph


def test_an_operator_in_terms_of_one_case_of_itself_ends_there() -> None:
    written = expand(network("Elu", (7,), {"alpha": 2.0}), lambda graph, node: node.op != "Elu")
    assert [node.attributes.get("alpha") for node in written.nodes if node.op == "Elu"] == [1.0]


def test_names_are_new_whatever_the_graph_has() -> None:
    graph = network("HardSwish", (7,))
    graph.nodes += [
        Node("Relu", ("y",), ("y/mul",), {}, "y/add"),
        Node("Relu", ("y/mul",), ("z",), {}, "y/clip"),
    ]
    graph.outputs = ("z",)
    infer(graph)
    verify(expand(graph, in_steps))


def test_a_composite_is_declared_by_its_body_alone() -> None:
    with toy("Toy", "X", "half = X / 2\nhalf * Tanh(rate * half - 1) - half", rate=3.0):
        x = samples((2, 3))
        for rate in (3.0, 0.25):
            graph = network("Toy", (2, 3), {} if rate == 3.0 else {"rate": rate})
            with np.errstate(all="ignore"):
                half = x / np.float32(2)
                line = np.float32(rate) * half - np.float32(1)
                expected = half * np.tanh(line.astype(np.float64)).astype(np.float32) - half
            np.testing.assert_array_equal(evaluate(graph, {"x": x})["y"], expected)
            np.testing.assert_array_equal(evaluate(expand(graph, in_steps), {"x": x})["y"], expected)


def test_shapes_follow_from_the_body() -> None:
    with toy("Toy", "A B", "Relu(A) * B + A"):
        graph = network("Toy", (3, 1), constants={"b": np.ones((3, 4))})
        assert graph.value("y").shape == ("n", 3, 4)


def test_a_composite_of_composites_is_written_out_whole() -> None:
    with toy("Inner", "X", "X * X"), toy("Outer", "X", "HardSwish(Inner(X)) + 1"):
        graph = network("Outer", (5,))
        x = samples((5,))
        written = expand(graph, in_steps)
        np.testing.assert_allclose(
            evaluate(written, {"x": x})["y"], evaluate(graph, {"x": x})["y"], rtol=1e-6, atol=1e-6
        )
        assert all(in_steps(written, node) for node in written.nodes)


def test_a_composite_checks_what_it_reads() -> None:
    with toy("Toy", "X", "X + 1"):
        graph = Graph("net", ("x",), ("y",), values={"x": Value("x", "int64", ("n", 2))})
        graph.nodes.append(Node("Toy", ("x",), ("y",), {}, "toy"))
        with pytest.raises(GraphError, match=r"net/toy.*float32"):
            infer(graph)


def test_a_body_of_an_operator_that_is_not_there_says_so() -> None:
    with toy("Toy", "X", "Relux(X)"), pytest.raises(UnsupportedError, match=r"Toy.*Relu"):
        network("Toy", (2,))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "X +",
        "X X",
        "(X",
        "Clip(X, max=0, 1)",
        "X ** 2",
        "__import__('os')",
        "X.y(",
        "1 = X\nX",
        "a = X",
        "é",
    ],
)
def test_what_is_no_body_is_refused_and_names_the_place(text: str) -> None:
    with pytest.raises(GraphError, match="the body of an operator cannot be read"):
        parse(text, "Toy")


def test_numbers_are_worked_out_in_float64() -> None:
    with toy("Toy", "X", "X * (1/3 - rate / 7 + 2 * -1.5e-1)", rate=0.1):
        graph = network("Toy", (1,))
        written = expand(graph, in_steps)
        (factor,) = (value.data for value in written.values.values() if value.data is not None)
        assert factor == np.float32(1 / 3 - 0.1 / 7 + 2 * -0.15)
