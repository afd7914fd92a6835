"""Random networks that keep channels last, as exporters write them: Transposes around operators on maps."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from lowbit.ir import Graph, Node, Value, infer, verify
from lowbit.ir.graph import Attribute

TO_NCHW, TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)
FUNCTIONS = ("Relu", "Sigmoid", "Tanh", "HardSwish", "LeakyRelu", "Elu", "Clip", "PRelu")


@dataclass
class Author:
    """Writes a network in the layout [n, h, w, c], or [n, l, c] where ``lines``."""

    random: np.random.Generator
    lines: bool = False
    graph: Graph = field(default_factory=lambda: Graph("channels-last", ("x",), ("y",)))

    def shape(self, name: str) -> tuple[Any, ...]:
        return self.graph.value(name).shape

    def constant(self, data: Any, dtype: str = "float32") -> str:
        return self.graph.add_constant(self.graph.fresh_name("constant"), data, dtype)

    def node(self, op: str, *inputs: str, **attributes: Attribute) -> str:
        name = self.graph.fresh_name(op.lower())
        self.graph.nodes.append(Node(op, inputs, (name,), attributes, name))
        infer(self.graph)
        return name

    def on_maps(self, source: str, work: Callable[[str], str]) -> str:
        """Return what ``work`` makes of a value with its channels moved to axis 1, moved back."""
        there, back = ((0, 2, 1), (0, 2, 1)) if self.lines else (TO_NCHW, TO_NHWC)
        moved = work(self.node("Transpose", source, perm=there))
        return self.node("Transpose", moved, perm=back)

    def convolution(self, source: str, outputs: int, kernel: int, group: int = 1) -> str:
        axes = 1 if self.lines else 2
        shape = (outputs, self.shape(source)[-1] // group, *[kernel] * axes)
        weights = self.constant(self.random.normal(size=shape) / np.sqrt(prod(shape[1:])))
        bias = self.constant(self.random.normal(size=outputs) / 4)
        pads = (kernel // 2,) * 2 * axes
        return self.on_maps(source, lambda x: self.node("Conv", x, weights, bias, pads=pads, group=group))

    def normalized(self, source: str) -> str:
        """Return a batch normalization, written as a product and a sum along the last axis."""
        channels = self.shape(source)[-1]
        scaled = self.node("Mul", source, self.constant(self.random.uniform(0.5, 1.5, channels)))
        return self.node("Add", self.constant(self.random.normal(size=(1, channels)) / 4), scaled)

    def function(self, source: str) -> str:
        op = str(self.random.choice(FUNCTIONS))
        if op == "Clip":
            return self.node(op, source, self.constant(np.float32(0)), self.constant(np.float32(6)))
        if op == "PRelu":
            return self.node(op, source, self.constant(self.random.uniform(0, 0.5, self.shape(source)[-1])))
        return self.node(op, source)

    def pool(self, source: str) -> str:
        op = str(self.random.choice(["MaxPool", "AveragePool"]))
        kernel = (2,) * (1 if self.lines else 2)
        return self.on_maps(source, lambda x: self.node(op, x, kernel_shape=kernel, strides=kernel))

    def padded(self, source: str) -> str:
        rank = len(self.shape(source))
        pads = [0, *self.random.integers(0, 3, rank - 2), 0, 0, *self.random.integers(0, 3, rank - 2), 0]
        return self.convolution(self.node("Pad", source, self.constant(pads, "int64")), 3, 3)

    def joined(self, source: str) -> str:
        side = self.function(self.convolution(source, 3, 1))
        return self.node(
            "Concat", source, side, axis=len(self.shape(source)) - 1 if self.random.random() < 0.5 else -1
        )

    def residual(self, source: str) -> str:
        side = self.function(self.convolution(source, self.shape(source)[-1], 3))
        return self.node("Add", *((source, side) if self.random.random() < 0.5 else (side, source)))

    def excited(self, source: str) -> str:
        """Return channels weighed by what a layer makes of their means."""
        channels = self.shape(source)[-1]
        mean = self.mean(source, keeps=True)
        return self.node("Mul", source, self.node("Sigmoid", self.convolution(mean, channels, 1)))

    def mean(self, source: str, *, keeps: bool) -> str:
        pooled = self.on_maps(source, lambda x: self.node("GlobalAveragePool", x))
        if keeps:
            return pooled
        axes = list(range(1, len(self.shape(source)) - 1))
        return self.node("Squeeze", pooled, self.constant(axes, "int64"))

    def connected(self, source: str, outputs: int) -> str:
        length = self.shape(source)[1]
        weights = self.constant(self.random.normal(size=(length, outputs)) / np.sqrt(length))
        product = self.node("MatMul", source, weights)
        return self.node("Add", product, self.constant(self.random.normal(size=outputs) / 4))


def channels_last(seed: int, *, lines: bool = False, blocks: int = 4) -> Graph:
    """Return a network of some random blocks and a classifier, on [n, h, w, c] or [n, l, c]."""
    random = np.random.default_rng(seed)
    author = Author(random, lines)
    lengths = (int(random.integers(8, 20)),) if lines else tuple(int(n) for n in random.integers(6, 10, 2))
    author.graph.add(Value("x", "float32", ("n", *lengths, int(random.integers(1, 4)))))
    current = author.function(author.normalized(author.convolution("x", 4, 3)))
    choices = [
        author.normalized,
        author.function,
        author.padded,
        author.joined,
        author.residual,
        author.excited,
    ]
    for _ in range(blocks):
        work = choices[random.integers(len(choices))]
        current = work(current)
    if random.random() < 0.7:
        current = author.pool(current)
    current = author.function(author.convolution(current, 4, 3))
    if random.random() < 0.5:
        current = author.mean(current, keeps=False)
    else:
        length = prod(int(n) for n in author.shape(current)[1:])
        target = [[-1, length], [0, -1], [0, length]][random.integers(3)]
        current = author.node("Reshape", current, author.constant(target, "int64"))
        if random.random() < 0.5:
            current = author.function(current)
    author.graph.outputs = (author.connected(current, 5),)
    verify(author.graph)
    return author.graph


def samples(graph: Graph, count: int, seed: int = 0) -> np.ndarray:
    """Return random input of a network."""
    shape = graph.value("x").shape[1:]
    return np.random.default_rng(seed).normal(size=(count, *map(int, shape))).astype(np.float32)
