"""Networks with several inputs and outputs, of other types than float32, and with batches that move."""

import pickle  # noqa: TID251 - its own
from dataclasses import replace

import numpy as np
import pytest

from lowbit.backends import BACKENDS
from lowbit.engine import Program
from lowbit.errors import DataError
from lowbit.ir import Graph, Node, Value, evaluate, verify
from lowbit.ir.infer import infer

RANDOM = np.random.default_rng(5)


def made(graph: Graph, *nodes: tuple) -> Graph:
    graph.nodes = [Node(op, inputs, (out,), attributes, out) for op, inputs, out, attributes in nodes]
    infer(graph)
    verify(graph)
    return graph


def two_and_two(batch: str | int = "n") -> Graph:
    """Return (a + b c, a itself, b), where c is constant, of inputs of different shapes."""
    values = {
        "a": Value("a", "float32", (batch, 3, 4)),
        "b": Value("b", "float32", (batch, 1, 4)),
        "idle": Value("idle", "float32", ("m", "k")),
    }
    graph = Graph("two", ("a", "idle", "b"), ("y", "a", "z"), values=values)
    graph.add_constant("c", np.arange(3.0)[:, None])
    mul, add = ("Mul", ("b", "c"), "z", {}), ("Add", ("a", "z"), "y", {})
    return made(graph, mul, add)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batch", ["n", 1])
def test_all_inputs_in_and_all_outputs_out_in_the_order_of_the_graph(batch: str | int, threads: int) -> None:
    graph = two_and_two(batch)
    program = Program(graph, threads=threads)
    for rows in (1, 7, 300):
        a, b = (RANDOM.normal(size=(rows, n, 4)).astype(np.float32) for n in (3, 1))
        open_batch = replace(graph, values={**graph.values, **two_and_two().values})
        wanted = evaluate(open_batch, {"a": a, "b": b, "idle": np.zeros((1, 1), np.float32)})
        found = program.run(a, None, b)
        assert isinstance(found, tuple)
        for name, array in zip(graph.outputs, found, strict=True):
            np.testing.assert_array_equal(array, wanted[name])
        trace = program.trace(a, None, b)
        np.testing.assert_array_equal(trace["z"], wanted["z"])
    assert len(program.profile(a, None, b, repeats=2)) == len(program.kernels)
    again = pickle.loads(pickle.dumps(program.run))(a, None, b)  # noqa: S301 - its own
    assert np.array_equal(again[0], found[0])


def test_a_constant_may_be_an_output_beside_others() -> None:
    graph = two_and_two(1)
    graph.add_constant("k", RANDOM.normal(size=(1, 2)))
    graph.outputs = ("z", "k", "z")
    found = Program(graph).run(np.ones((1, 3, 4), np.float32), None, np.ones((1, 1, 4), np.float32))
    assert np.array_equal(found[1], graph.constant("k")) and np.array_equal(found[0], found[2])


def test_results_go_into_arrays_of_the_caller() -> None:
    graph = two_and_two()
    graph.inputs = ("a", "b")
    del graph.values["idle"]
    program = Program(graph)
    a, b = np.ones((2, 3, 4), np.float32), np.ones((2, 1, 4), np.float32)
    outs = tuple(np.empty((2, 3, 4), np.float32) for _ in range(3))
    program.run_into(a, b, outs)
    for found, out in zip(program.run(a, b), outs, strict=True):
        assert np.array_equal(found, out)
    for wrong in ((outs[0], outs[0], outs[1]), (a, *outs[:2])):
        with pytest.raises(DataError, match="cannot be used"):
            program.run_into(a, b, wrong)
    for wrong in (outs[0], outs[:2]):
        with pytest.raises(TypeError, match="results"):
            program.run_into(a, b, wrong)


def test_what_does_not_fit_names_the_input() -> None:
    program = Program(two_and_two())
    a, b = np.ones((2, 3, 4), np.float32), np.ones((2, 1, 4), np.float32)
    for given in ((a, None, b[:, :, :3]), (a, None, b[:1]), (a, None, b.astype(np.float64))):
        with pytest.raises(DataError) as caught:
            program.run(*given)
        assert caught.value.where in ("input b", "b")
    b[1, 0, 2] = np.nan
    with pytest.raises(DataError, match="sample 1"):
        program.run(a, None, b)
    with pytest.raises(TypeError, match="a, idle, b"):
        program.run(a, b)


def test_integers_come_in_and_go_out_as_what_they_are() -> None:
    values = {"ids": Value("ids", "int64", ("n", 5)), "mask": Value("mask", "bool", ("n", 5))}
    graph = made(
        Graph("typed", ("ids", "mask"), ("m", "y", "ids"), values=values),
        ("Identity", ("mask",), "m", {}),
        ("Identity", ("ids",), "y", {}),
    )
    program = Program(graph)
    ids = RANDOM.integers(-(1 << 24), (1 << 24) + 1, (3, 5))
    mask = ids > 0
    found = program.run(ids, mask)
    for array, wanted in zip(found, (mask, ids, ids), strict=True):
        assert array.dtype == wanted.dtype and np.array_equal(array, wanted)
    runner = BACKENDS["engine"].load(graph)
    assert all(np.array_equal(a, b) for a, b in zip(runner.run(ids, mask), found, strict=True))
    assert np.array_equal(runner.trace(ids, mask)["y"], ids)
    outs = tuple(np.empty_like(array) for array in found)
    program.run_into(ids, mask, outs)
    assert all(np.array_equal(a, b) for a, b in zip(outs, found, strict=True))
    for wrong in (ids.astype(np.float32), np.full_like(ids, (1 << 24) + 1), ids > 0):
        with pytest.raises(DataError) as caught:
            program.run(wrong, mask)
        assert "ids" in caught.value.where
    with pytest.raises(DataError):
        program.run_into(ids, mask, (outs[0], outs[1].astype(np.int32), outs[2]))


def tokens(batch: str | int) -> Graph:
    """Return what has tokens first between its ends, as torch's recurrent layers do."""
    graph = Graph("tokens", ("x",), ("y",), values={"x": Value("x", "float32", (batch, 5, 6))})
    graph.add_constant("w", RANDOM.normal(size=(6, 6)))
    graph.add_constant("b", RANDOM.normal(size=(6,)))
    graph.add_constant("scale", RANDOM.normal(size=(5, 1, 1)))
    graph.add_constant("flat", [5, 6], "int64")
    graph.add_constant("back", [5, 1, 6], "int64")
    layer = (
        ("Reshape", ("t", "flat"), "r", {}),
        ("Gemm", ("r", "w", "b"), "g", {"transB": 1}),
        ("Reshape", ("g", "back"), "s", {}),
    )
    graph = made(
        graph,
        ("Transpose", ("x",), "t", {"perm": (1, 0, 2)}),
        *(layer if batch == 1 else (("Tanh", ("t",), "s", {}),)),
        ("Mul", ("s", "scale"), "m", {}),
        ("Tanh", ("m",), "h", {}),
        ("Transpose", ("h",), "y", {"perm": (1, 0, 2)}),
    )
    return graph


@pytest.mark.parametrize("batch", ["n", 1])
def test_values_of_any_shape_run_sample_by_sample(batch: str | int) -> None:
    graph = tokens(batch)
    program = Program(graph)
    x = RANDOM.normal(size=(9, 5, 6)).astype(np.float32)
    wanted = np.concatenate([evaluate(graph, {"x": one[None]})["y"] for one in x])
    np.testing.assert_allclose(program.run(x), wanted, rtol=1e-5, atol=1e-5)
    name, shape = ("m", (5, 9, 6)) if batch == "n" else ("g", (45, 6))
    assert program.by_rows and program.trace(x)[name].shape == shape


def test_what_mixes_samples_is_planned_for_each_number_of_them() -> None:
    graph = Graph("mixed", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 5))})
    graph = made(graph, ("Transpose", ("x",), "t", {"perm": (1, 0)}), ("Softmax", ("t",), "y", {"axis": -1}))
    program = Program(graph)
    for count in (1, 2, 7):
        x = RANDOM.normal(size=(count, 5)).astype(np.float32)
        found = program.run(x)
        np.testing.assert_allclose(found, evaluate(graph, {"x": x})["y"], rtol=1e-6)
        assert found.shape == (5, count) and not program.by_rows
    assert program.memory.constants > 0 and program.kernels


def test_a_clip_between_computed_bounds() -> None:
    """As of a spectrum that is cut 80 dB below its largest value."""
    graph = Graph("cut", ("x",), ("y",), values={"x": Value("x", "float32", (1, 6))})
    graph.add_constant("all", [0, 1], "int64")
    graph.add_constant("eight", 0.5)
    graph = made(
        graph,
        ("ReduceMax", ("x", "all"), "m", {"keepdims": 0}),
        ("Sub", ("m", "eight"), "l", {}),
        ("Clip", ("x", "l"), "y", {}),
    )
    x = RANDOM.normal(size=(1, 6)).astype(np.float32)
    np.testing.assert_allclose(Program(graph).run(x), np.maximum(x, x.max() - 0.5))
