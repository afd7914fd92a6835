"""Elementwise steps in a row run as one: bit for bit what they give one by one, and in the reference."""

import numpy as np
import pytest

from lowbit.engine import Program, kernel_levels
from lowbit.ir import Graph, Node, Value, evaluate, infer, verify
from lowbit.ir.graph import Attribute
from lowbit.ir.passes import expand
from lowbit.program.lowerings import is_lowered

_OPS = ("Add", "Sub", "Mul", "Div", "Clip", "Relu", "Abs", "HardSwish", "LeakyRelu")

# Of every kind: shorter than a vector, than a block; across blocks; rows and maps.
SHAPES = [(1,), (7,), (40,), (1025,), (2600,), (3, 5, 7), (40, 9, 8), (1, 33, 64)]


class Chain:
    """A network of arithmetic, clips and functions that reads what it made before, at random."""

    def __init__(self, shape: tuple[int, ...], seed: int) -> None:
        self.random, self.shape = np.random.default_rng(seed), shape
        self.graph = Graph("chain", ("x",), ("y",), values={"x": Value("x", "float32", ("n", *shape))})
        self.made = ["x"]
        if len(shape) == 3 and seed % 2:
            self.add("AveragePool", ("x",), {"kernel_shape": (1, 1)})  # so that it lies as a map

    def add(self, op: str, inputs: tuple[str, ...], attributes: dict[str, Attribute]) -> str:
        name = f"v{len(self.graph.nodes)}"
        self.graph.nodes.append(Node(op, inputs, (name,), attributes, f"{name}/{op}"))
        self.made.append(name)
        return name

    def constant(self, data: object) -> str:
        return self.graph.add_constant(self.graph.fresh_name("c"), np.asarray(data))

    def value(self) -> str:
        """Return one of the last values: what was made long ago is read seldom."""
        return self.made[-1 - min(int(self.random.exponential(1.2)), len(self.made) - 1)]

    def operand(self) -> str:
        kind = self.random.integers(4)
        if kind == 0:
            return self.constant(self.random.normal())
        if kind == 1:
            row = [length if self.random.random() < 0.6 else 1 for length in self.shape]
            return self.constant(self.random.normal(size=row))
        return self.value()

    def step(self) -> None:
        op = str(self.random.choice(_OPS))
        if op == "Clip":
            self.add(op, (self.value(), self.constant(-0.5), self.constant(0.75)), {})
        elif op in ("Add", "Sub", "Mul", "Div"):
            first, second = self.value(), self.operand()
            self.add(op, (first, second) if self.random.random() < 0.7 else (second, first), {})
        else:
            self.add(op, (self.value(),), {})

    def finish(self) -> Graph:
        """Return the network: all that nobody reads is summed up, so that nothing is left out."""
        read = {name for node in self.graph.nodes for name in node.inputs}
        ends = [name for name in self.made if name not in read]
        while len(ends) > 1:
            ends.append(self.add("Add", (ends.pop(), ends.pop()), {}))
        self.add("Relu", (ends[0],), {})
        self.graph.nodes[-1] = Node("Relu", (ends[0],), ("y",), {}, "y")
        infer(self.graph)
        verify(self.graph)
        return self.graph


def chain(shape: tuple[int, ...], seed: int, steps: int) -> Graph:
    made = Chain(shape, seed)
    for _ in range(steps):
        made.step()
    return made.finish()


def samples(shape: tuple[int, ...]) -> np.ndarray:
    x = np.random.default_rng(7).normal(size=(3, *shape)).astype(np.float32)
    odd = np.array([0.0, -0.0, np.inf, -np.inf, 1e-45, -1e-40, 3e38, -3e38], np.float32)
    x.reshape(-1)[: odd.size] = odd[: x.size]
    return x


def bits(array: np.ndarray) -> np.ndarray:
    """Return the floats' bits, NaN as one of them: which it is depends on the order of operands."""
    return np.where(np.isnan(array), np.float32(np.nan), array).view(np.uint32)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("seed", range(6))
def test_a_chain_gives_the_same_bits_as_its_steps(shape: tuple[int, ...], seed: int) -> None:
    graph = chain(shape, seed, steps=3 + 4 * seed)
    x = samples(shape)
    expected = None
    for level in kernel_levels():
        program = Program(graph, kernels=level)
        one_by_one = program.trace(x)
        result = program.run(x)
        assert np.array_equal(bits(result), bits(one_by_one["y"])), level
        assert set(one_by_one) >= {name for node in graph.nodes for name in node.outputs}
        expected = result if expected is None else expected
        assert np.array_equal(bits(result), bits(expected)), level


@pytest.mark.parametrize("seed", range(8))
def test_arithmetic_is_that_of_the_reference(seed: int) -> None:
    graph = chain((3, 5, 7), seed, steps=9)
    x = samples((3, 5, 7))
    expected = evaluate(expand(graph, is_lowered), {"x": x})["y"]
    assert np.array_equal(Program(graph).run(x), expected, equal_nan=True)


def test_values_that_others_read_are_there() -> None:
    """A value inside a chain that a layer reads as well, and one that is read by two chains."""
    graph = Graph("net", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 20))})
    graph.add_constant("w", np.random.default_rng(1).normal(size=(20, 20)))
    nodes = [
        ("HardSwish", ("x",), "a"),
        ("Relu", ("a",), "b"),
        ("MatMul", ("b", "w"), "c"),
        ("Mul", ("b", "c"), "d"),
        ("Softmax", ("a",), "e"),
        ("Add", ("d", "e"), "f"),
        ("Sub", ("f", "b"), "y"),
    ]
    graph.nodes = [Node(op, inputs, (output,), {}, output) for op, inputs, output in nodes]
    infer(graph)
    verify(graph)
    x = np.random.default_rng(2).normal(size=(130, 20)).astype(np.float32)
    for threads in (1, 2):
        program = Program(graph, threads=threads)
        assert np.array_equal(program.run(x), program.trace(x)["y"])
        np.testing.assert_allclose(program.run(x), evaluate(graph, {"x": x})["y"], rtol=1e-4, atol=1e-5)


def test_a_chain_of_many_values_at_once() -> None:
    """More values than a chain has room for: it runs step by step then."""
    graph = Graph("net", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 2000))})
    names = []
    for n in range(12):
        graph.add_constant(f"c{n}", np.float32(n))
        graph.nodes.append(Node("Add", ("x", f"c{n}"), (f"a{n}",), {}, f"a{n}"))
        names.append(f"a{n}")
    total = names[0]
    for n, name in enumerate(names[1:]):
        graph.nodes.append(Node("Mul", (name, total), (f"m{n}",), {}, f"m{n}"))
        total = f"m{n}"
    graph.nodes[-1] = Node("Mul", graph.nodes[-1].inputs, ("y",), {}, "y")
    infer(graph)
    x = np.random.default_rng(2).normal(size=(3, 2000)).astype(np.float32)
    assert np.array_equal(Program(graph).run(x), evaluate(graph, {"x": x})["y"])


def test_a_chain_s_time_is_that_of_its_last_step() -> None:
    graph = Graph("net", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 5000))})
    graph.nodes = [Node("HardSwish", ("x",), ("y",), {}, "y")]
    infer(graph)
    times = [step.seconds for step in Program(graph).profile(np.ones((1, 5000), np.float32))]
    assert times[:-1] == [0.0] * 3 and times[-1] > 0
