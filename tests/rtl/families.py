"""Small float networks as people bring to hardware, drawn from a seed, and schemes that they are tried at.

Thirteen families of pictures, lines and tables; widths, windows, activations and the way of writing them are
drawn. `draw(family, seed)` gives the same graph again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lowbit.ir import Graph, Node, Value, infer
from lowbit.ir.graph import Attribute
from lowbit.quantization import Plan

Random = np.random.Generator

SCHEMES: Mapping[str, Plan] = {
    "binary": Plan("binary", "binary", layers={"first": {"activations": "pixels"}}),
    "lq2": Plan("lq:2", "lq:2", layers={"first": {"activations": "affine:8"}}),
    "lq4": Plan("lq:4", "lq:4", layers={"first": {"activations": "affine:8"}}),
    "pow2": Plan("pow2:4", "affine:4", layers={"first": {"activations": "affine:8"}}),
    "affine4": Plan("affine:4", "affine:4"),
    "affine8": Plan("affine:8", "affine:8"),
    "mixed": Plan("lq:3", "affine:8"),
}
"""By name, as people ask for them; inputs have eight bits."""


@dataclass
class Builder:
    """Adds nodes to a graph, one after the other."""

    random: Random
    graph: Graph
    at: str = "x"
    count: int = 0

    def node(self, op: str, *inputs: str, **attributes: Attribute) -> str:
        """Add an operator on the current value, or on the values named, and return its output."""
        self.count += 1
        name = f"{op.lower()}{self.count}"
        self.graph.nodes.append(Node(op, inputs or (self.at,), (name,), attributes, name))
        infer(self.graph)
        self.at = name
        return name

    def constant(self, *shape: int, scale: float = 1.0, offset: float = 0.0) -> str:
        """Add a constant of chance and return its name."""
        self.count += 1
        data = self.random.normal(offset, scale, shape).astype(np.float32)
        return self.graph.add_constant(f"c{self.count}", data)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a sample of the current value."""
        return tuple(int(extent) for extent in self.graph.value(self.at).shape[1:])

    def conv(self, outputs: int, *kernel: int, pad: int | None = None, **attributes: Any) -> str:
        """Add a convolution, with a batch normalization behind it half of the time."""
        channels, group = self.shape[0], int(attributes.get("group", 1))
        dilation = attributes.get("dilations", (1,) * len(kernel))
        same = [(size - 1) * step // 2 for size, step in zip(kernel, dilation, strict=True)]
        pads = same if pad is None else [pad] * len(kernel)
        fan_in = channels // group * int(np.prod(kernel))
        weights = self.constant(outputs, channels // group, *kernel, scale=(2 / fan_in) ** 0.5)
        bias = self.constant(outputs, scale=0.1)
        self.node("Conv", self.at, weights, bias, pads=(*pads, *pads), **attributes)
        if self.random.random() < 0.5:
            (scale, shift, mean), variance = (self.constant(outputs, scale=0.1) for _ in range(3)), ""
            variance = self.graph.add_constant(f"v{self.count}", np.ones(outputs, np.float32))
            self.node("BatchNormalization", self.at, self._positive(scale), shift, mean, variance)
        return self.at

    def _positive(self, name: str) -> str:
        values = self.graph.values[name].data
        assert values is not None
        return self.graph.add_constant(f"{name}p", 1 + np.abs(values))

    def dense(self, outputs: int) -> str:
        """Add a fully connected layer, behind a flatten where there are maps."""
        if len(self.shape) > 1:
            self.node("Flatten")
        (length,) = self.shape
        weights = self.constant(outputs, length, scale=(2 / length) ** 0.5)
        return self.node("Gemm", self.at, weights, self.constant(outputs, scale=0.1), transB=1)

    def act(self) -> str:
        """Add an activation that is everywhere in such networks."""
        return self.node("Relu") if self.random.random() < 0.6 else self.clipped()

    def clipped(self) -> str:
        """Add what ReLU6 is exported as."""
        least, most = (self.graph.add_constant(f"k{self.count}{end}", np.float32(end)) for end in (0.0, 6.0))
        return self.node("Clip", self.at, least, most)

    def one(self, *choices: Any) -> Any:
        """Return one of some, by chance."""
        return choices[self.random.integers(len(choices))]


def draw(family: str, seed: int) -> Graph:
    """Return a float network of a family; all of it follows from the seed."""
    family_of = FAMILIES[family]
    random = np.random.default_rng([seed, list(FAMILIES).index(family)])
    shape = tuple(int(extent) for extent in family_of.shape(random))
    graph = Graph(f"{family}-{seed}", ("x",), (), values={"x": Value("x", "float32", ("n", *shape))})
    builder = Builder(random, graph)
    outputs = family_of.build(builder)
    graph.outputs = outputs if isinstance(outputs, tuple) else (builder.at,)
    return graph


def samples(graph: Graph, count: int = 64) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return inputs to calibrate with: pixels in [0, 1] in steps of 1/255."""
    shape = (count, *(int(extent) for extent in graph.value(graph.inputs[0]).shape[1:]))
    return (np.random.default_rng(7).integers(0, 256, shape) / np.float32(255)).astype(np.float32)


@dataclass(frozen=True)
class Family:
    """How networks of a family are drawn."""

    shape: Callable[[Random], tuple[int, ...]]
    build: Callable[[Builder], Any]


def _pictures(random: Random) -> tuple[int, ...]:
    return int(random.choice([1, 2, 3])), int(random.integers(6, 11)), int(random.integers(6, 11))


def _lines(random: Random) -> tuple[int, ...]:
    return int(random.choice([1, 2, 4, 6])), int(random.integers(12, 25))


def _table(random: Random) -> tuple[int, ...]:
    return (int(random.integers(5, 20)),)


def _plain(b: Builder) -> None:
    for channels in (4, 6):
        b.conv(channels, 3, 3, pad=b.one(0, 1))
        b.act()
    b.node("MaxPool", kernel_shape=(2, 2), strides=(b.one(1, 2),) * 2)
    b.dense(5)


def _lenet(b: Builder) -> None:
    b.conv(4, 3, 3)
    b.act()
    b.node("MaxPool", kernel_shape=(2, 2), strides=(2, 2))
    b.conv(6, 3, 3, pad=0)
    b.act()
    b.dense(8)
    b.act()
    b.dense(4)


def _perceptron(b: Builder) -> None:
    for width in b.random.integers(4, 12, b.random.integers(1, 4)):
        b.dense(int(width))
        b.act()
    b.dense(3)


def _residual(b: Builder) -> None:
    b.conv(4, 3, 3)
    b.act()
    for stride, channels in ((1, 4), (b.one(1, 2), 8)):
        start = b.at
        b.conv(channels, 3, 3, strides=(stride,) * 2)
        b.act()
        body = b.conv(channels, 3, 3)
        b.at = start
        skip = start if (stride, channels) == (1, 4) else b.conv(channels, 1, 1, strides=(stride,) * 2)
        b.node("Add", body, skip)
        b.node("Relu")
    b.node("GlobalAveragePool")
    b.dense(4)


def _mobile(b: Builder) -> None:
    b.conv(4, 3, 3, strides=(b.one(1, 2),) * 2)
    b.act()
    for channels in (6, 8):
        width = b.shape[0]
        b.conv(width, 3, 3, group=width, strides=(b.one(1, 2),) * 2)
        b.act()
        b.conv(channels, 1, 1)
        b.act()
    b.node("GlobalAveragePool")
    b.dense(4)


def _inverted(b: Builder) -> None:
    b.conv(4, 3, 3)
    b.act()
    for _ in range(2):
        start = b.at
        b.conv(8, 1, 1)
        b.act()
        b.conv(8, 3, 3, group=8)
        b.act()
        b.node("Add", b.conv(4, 1, 1), start)
    b.dense(4)


def _grouped(b: Builder) -> None:
    b.conv(8, 3, 3)
    b.act()
    b.conv(8, 3, 3, group=b.one(2, 4))
    b.act()
    b.node("MaxPool", kernel_shape=(2, 2), strides=(2, 2))
    b.dense(4)


def _averages(b: Builder) -> None:
    b.conv(4, 3, 3)
    b.act()
    b.node("AveragePool", kernel_shape=(2, 2), strides=(2, 2))
    b.conv(6, 3, 3)
    b.act()
    pads = b.one((0, 0, 0, 0), (1, 1, 1, 1))
    b.node("AveragePool", kernel_shape=(3, 3), strides=(1, 1), pads=pads, count_include_pad=b.one(0, 1))
    b.dense(4)


def _dense(b: Builder) -> None:
    b.conv(4, 3, 3)
    b.act()
    for _ in range(2):
        start = b.at
        b.conv(4, 3, 3)
        b.node("Concat", start, b.act(), axis=1)
    b.node("MaxPool", kernel_shape=(2, 2), strides=(2, 2))
    b.dense(4)


def _line(b: Builder) -> None:
    b.conv(6, 5)
    b.act()
    b.node(b.one("MaxPool", "AveragePool"), kernel_shape=(2,), strides=(2,))
    b.conv(8, 3, dilations=(b.one(1, 2),))
    b.act()
    if b.random.random() < 0.5:
        b.node("GlobalAveragePool")
    b.dense(3)


def _dilated(b: Builder) -> None:
    b.conv(4, 3, 3, dilations=(2, 1))
    b.act()
    b.conv(6, 3, 3, dilations=(2, 2))
    b.act()
    b.dense(4)


def _functions(b: Builder) -> None:
    for channels in (4, 6):
        b.conv(channels, 3, 3)
        kind = b.one("LeakyRelu", "PRelu", "HardSwish", "Tanh", "Sigmoid", "Elu", "HardSigmoid")
        if kind == "PRelu":
            slope = np.full((channels, 1, 1), 0.2, np.float32)
            b.node(kind, b.at, b.graph.add_constant(f"slope{channels}", slope))
        else:
            b.node(kind)
    b.dense(4)
    b.node(b.one("Softmax", "Sigmoid", "LogSoftmax"))


def _heads(b: Builder) -> tuple[str, ...]:
    b.conv(4, 3, 3)
    b.act()
    trunk = b.node("MaxPool", kernel_shape=(2, 2), strides=(2, 2))
    first = b.dense(3)
    b.at = trunk
    b.conv(4, 3, 3)
    b.act()
    return first, b.dense(2)


FAMILIES: Mapping[str, Family] = {
    "plain": Family(_pictures, _plain),
    "lenet": Family(_pictures, _lenet),
    "perceptron": Family(_table, _perceptron),
    "residual": Family(_pictures, _residual),
    "mobile": Family(_pictures, _mobile),
    "inverted": Family(_pictures, _inverted),
    "grouped": Family(_pictures, _grouped),
    "averages": Family(_pictures, _averages),
    "dense": Family(_pictures, _dense),
    "line": Family(_lines, _line),
    "dilated": Family(_pictures, _dilated),
    "functions": Family(_pictures, _functions),
    "heads": Family(_pictures, _heads),
}
