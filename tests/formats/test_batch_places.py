"""Networks whose batch is not the first axis of every value, as of layers that take time first."""

from math import prod
from pathlib import Path

import numpy as np
import pytest

import lowbit
from lowbit.analysis.traces import by_level
from lowbit.backends import BACKENDS
from lowbit.engine import Program
from lowbit.ir import Graph, Node, Value, evaluate, infer, verify
from lowbit.ir.graph import Array

ROWS, STEPS = 5, 9


class Draft:
    """A chain of operators that carry the batch ``n`` about and keep samples apart."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        shape = ("n", *(int(length) for length in self.random.integers(2, 5, 2)))
        self.graph = Graph("net", ("x",), ("y",), values={"x": Value("x", "float32", shape)})
        self.now, self.shape = "x", list[int | str](shape)

    def add(self, op: str, *constants: str, **attributes: tuple[int, ...] | int) -> None:
        number = len(self.graph.nodes)
        self.graph.nodes.append(
            Node(op, (self.now, *constants), (f"v{number}",), attributes, f"node{number}")
        )
        self.now = f"v{number}"

    def transpose(self, perm: list[int]) -> None:
        self.add("Transpose", perm=tuple(perm))
        self.shape = [self.shape[axis] for axis in perm]

    def reshape(self, shape: list[int | str]) -> None:
        target = [-1 if length == "n" else length for length in shape]
        self.add("Reshape", self.graph.add_constant(f"to{len(self.graph.nodes)}", target, "int64"))
        self.shape = shape

    def regroup(self) -> None:
        """Regroup the axes on either side of the batch, which may begin with axes of one."""
        at = self.shape.index("n")
        before, behind = (prod(map(int, part)) for part in (self.shape[:at], self.shape[at + 1 :]))
        left = [[before], [1, before]] if before > 1 else [[], [1], [1, 1]]
        right = [[behind], [behind, 1], [1, behind]]
        chosen = [group[self.random.integers(len(group))] for group in (left, right)]
        self.reshape([*chosen[0], "n", *chosen[1]])

    def layer(self) -> None:
        """Multiply the last axis by weights, unless the batch lies there."""
        if self.shape[-1] == "n":
            return
        outputs = int(self.random.integers(2, 6))
        weights = self.random.normal(size=(self.shape[-1], outputs))
        self.add("MatMul", self.graph.add_constant(f"w{len(self.graph.nodes)}", weights))
        self.shape[-1] = outputs
        self.add("Tanh")

    def step(self) -> None:
        which = self.random.integers(3)
        if which == 0:
            self.transpose([int(axis) for axis in self.random.permutation(len(self.shape))])
        elif which == 1:
            self.regroup()
        else:
            self.layer()


def network(seed: int) -> Graph:
    """Return a network of the kind, with classes at its end."""
    draft = Draft(seed)
    draft.transpose([1, 0, 2])
    draft.layer()
    for _ in range(STEPS):
        draft.step()
    at = draft.shape.index("n")
    draft.transpose([at, *(axis for axis in range(len(draft.shape)) if axis != at)])
    draft.reshape(["n", prod(int(length) for length in draft.shape[1:])])
    draft.layer()
    draft.graph.outputs = (draft.now,)
    infer(draft.graph)
    verify(draft.graph)
    return draft.graph


def samples(graph: Graph, count: int) -> Array:
    shape = (count, *(int(length) for length in graph.value("x").shape[1:]))
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def low(seed: int) -> Graph:
    graph = network(seed)
    plan = lowbit.Plan("affine:8", "affine:8", method="rtn") if seed % 2 else lowbit.Plan("lq:2", "lq:2")
    return lowbit.quantize(graph, samples(graph, 32), plan=plan, check=False)[0]


def same_everywhere(graph: Graph, made: dict[str, Array], x: Array, *, least: int = 1) -> None:
    """Check a trace against the reference: shapes and codes of every value, and its numbers."""
    right: dict[str, Array] = {}
    evaluate(graph, {"x": x}, right.__setitem__)
    shown = [name for name in made if name in right]
    assert len(shown) > least
    for name in shown:
        assert made[name].shape == right[name].shape, name
        encoding = graph.value(name).encoding
        if encoding is None:
            np.testing.assert_allclose(made[name], right[name], rtol=1e-4, atol=1e-5, err_msg=name)
        else:
            assert np.array_equal(by_level(made[name], encoding), by_level(right[name], encoding)), name


@pytest.mark.parametrize("seed", range(8))
def test_a_batch_of_any_axis_is_traced_and_written_as_it_is(seed: int, tmp_path: Path) -> None:
    for graph in (network(seed), low(seed)):
        x = samples(graph, ROWS)
        same_everywhere(graph, Program(graph).trace(x), x)
        lowbit.write(graph, tmp_path / "net.circle")
        again = lowbit.read(tmp_path / "net.circle")
        assert again.value("x").shape == graph.value("x").shape
        same_everywhere(again, Program(again).trace(x), x)
        assert np.array_equal(Program(again).run(x), Program(graph).run(x))


@pytest.mark.parametrize("seed", range(8))
def test_outputs_may_have_the_batch_elsewhere(seed: int, tmp_path: Path) -> None:
    """As states of recurrent layers have it, ``[layers, n, h]``."""
    graph = network(seed)
    turned = [node.outputs[0] for node in graph.nodes if graph.value(node.outputs[0]).shape[0] != "n"]
    assert turned
    graph.outputs = (*graph.outputs, *turned[-2:])
    x = samples(graph, ROWS)
    right = evaluate(graph, {"x": x})
    for suffix in ("circle", "onnx"):
        lowbit.write(graph, tmp_path / f"net.{suffix}")
        again = lowbit.read(tmp_path / f"net.{suffix}")
        found = Program(again).run(x)
        assert again.outputs == graph.outputs
        for name, array in zip(graph.outputs, found, strict=True):
            assert again.value(name).shape == graph.value(name).shape
            np.testing.assert_allclose(array, right[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_the_library_shows_samples_along_the_same_axis() -> None:
    graph = network(3)
    x = samples(graph, ROWS)
    same_everywhere(graph, BACKENDS["library"].load(graph).trace(x), x)
