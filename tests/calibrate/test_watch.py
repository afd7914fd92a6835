"""Batches, the part of a graph that computes a value, and watching values."""

import numpy as np
import pytest

from lowbit.calibrate import batches, prefix, watch
from lowbit.ir import Graph, Node, Value, evaluate, infer


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


def test_watching_gives_the_named_values_only(chain):
    batch = np.array([[-1.0, 2.0]], np.float32)
    seen = watch(evaluate, chain, batch, ["a", "x"])
    assert set(seen) == {"a", "x"}
    assert np.array_equal(seen["a"], [[0.0, 2.0]])
