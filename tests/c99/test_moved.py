"""Encoders before what moves reals: joined and pooled maps, repeated rows."""

import numpy as np
import pytest

import lowbit
from lowbit.c99 import blockers
from lowbit.c99.moved import moved
from lowbit.ir import Graph, Node, Value, infer
from lowbit.program import steps
from tests.c99.test_functions import same_as_engine


@pytest.mark.parametrize("scheme", ["affine:8", "lq:2", "pow2:3", "fixed:4.6"])
def test_joined_maps_are_joined_as_codes(scheme: str) -> None:
    random = np.random.default_rng(len(scheme))
    graph = Graph("joined", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 2, 8, 7))})
    for name, shape in (("w1", (3, 2, 3, 3)), ("w2", (4, 2, 1, 1)), ("w3", (5, 10, 3, 3))):
        graph.add_constant(name, random.normal(size=shape))
    padded = {"kernel_shape": (3, 3), "pads": (1, 1, 1, 1)}
    graph.nodes = [
        Node("Conv", ("x", "w1"), ("a",), dict(padded), "a"),
        Node("Conv", ("x", "w2"), ("b",), {"kernel_shape": (1, 1)}, "b"),
        Node("LeakyRelu", ("b",), ("c",), {"alpha": 0.2}, "c"),
        Node("MaxPool", ("a",), ("p",), {**padded, "strides": (1, 1)}, "p"),
        Node("Conv", ("x", "w1"), ("d",), dict(padded), "d"),
        Node("Concat", ("p", "c", "d"), ("joined",), {"axis": 1}, "joined"),
        Node("Relu", ("joined",), ("r",), {}, "r"),
        Node("Conv", ("r", "w3"), ("y",), dict(padded), "y"),
    ]
    infer(graph)
    x = random.normal(size=(40, 2, 8, 7)).astype(np.float32)
    low, _ = lowbit.quantize(graph, x, plan=lowbit.Plan(scheme, "affine:4" if "pow2" in scheme else scheme))
    assert not blockers(low)
    same_as_engine(low, x[:8])


def test_what_repeats_elements_is_moved_and_what_weighs_them_is_not() -> None:
    table = np.arange(3, dtype=np.uint8)
    encoder = steps.EncodeBytes(np.float32([0, 1]), table, sources=(3,))
    places, weights = np.uint32([[0, 0], [1, 0], [2, 1]]), np.float32([[1, 0], [0, 1], [1, 0]])
    repeated = steps.Resample(2, 3, 2, places, weights, 0, sources=(1,))
    weighed = steps.Resample(2, 3, 2, places, np.full((3, 2), 0.5, np.float32), 0, sources=(1,))
    layer = steps.EncodeBytes(np.float32([5]), table[:2], sources=(0,))
    made = {
        1: steps.Activate("identity", sources=(0,)),
        4: repeated,
        3: steps.Clip(0.0, 9.0, sources=(4,)),
    }

    def coded(view):
        return layer if isinstance(view[4], steps.Activate) else None

    found = moved(encoder, made, frozenset(), coded)
    assert found is not None and found[1] is layer
    np.testing.assert_array_equal(found[-1].places, [0, 1, 0, 1, 4, 5, 6, 7, 6, 7, 10, 11])
    assert moved(encoder, {**made, 4: weighed}, frozenset(), coded) is None
    assert moved(encoder, made, frozenset({1}), coded) is None
