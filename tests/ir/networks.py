"""Small networks for tests."""

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from lowbit.ir import Graph, Node, Value, infer, verify
from lowbit.ir.activations import preimage_thresholds
from lowbit.planes import pack
from lowbit.schemes import ACTIVATION_BOUND, WEIGHT_BOUND, LearnedBasis, snap, snap_weights


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
    """Return a deployed low-bit network with random codes: Encode, LQFullyConnected…, Softmax."""
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
        graph.nodes.append(
            Node("LQFullyConnected", tuple(names), (current,), attributes, f"fc{index}", "lowbit")
        )
    if softmax:
        graph.nodes.append(Node("Softmax", ("z",), ("y",), {}, "softmax"))
    infer(graph)
    verify(graph)
    return graph


def _weights(
    random: np.random.Generator, shape: tuple[int, int], bits: int, offset: bool
) -> tuple[npt.NDArray[np.uint32], LearnedBasis]:
    encoding = random_basis(random, bits, shape[0], WEIGHT_BOUND, offset)
    return pack(random.integers(0, 1 << bits, shape), bits), encoding
