"""Batches, the part of a graph that computes a value, and what runs it."""

import numpy as np
import pytest

from lowbit.calibrate import batches, engine_or_reference, prefix
from lowbit.ir import Graph, Node, Value, infer


@pytest.fixture
def chain():
    graph = Graph("chain", ("x",), ("c",))
    graph.add(Value("x", "float32", ("n", 2)))
    for source, op, output in (("x", "Relu", "a"), ("a", "Tanh", "b"), ("b", "Sigmoid", "c")):
        graph.nodes.append(Node(op, (source,), (output,), {}, op))
    infer(graph)
    return graph


@pytest.mark.parametrize("count", [1, 255, 256, 257, 600])
def test_batches_hold_every_sample_once_and_stay_small(count):
    samples = np.arange(count, dtype=np.float32)[:, None]
    parts = list(batches(samples, "n"))
    assert np.array_equal(np.concatenate(parts), samples)
    assert max(map(len, parts)) <= 256


@pytest.mark.parametrize("count", [4, 5, 7, 8])
def test_batches_of_a_fixed_length_are_never_shorter(count):
    samples = np.arange(count, dtype=np.float32)[:, None]
    parts = list(batches(samples, 4))
    assert all(len(part) == 4 for part in parts)
    assert set(np.concatenate(parts).ravel()) == set(samples.ravel())


def test_a_prefix_computes_no_more_than_is_asked(chain):
    part = prefix(chain, ["b"])
    assert [node.op for node in part.nodes] == ["Relu", "Tanh"]
    assert chain.outputs == ("c",)
    assert prefix(chain, ["x"]).nodes == []


@pytest.mark.parametrize("inputs", [1, 2])
def test_what_the_engine_does_not_run_the_reference_does(inputs):
    graph = Graph("sum", ("x", "z")[:inputs], ("y",))
    for name in graph.inputs:
        graph.add(Value(name, "float32", ("n", 2)))
    graph.nodes.append(Node("Add", ("x", graph.inputs[-1]), ("y",), {}, "sum"))
    infer(graph)
    rows = np.array([[1.0, 2.0], [0.5, -3.0]], np.float32)
    found = engine_or_reference(graph)(dict.fromkeys(graph.inputs, rows))
    assert np.array_equal(found["y"], 2 * rows)
