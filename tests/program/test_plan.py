"""Planning: what becomes planes, what becomes bytes, what disappears, and what is refused."""

import numpy as np
import pytest

from lowbit.engine import Program
from lowbit.errors import EngineError
from lowbit.ir import Graph, Node, Value, evaluate, infer, verify
from lowbit.program import plan
from lowbit.schemes import LearnedBasis
from tests.ir.networks import lowbit_mlp


def graph_of(*nodes, shape=("n", 6), constants=None):
    """Return a graph x -> … -> y of float nodes."""
    graph = Graph("test", ("x",), ("y",), values={"x": Value("x", "float32", shape)})
    for name, data in (constants or {}).items():
        graph.add_constant(name, data, "int64" if np.asarray(data).dtype.kind == "i" else "float32")
    graph.nodes = [
        Node(op, inputs, (output,), attributes, f"{op}/{output}") for op, inputs, output, attributes in nodes
    ]
    infer(graph)
    verify(graph)
    return graph


def operations(graph):
    return [type(step).__name__ for step in plan(graph).steps]


def ran(graph, path):
    return [operation for operation, _, _ in Program(graph, path=path).kernels]


def test_few_planes_count_bits_many_sum_bytes():
    graph = lowbit_mlp((65, 33, 10), 3, 2)
    assert operations(graph) == ["EncodePlanes", *["PlaneFullyConnected"] * 2, "Softmax"]
    assert ran(graph, "popcount") == ["encode", *["plane_fully_connected"] * 2, "softmax"]
    assert ran(graph, "dot") == ["encode", *["byte_fully_connected"] * 2, "softmax"]
    assert operations(lowbit_mlp((65, 33, 10), 2, 5))[1] == "ByteFullyConnected"


def test_bytes_are_planned_for_many_pairs_where_a_machine_is_known():
    graph = lowbit_mlp((65, 33, 10), 3, 2)
    for pairs, word in ((6, "Plane"), (5, "Byte")):
        found = [type(step).__name__ for step in plan(graph, plane_pairs=pairs).steps]
        assert found[1:3] == [f"{word}FullyConnected"] * 2


def test_equal_levels_travel_as_planes():
    graph = lowbit_mlp((65, 33, 10), 2, 2)
    tied = LearnedBasis(np.ones((1, 2)), np.zeros(1), np.ones(1))
    graph.update("x/codes", encoding=tied)
    assert operations(graph)[1] == type(plan(graph, plane_pairs=0).steps[1]).__name__ == "PlaneFullyConnected"
    assert ran(graph, "popcount")[1] == "plane_fully_connected"


def test_a_trace_tells_equal_levels_apart_that_run_as_one_byte():
    graph = lowbit_mlp((65, 33, 10), 2, 2)
    graph.update("x/codes", encoding=LearnedBasis(np.ones((1, 2)), np.zeros(1), np.ones(1)))
    samples, expected = np.random.default_rng(3).normal(0, 2, (9, 65)).astype(np.float32), {}
    evaluate(graph, {"x": samples}, expected.__setitem__)
    assert ran(graph, "dot")[1] == "byte_fully_connected"
    found = Program(graph, path="dot").trace(samples)
    assert set(np.unique(expected["x/codes"])) >= {1, 2}
    codes = [name for name, array in expected.items() if array.dtype.kind != "f"]
    assert len(codes) > 1
    for name in codes:
        np.testing.assert_array_equal(found[name], expected[name])


def test_codes_pass_what_moves_nothing():
    graph = lowbit_mlp((65, 33, 10), 2, 2)
    encode, first = graph.nodes[:2]
    graph.nodes[0] = Node("Encode", encode.inputs, ("early",), {}, "encode", "lowbit")
    graph.values["early"] = Value("early", "code", ("n", 65), None, graph.value("x/codes").encoding)
    graph.nodes.insert(1, Node("Flatten", ("early",), (first.inputs[0],), {}, "flatten"))
    infer(graph)
    verify(graph)
    x = np.random.default_rng(1).normal(size=(9, 65)).astype(np.float32)
    for path in ("dot", "popcount"):
        found = Program(graph, path=path).run(x)
        np.testing.assert_allclose(found, evaluate(graph, {"x": x})["y"], atol=1e-6)


@pytest.mark.parametrize(
    ("nodes", "constants"),
    [
        ([("Clip", ("x", "low", "high"), "y", {})], {"low": np.float32(-0.3), "high": np.float32(0.4)}),
        ([("Clip", ("x", "", "high"), "y", {})], {"high": np.float32(0.4)}),
        ([("Div", ("x", "row"), "y", {})], {"row": np.arange(1.0, 7)}),
        ([("Sub", ("x", "one"), "y", {})], {"one": np.float32(1)}),
        ([("Mul", ("row", "x"), "y", {})], {"row": np.arange(6.0)[None]}),
        ([("Relu", ("x",), "r", {}), ("Add", ("r", "x"), "y", {})], {}),
        ([("LogSoftmax", ("x",), "y", {"axis": 1})], {}),
        ([("Relu", ("x",), "r", {}), ("Concat", ("r", "x", "r"), "y", {"axis": 1})], {}),
        ([("Clip", ("x", "low", "high"), "y", {})], {"low": np.float32(0.4), "high": np.float32(-0.3)}),
    ],
)
def test_float_operators_equal_the_reference(nodes, constants):
    graph = graph_of(*nodes, constants=constants)
    x = np.random.default_rng(2).normal(size=(70, 6)).astype(np.float32)
    np.testing.assert_allclose(Program(graph).run(x), evaluate(graph, {"x": x})["y"], rtol=1e-6, atol=1e-6)


def test_images_are_flattened_for_free():
    constants = {"w": np.ones((12, 2)), "b": np.zeros(2)}
    graph = graph_of(
        ("Flatten", ("x",), "flat", {}),
        ("Gemm", ("flat", "w", "b"), "y", {}),
        shape=("n", 3, 2, 2),
        constants=constants,
    )
    x = np.random.default_rng(3).normal(size=(5, 3, 2, 2)).astype(np.float32)
    assert operations(graph) == ["FloatFullyConnected"]
    np.testing.assert_allclose(Program(graph).run(x), evaluate(graph, {"x": x})["y"], atol=1e-5)


@pytest.mark.parametrize(
    "graph",
    [
        graph_of(
            ("Conv", ("x", "w"), "y", {}), shape=("n", 2, 4, 4, 4), constants={"w": np.ones((3, 2, 2, 2, 2))}
        ),
    ],
    ids=["volume"],
)
def test_what_the_engine_does_not_run_is_refused_by_name(graph):
    with pytest.raises(EngineError) as caught:
        Program(graph)
    assert graph.nodes[0].op in caught.value.where and caught.value.remedy
