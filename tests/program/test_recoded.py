"""Words that become other codes by way of floats are coded by one step, without a float."""

from collections.abc import Callable

import numpy as np
import pytest

from lowbit.engine import Program, kernel_levels
from lowbit.ir import Graph, Value, evaluate
from lowbit.planes import pack
from lowbit.program.planner import plan
from lowbit.program.steps import DecodeWords, EncodePlanes, LookUpEntries, RankWords
from lowbit.schemes import Affine, Encoding, FixedPoint, LearnedBasis
from lowbit.schemes.codebook import Codebook
from tests.engine.test_word_values import Network, samples

SUM, COARSE = FixedPoint(9, 7), FixedPoint(6, 2, "floor")


def basis(*multipliers: int) -> LearnedBasis:
    """Return one channel's basis, about half of whose levels a sum of samples reaches."""
    scaled = 3.7 * np.array([multipliers], np.float32) / sum(multipliers)
    return LearnedBasis(scaled, np.array([0.5], np.float32), np.array([multipliers[-1]], np.int32))


def affine(bits: int, scale: float, zero: int) -> Affine:
    return Affine(bits, np.array([scale], np.float32), np.array([zero], np.int32))


LEVELS = np.array([[-60, -7, -2, 1, 2, 3, 30, 100]], np.int32)
TARGETS: dict[str, Encoding] = {
    "lq:1": basis(1),
    "lq:2": basis(1, 3),
    "lq:3 in another order": basis(4, 5, 6),
    "lq:4": basis(1, 3, 7, 10),
    "affine:2": affine(2, 1.5, 1),
    "affine:8": affine(8, 0.37, 31),
    "fixed:5.3": FixedPoint(5, 3),
    "fixed:3.1:floor": FixedPoint(3, 1, "floor"),
    "fixed:12.4": FixedPoint(12, 4),
    "codebook:3": Codebook(np.array([0.4], np.float32), LEVELS),
}
BETWEEN: dict[str, Callable[[Network, str], str]] = {
    "nothing": lambda net, x: x,
    "relu": lambda net, x: net.node("Relu", x),
    "a clip": lambda net, x: net.node("Clip", x, net.constant(-3.3), net.constant(41.7)),
    "two": lambda net, x: net.node("Relu", net.node("Clip", x, "", net.constant(11.1))),
    "sigmoid": lambda net, x: net.node("Sigmoid", x),
    "abs": lambda net, x: net.node("Abs", x),
}


class Sums(Network):
    """A network with a value of words: a sum of fixed-point codes."""

    def constant(self, number: float) -> str:
        name = f"c{len(self.graph.values)}"
        return self.graph.add(Value(name, "float32", (), np.float32(number)))

    def sum(self, encoding: Encoding = SUM) -> str:
        codes = self.node("Encode", "x", encoding=encoding)
        return self.node("FixedAdd", codes, codes, encoding=encoding)


def checked(graph: Graph, steps: set[str]) -> None:
    """Compare with the reference on every level; the plan has these steps between words and codes."""
    x, wanted = samples(graph), {}
    y = evaluate(graph, {"x": x}, wanted.__setitem__)["y"]
    kinds = {type(step).__name__ for step in plan(graph).steps}
    assert kinds & {"RankWords", "LookUpEntries", "DecodeWords", "EncodePlanes", "Rank"} == steps
    for level in kernel_levels():
        program = Program(graph, kernels=level, threads=2)
        np.testing.assert_array_equal(program.run(x), y)
        for name, value in program.trace(x).items():
            np.testing.assert_array_equal(value, wanted[name], err_msg=name)


SOURCES = (SUM, COARSE, FixedPoint(1, 15))
SHAPES = ((37,), (5, 3, 4), (64, 2, 2), (1, 1, 1))


@pytest.mark.parametrize("target", TARGETS)
def test_every_encoding_behind_every_function(target: str) -> None:
    encoding, first = TARGETS[target], list(TARGETS).index(target)
    for number, (name, between) in enumerate(BETWEEN.items(), first):
        net = Sums(*SHAPES[number % len(SHAPES)])
        floats = net.node("Decode", net.sum(SOURCES[number % len(SOURCES)]))
        graph = net.finished(net.node("Encode", between(net, floats), encoding=encoding))
        few, falls = encoding.bits <= 4, name == "abs"
        if falls and encoding.storage == "planes":
            assert {DecodeWords, EncodePlanes} <= {type(step) for step in plan(graph).steps}
        elif encoding.bits > 8:  # words, which are decoded in the end
            checked(graph, {"LookUpEntries", "DecodeWords"})
        else:
            checked(graph, {"LookUpEntries" if falls or not few else "RankWords"})


def test_several_readers_have_a_step_each_and_floats_stay_for_others() -> None:
    for other in (False, True):
        net = Sums(33)
        floats = net.node("Decode", net.sum())
        left = net.node("Decode", net.node("Encode", floats, encoding=TARGETS["lq:2"]))
        right = net.node("Decode", net.node("Encode", net.node("Relu", floats), encoding=TARGETS["affine:8"]))
        total = net.node("Add", left, right)
        graph = net.finished(net.node("Add", total, floats) if other else total)
        kinds = [type(step) for step in plan(graph).steps]
        assert (kinds.count(RankWords), kinds.count(LookUpEntries)) == (1, 1)
        assert kinds.count(DecodeWords) == other
        x = samples(graph)
        np.testing.assert_array_equal(Program(graph).run(x), evaluate(graph, {"x": x})["y"])


def test_thresholds_of_an_encoder_are_kept() -> None:
    net = Sums(40)
    steps = net.graph.add_constant("steps", np.float32([-300, -1.03125, 5.0001]))
    codes = net.node("Encode", net.node("Decode", net.sum()), steps, encoding=basis(1, 3))
    checked(net.finished(codes), {"RankWords"})


@pytest.mark.parametrize("path", ["dot", "popcount"])
def test_planes_become_bytes_for_layers_that_would_rather_have_them(path: str) -> None:
    net = Sums(8, 5, 5)
    codes = net.node("Encode", net.node("Decode", net.sum()), encoding=basis(4, 5, 6))
    weights = net.random.integers(0, 8, (6, 8))
    floats = net.node("GlobalMaxPool", codes, encoding=basis(4, 5, 6))
    flat = net.node("Flatten", floats, encoding=basis(4, 5, 6))
    rows = LearnedBasis(np.float32([[1, 2, 4]] * 6), np.zeros(6, np.float32), np.full(6, 4, np.int32))
    name = net.graph.add(Value("w", "planes", (6, 8), pack(weights.astype(np.uint8), 3), rows))
    bias = net.graph.add_constant("b", np.zeros(6))
    graph = net.finished(net.node("Linear", flat, name, bias))
    x = samples(graph)
    wanted = evaluate(graph, {"x": x})["y"]
    np.testing.assert_array_equal(Program(graph, path=path).run(x), wanted)
