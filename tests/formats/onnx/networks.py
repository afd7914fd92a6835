"""Low-bit networks that the shared ones do not cover."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from lowbit.ir import Graph, Node, Value, infer, verify
from lowbit.ir.activations import preimage_thresholds
from lowbit.planes import pack
from lowbit.schemes import Affine
from tests.ir.networks import random_basis


def affine_mlp(
    sizes: Sequence[int] = (33, 20, 10), seed: int = 0, *, per_channel: bool = True, symmetric: bool = False
) -> Graph:
    """Return Encode, Linear…, the last with float output: 8 bits, like LiteRT's."""
    random = np.random.default_rng(seed)
    graph = Graph("affine-mlp", ("x",), ("y",))
    graph.add(Value("x", "float32", ("n", sizes[0])))
    current = graph.add(Value("x/codes", "code", ("n", sizes[0]), None, Affine(8, [0.02], [117])))
    graph.nodes.append(Node("Encode", ("x",), (current,), {}, "x/encode", "lowbit"))
    for index, (inputs, outputs) in enumerate(pairwise(sizes), 1):
        channels = outputs if per_channel else 1
        zero_point = np.full(channels, 128) if symmetric else random.integers(90, 160, channels)
        encoding = Affine(8, random.uniform(0.001, 0.02, channels), zero_point)
        weights = random.integers(0, 256, (outputs, inputs)).astype(np.uint8)
        names = (
            current,
            graph.add(Value(f"fc{index}/weights", "code", (outputs, inputs), weights, encoding)),
            graph.add_constant(f"fc{index}/bias", random.integers(-5000, 5000, outputs), "int32"),
        )
        last = index == len(sizes) - 1
        current = "y" if last else f"fc{index}/codes"
        if not last:
            graph.add(Value(current, "code", ("n", outputs), None, Affine(8, [0.05], [130])))
        graph.nodes.append(Node("Linear", names, (current,), {}, f"fc{index}", "lowbit"))
    infer(graph)
    verify(graph)
    return graph


def mixed_network(activation: str, seed: int = 0) -> Graph:
    """Return a network with every other kind of low-bit node.

    Affine codes into a learned-basis layer with affine codes out, a table on codes, a layer with float
    output and an activation, Encode with given thresholds, Flatten of codes, and Decode.
    """
    random = np.random.default_rng(seed)
    graph = Graph("mixed", ("x",), ("y",), metadata={"made by": "a test"})
    graph.add(Value("x", "float32", ("n", 3, 11)))
    affine, basis = Affine(8, [0.03], [120]), random_basis(random, 2, 1, 21, offset=True)
    out4, out3 = Affine(4, [0.3], [7]), random_basis(random, 3, 1, 21, offset=True)
    for name, shape, encoding in (
        ("a", ("n", 3, 11), affine),
        ("b", ("n", 33), affine),
        ("c", ("n", 9), out4),
        ("d", ("n", 9), out3),
        ("f", ("n", 7), basis),
    ):
        graph.add(Value(name, "code", shape, None, encoding))
    weights = {}
    for name, shape, bits in (("v", (9, 33), 3), ("w", (7, 9), 2)):
        weights[name] = graph.add(
            Value(
                name,
                "planes",
                shape,
                pack(random.integers(0, 1 << bits, shape), bits),
                random_basis(random, bits, shape[0], 127, offset=True),
            )
        )
        graph.add_constant(f"{name}/bias", random.normal(size=shape[0]))
    graph.add_constant("u", preimage_thresholds(out4.thresholds()[0], "tanh"))
    graph.add_constant("t", preimage_thresholds(basis.thresholds()[0], "relu"))
    graph.nodes = [
        Node("Encode", ("x",), ("a",), {}, "encode", "lowbit"),
        Node("Flatten", ("a",), ("b",), {"axis": 1}, "flatten"),
        Node("Linear", ("b", "v", "v/bias", "u"), ("c",), {"activation": "tanh"}, "first", "lowbit"),
        Node("Sigmoid", ("c",), ("d",), {}, "table"),
        Node("Linear", ("d", "w", "w/bias"), ("e",), {"activation": activation}, "second", "lowbit"),
        Node("Encode", ("e", "t"), ("f",), {}, "again", "lowbit"),
        Node("Decode", ("f",), ("y",), {}, "decode", "lowbit"),
    ]
    infer(graph)
    verify(graph)
    return graph
