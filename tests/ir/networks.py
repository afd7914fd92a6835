"""Small networks for tests."""

from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.ir import Graph, Node, Value, infer, verify
from lowbit.ir.activations import preimage_thresholds
from lowbit.ir.graph import Attribute
from lowbit.ir.infer import infer_node
from lowbit.planes import pack
from lowbit.schemes import (
    ACTIVATION_BOUND,
    WEIGHT_BOUND,
    Affine,
    Grouped,
    LearnedBasis,
    PowerOfTwo,
    snap,
    snap_weights,
)


def beyond_the_engine(graph: Graph) -> Graph:
    """Return a network of the same results behind a convolution over volumes: the engine runs none."""
    result, output = graph.copy(), graph.outputs[0]
    maker = result.producer(output)
    assert maker is not None
    inner = result.fresh_name(f"{output}/alone")
    result.nodes[result.nodes.index(maker)] = replace(maker, outputs=(inner,))
    rank = len(result.value(output).shape)
    added = result.add_constant(
        result.fresh_name(f"{output}/axes"), np.array([1, *range(rank + 1, 5)]), "int64"
    )
    one = result.add_constant(result.fresh_name(f"{output}/one"), np.ones((1,) * 5))
    wide, volume = (result.fresh_name(f"{output}/{stem}") for stem in ("wide", "volume"))
    result.nodes += [
        Node("Unsqueeze", (inner, added), (wide,), {}, result.fresh_name("unsqueeze")),
        Node("Conv", (wide, one), (volume,), {}, result.fresh_name("volume")),
        Node("Squeeze", (volume, added), (output,), {}, result.fresh_name("squeeze")),
    ]
    infer(result)
    verify(result)
    return result


def float_mlp(sizes: tuple[int, ...] = (5, 3, 4), seed: int = 0, activation: str = "Tanh") -> Graph:
    """Return MatMul, Add, activation, …, Softmax with random weights."""
    random = np.random.default_rng(seed)
    graph = Graph("mlp", ("x",), ("y",), values={"x": Value("x", "float32", ("n", sizes[0]))})
    current = "x"
    for index, (inputs, outputs) in enumerate(pairwise(sizes), 1):
        weights = graph.add_constant(f"fc{index}.weight", random.normal(size=(inputs, outputs)) / inputs**0.5)
        bias = graph.add_constant(f"fc{index}.bias", random.normal(size=outputs))
        last = index == len(sizes) - 1
        graph.nodes += [
            Node("MatMul", (current, weights), (f"m{index}",), {}, f"fc{index}"),
            Node("Add", (f"m{index}", bias), (f"a{index}",), {}, f"fc{index}/add"),
            Node(
                "Softmax" if last else activation,
                (f"a{index}",),
                ("y" if last else f"h{index}",),
                {},
                f"f{index}",
            ),
        ]
        current = f"h{index}"
    infer(graph)
    verify(graph)
    return graph


def float_convnet(channels: int = 6, seed: int = 0) -> Graph:
    """Return a network of every kind of operator on maps: padding, pools, a residual sum, a branch."""
    random = np.random.default_rng(seed)
    graph = Graph("convnet", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 3, 9, 8))})

    def node(op: str, source: str | tuple[str, ...], *constants: npt.ArrayLike, **attributes: Any) -> str:
        name = graph.fresh_name(op)
        arrays = [np.asarray(constant) for constant in constants]
        names = [
            graph.add_constant(
                graph.fresh_name(f"{name}/c"), array, "int64" if array.dtype.kind == "i" else "float32"
            )
            for array in arrays
        ]
        sources = (source,) if isinstance(source, str) else source
        graph.nodes.append(Node(op, (*sources, *names), (f"{name}/out",), attributes, name))
        infer_node(graph, graph.nodes[-1])
        return f"{name}/out"

    def normalized(source: str) -> str:
        scale, bias, mean, variance = random.uniform(0.5, 1.5, (4, channels))
        return node("BatchNormalization", source, scale, bias, mean, variance, epsilon=2.0**-10)

    stem = node("Pad", "x", np.array([0, 0, 1, 1, 0, 0, 1, 1]))
    stem = node("Conv", stem, random.normal(size=(channels, 3, 3, 3)), random.normal(size=channels))
    stem = node(
        "Relu", node("MaxPool", normalized(stem), kernel_shape=(3, 2), strides=(2, 2), pads=(1, 0, 1, 0))
    )
    branch = node("Conv", stem, random.normal(size=(channels, 1, 3, 3)), pads=(1, 1, 1, 1), group=channels)
    total = node("Relu", node("Add", (normalized(branch), stem)))
    joined = node(
        "Concat", (total, node("AveragePool", stem, kernel_shape=(3, 3), pads=(1, 1, 1, 1))), axis=1
    )
    flat = node("Flatten", node("GlobalAveragePool", node("Transpose", joined, perm=(0, 1, 3, 2))))
    weights = random.normal(size=(4, 2 * channels)) / channels
    logits = node("Gemm", flat, weights, random.normal(size=4), transB=1)
    graph.outputs = (node("Softmax", logits),)
    verify(graph)
    return graph


def random_basis(
    random: np.random.Generator, bits: int, channels: int, bound: int, offset: bool
) -> LearnedBasis:
    """Return a snapped basis."""
    basis = np.sort(random.uniform(0.2, 1.0, (channels, bits)), axis=1)
    offsets = random.normal(size=channels) * 0.3 if offset else np.zeros(channels)
    free = LearnedBasis(basis, offsets, np.zeros(channels))
    return snap_weights(free, bound) if bound == WEIGHT_BOUND else snap(free, bound)


def lowbit_mlp(
    sizes: tuple[int, ...] = (65, 33, 10),
    input_bits: int = 2,
    weight_bits: int = 2,
    seed: int = 0,
    activation: str = "tanh",
    weight_offset: bool = False,
    softmax: bool = True,
) -> Graph:
    """Return a deployed low-bit network with random codes: Encode, Linear…, Softmax."""
    random = np.random.default_rng(seed)
    graph = Graph("lowbit-mlp", ("x",), ("y",))
    graph.add(Value("x", "float32", ("n", sizes[0])))
    encoding = random_basis(random, input_bits, 1, ACTIVATION_BOUND, offset=True)
    current = graph.add(Value("x/codes", "code", ("n", sizes[0]), None, encoding))
    graph.nodes.append(Node("Encode", ("x",), (current,), {}, "x/encode", "lowbit"))
    for index, (inputs, outputs) in enumerate(pairwise(sizes), 1):
        last = index == len(sizes) - 1
        weights = _weights(random, (outputs, inputs), weight_bits, weight_offset)
        names = [
            current,
            graph.add(Value(f"fc{index}/weights", "planes", (outputs, inputs), *weights)),
            graph.add_constant(f"fc{index}/bias", random.normal(size=outputs)),
        ]
        current = ("z" if softmax else "y") if last else f"fc{index}/codes"
        if not last:
            encoding = random_basis(random, input_bits, 1, ACTIVATION_BOUND, offset=False)
            graph.add(Value(current, "code", ("n", outputs), None, encoding))
            steps = preimage_thresholds(encoding.thresholds()[0], activation)
            names.append(graph.add_constant(f"fc{index}/thresholds", steps))
        attributes = {"activation": "none" if last else activation}
        graph.nodes.append(Node("Linear", tuple(names), (current,), attributes, f"fc{index}", "lowbit"))
    if softmax:
        graph.nodes.append(Node("Softmax", ("z",), ("y",), {}, "softmax"))
    infer(graph)
    verify(graph)
    return graph


def weight_only_mlp(
    sizes: tuple[int, ...] = (65, 33, 10), bits: int = 2, seed: int = 0, activation: str = "none"
) -> Graph:
    """Return Linear… on floats, with random codes; every second layer has a weight offset."""
    random = np.random.default_rng(seed)
    graph = Graph("weight-only", ("x",), ("y",), values={"x": Value("x", "float32", ("n", sizes[0]))})
    current = "x"
    for index, shape in enumerate(pairwise(sizes), 1):
        inputs = (current, *_constants(graph, random, f"fc{index}", shape[::-1], bits, index % 2 == 1))
        current = "y" if index == len(sizes) - 1 else f"h{index}"
        attributes = {"activation": activation}
        graph.nodes.append(Node("Linear", inputs, (current,), attributes, f"fc{index}", "lowbit"))
    infer(graph)
    verify(graph)
    return graph


def grouped_layer(
    inputs: int, outputs: int, bits: int, group: int, seed: int = 0, tokens: int = 0, symmetric: bool = False
) -> Graph:
    """Return one Linear on floats whose weights have groups; on rows of tokens, if some are said."""
    random, axes = np.random.default_rng(seed), (tokens,) if tokens else ()
    sets = outputs * -(-inputs // group)
    zero = np.full(sets, 1 << (bits - 1)) if symmetric else random.integers(0, 1 << bits, sets)
    encoding = Grouped(Affine(bits, random.uniform(0.5, 2, sets), zero), group)
    codes = random.integers(0, 1 << bits, (outputs, inputs)).astype(np.uint8)
    graph = Graph("groups", ("x",), ("y",), values={"x": Value("x", "float32", ("n", *axes, inputs))})
    weights = graph.add(Value("fc/weights", "planes", codes.shape, pack(codes, bits), encoding))
    bias = graph.add_constant("fc/bias", random.normal(size=outputs))
    graph.nodes.append(Node("Linear", ("x", weights, bias), ("y",), {}, "fc", "lowbit"))
    infer(graph)
    verify(graph)
    return graph


def weight_only_convnet(
    shape: tuple[int, int, int], layers: "tuple[Convolution, ...]", bits: int = 2, seed: int = 0
) -> Graph:
    """Return Convolution… on floats, with random codes."""
    random = np.random.default_rng(seed)
    graph = Graph("weight-only", ("x",), ("y",), values={"x": Value("x", "float32", ("n", *shape))})
    current, channels = "x", shape[0]
    for index, layer in enumerate(layers, 1):
        rows = (layer.outputs, *layer.kernel, channels // layer.group)
        inputs = (current, *_constants(graph, random, f"conv{index}", rows, bits, index % 2 == 1))
        current = "y" if index == len(layers) else f"h{index}"
        attributes = layer.attributes("relu" if current != "y" else "none")
        graph.nodes.append(Node("Convolution", inputs, (current,), attributes, f"conv{index}", "lowbit"))
        channels = layer.outputs
    infer(graph)
    verify(graph)
    return graph


def with_powers(graph: Graph, bits: int, seed: int = 0) -> Graph:
    """Return a low-bit network with random powers of two in the place of the planes."""
    random, result = np.random.default_rng(seed), graph.copy()
    for node in result.nodes:
        if node.op not in ("Linear", "Convolution"):
            continue
        shape = tuple(int(extent) for extent in result.value(node.inputs[1]).shape)
        codes = random.integers(0, 1 << bits, shape).astype(np.uint8)
        encoding = PowerOfTwo(bits, random.uniform(0.1, 1, shape[0]))
        result.values[node.inputs[1]] = Value(node.inputs[1], "code", shape, codes, encoding)
    verify(result)
    return result


@dataclass(frozen=True)
class Convolution:
    """The geometry of one low-bit convolution in `lowbit_convnet`."""

    outputs: int
    kernel: tuple[int, int] = (3, 3)
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (1, 1, 1, 1)
    dilations: tuple[int, int] = (1, 1)
    group: int = 1
    pool: bool = False

    def attributes(self, activation: str) -> dict[str, Attribute]:
        """Return the node's attributes."""
        geometry = {name: getattr(self, name) for name in ("strides", "pads", "dilations", "group")}
        return {"kernel_shape": self.kernel, **geometry, "activation": activation}


def lowbit_convnet(
    shape: tuple[int, int, int] = (3, 8, 8),
    layers: tuple[Convolution, ...] = (Convolution(33), Convolution(5)),
    input_bits: int = 2,
    weight_bits: int = 2,
    seed: int = 0,
    activation: str = "relu",
    weight_offset: bool = False,
    classes: int = 0,
) -> Graph:
    """Return Encode, Convolution…, all but the last with thresholds; codes pooled where a layer says so.

    With `classes`, the last convolution gives codes too, and Flatten and Linear follow.
    """
    random = np.random.default_rng(seed)
    graph = Graph("lowbit-convnet", ("x",), ("y",))
    graph.add(Value("x", "float32", ("n", *shape)))
    encoding = random_basis(random, input_bits, 1, ACTIVATION_BOUND, offset=True)
    current = graph.add(Value("x/codes", "code", ("n", *shape), None, encoding))
    graph.nodes.append(Node("Encode", ("x",), (current,), {}, "x/encode", "lowbit"))
    channels = shape[0]
    for index, layer in enumerate(layers, 1):
        name, last = f"conv{index}", index == len(layers) and not classes
        rows = (layer.outputs, *layer.kernel, channels // layer.group)
        inputs = [current, *_constants(graph, random, name, rows, weight_bits, weight_offset)]
        current = "y" if last else f"{name}/codes"
        if not last:
            encoding = random_basis(random, input_bits, 1, ACTIVATION_BOUND, offset=True)
            graph.add(Value(current, "code", (), None, encoding))
            steps = preimage_thresholds(encoding.thresholds()[0], activation)
            inputs.append(graph.add_constant(f"{name}/thresholds", steps))
        attributes = layer.attributes("none" if last else activation)
        graph.nodes.append(Node("Convolution", tuple(inputs), (current,), attributes, name, "lowbit"))
        if layer.pool and not last:
            pooled = graph.add(Value(f"{name}/pooled", "code", (), None, encoding))
            sizes = {"kernel_shape": (2, 2), "strides": (2, 2), "pads": (0,) * 4, "dilations": (1, 1)}
            graph.nodes.append(Node("MaxPool", (current,), (pooled,), sizes, f"{name}/pool"))
            current = pooled
        channels = layer.outputs
    infer(graph)
    if classes:
        _classify(graph, random, current, classes, weight_bits, weight_offset)
    verify(graph)
    return graph


def _classify(
    graph: Graph, random: np.random.Generator, codes: str, classes: int, bits: int, offset: bool
) -> None:
    """Append Flatten and a fully connected layer with float output ``y``."""
    value = graph.value(codes)
    length = prod(int(extent) for extent in value.shape[1:])
    flat = graph.add(Value("flat", "code", ("n", length), None, value.encoding))
    graph.nodes.append(Node("Flatten", (codes,), (flat,), {}, "flatten"))
    inputs = (flat, *_constants(graph, random, "fc", (classes, length), bits, offset))
    graph.nodes.append(Node("Linear", inputs, ("y",), {}, "fc", "lowbit"))
    infer(graph)


def _constants(
    graph: Graph, random: np.random.Generator, layer: str, shape: tuple[int, ...], bits: int, offset: bool
) -> tuple[str, str]:
    """Add a layer's weights of any shape, rows packed, and its bias; return their names."""
    data, encoding = _weights(random, (shape[0], prod(shape[1:])), bits, offset)
    weights = graph.add(Value(f"{layer}/weights", "planes", shape, data, encoding))
    return weights, graph.add_constant(f"{layer}/bias", random.normal(size=shape[0]))


def _weights(
    random: np.random.Generator, shape: tuple[int, int], bits: int, offset: bool
) -> tuple[npt.NDArray[np.uint32], LearnedBasis]:
    encoding = random_basis(random, bits, shape[0], WEIGHT_BOUND, offset)
    return pack(random.integers(0, 1 << bits, shape), bits), encoding
