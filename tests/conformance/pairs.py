"""Networks for every pair of encodings: small layers of odd shapes, with every end that a layer can have.

A case is written as text, `weights | activations | shape | end`, and a seed follows from it: the same case is
the same network everywhere. A layer whose end is codes is followed by one that reads them, so that codes
stand between layers, as files want them.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.ir import Graph, Node, Value, evaluate, infer, verify
from lowbit.ir.activations import apply_activation, preimage_thresholds
from lowbit.ir.graph import Array, Attribute
from lowbit.ir.operators.registry import code_dtype, storage_dtype
from lowbit.plan import Plan
from lowbit.planes import pack
from lowbit.schemes import (
    ACTIVATION_BOUND,
    Affine,
    Encoding,
    FixedPoint,
    LearnedBasis,
    PowerOfTwo,
    snap,
    snap_weights,
)
from lowbit.schemes.registry import REGISTRY
from lowbit.schemes.specification import specification as specification_of

FLOAT = "float"
FIXED = ("fixed:6.2", "fixed:6.7")


def _others() -> Iterator[str]:
    """Yield the most bits of weights of every other scheme that there is, however new."""
    for name, row in REGISTRY.items():
        if row.parameter == "bits" and row.weights and name not in ("lq", "affine", "pow2"):
            yield f"{name}:{row.weights[1]}"


WEIGHTS = (
    *(f"lq:{bits}" for bits in range(1, 5)),
    *(f"affine:{bits}" for bits in range(2, 9)),
    *(f"pow2:{bits}" for bits in range(2, 5)),
    *FIXED,
    "binary",
    *_others(),
)
ACTIVATIONS = (
    *(f"lq:{bits}" for bits in range(1, 5)),
    *(f"affine:{bits}" for bits in range(2, 9)),
    *FIXED,
    "binary",
)
ENDS = ("none", "relu", "tanh", "lq:2", "affine:8", "affine:3", *FIXED)
"""An activation of reals, or what the output is coded as."""


@dataclass(frozen=True)
class Shape:
    """What a layer reads and is.

    Attributes:
        sample: shape of the input, without the batch.
        outputs: of the layer.
        window: attributes of a convolution.
    """

    sample: tuple[int, ...]
    outputs: int
    window: dict[str, Attribute] | None = None


def _window(kernel: tuple[int, int], pads: tuple[int, ...], **more: Attribute) -> dict[str, Attribute]:
    return {"kernel_shape": kernel, "pads": pads, **more}


SHAPES = {
    "linear": Shape((37,), 5),
    "linear-1": Shape((1,), 1),
    "linear-65": Shape((65,), 33),
    "rows": Shape((3, 33), 7),
    "convolution": Shape((5, 6, 7), 9, _window((3, 2), (1, 0, 2, 1))),
    "pointwise": Shape((33, 3, 2), 3, _window((1, 1), (0, 0, 0, 0))),
    "groups": Shape((6, 5, 5), 4, _window((3, 3), (1, 1, 1, 1), strides=(2, 1), group=2)),
    "depthwise": Shape((7, 5, 4), 7, _window((3, 3), (1, 2, 1, 0), group=7)),
    "dilated": Shape((3, 9, 8), 5, _window((2, 3), (2, 2, 2, 2), dilations=(2, 3), strides=(1, 2))),
}


@dataclass(frozen=True)
class Case:
    """One network: the encodings of its layers, their shape, and how the first of them ends."""

    weights: str
    activations: str
    shape: str
    end: str

    def __str__(self) -> str:
        return f"{self.weights}|{self.activations}|{self.shape}|{self.end}"

    def random(self) -> np.random.Generator:
        """Return the numbers that this case is made of."""
        return np.random.default_rng(zlib.crc32(str(self).encode()))

    def samples(self, count: int = 3) -> Array:
        """Return samples, some of them beyond what the input's encoding holds."""
        x = self.random().normal(size=(count, *SHAPES[self.shape].sample))
        return (
            x * np.array([1, 1, 9]).repeat(-(-count // 3))[:count].reshape(-1, *[1] * (x.ndim - 1))
        ).astype(np.float32)


def every_case() -> Iterator[Case]:
    """Yield all pairs in all shapes with all ends: what runs at night."""
    for weights, activations, shape, end in product(WEIGHTS, (*ACTIVATIONS, FLOAT), SHAPES, ENDS):
        if activations != FLOAT or end in ("none", "relu", "tanh"):
            yield Case(weights, activations, shape, end)


def few_cases() -> Iterator[Case]:
    """Yield all pairs, once fully connected and once convolved, shapes and ends in turn."""
    linear, maps = (
        [name for name in SHAPES if (SHAPES[name].window is None) == flat] for flat in (True, False)
    )
    for number, (weights, activations) in enumerate(product(WEIGHTS, (*ACTIVATIONS, FLOAT))):
        ends = ENDS[:3] if activations == FLOAT else ENDS
        for offset, shapes in enumerate((linear, maps)):
            index = number + offset * 3
            yield Case(weights, activations, shapes[index % len(shapes)], ends[index % len(ends)])


def network(case: Case) -> Graph:
    """Return the network of a case."""
    random, shape = case.random(), SHAPES[case.shape]
    graph = Graph(str(case), ("x",), ("y",), values={"x": Value("x", "float32", ("n", *shape.sample))})
    source = "x"
    if case.activations != FLOAT:
        source = _encoded(graph, "x", activation_encoding(case.activations, random))
    if case.end in ENDS[:3]:
        _add_layer(graph, random, case.weights, source, "y", shape, activation=case.end)
    else:
        _add_coded_layer(graph, random, case, source, shape)
        infer(graph)
        flat = source = "a"
        if len(shape.sample) > 1:
            flat = "flat"
            graph.add(Value(flat, "code", (), None, graph.value("a").encoding))
            graph.nodes.append(Node("Flatten", (source,), (flat,), {"axis": 1}, "flatten"))
            infer(graph)
        length = int(graph.value(flat).shape[1])
        _add_layer(graph, random, case.weights, flat, "y", Shape((length,), 4))
    infer(graph)
    verify(graph)
    return graph


def _add_coded_layer(
    graph: Graph, random: np.random.Generator, case: Case, source: str, shape: Shape
) -> None:
    """Append the first layer, its output coded in the range that it has, by thresholds or by rounding."""
    trial = graph.copy()
    trial.outputs = ("a",)
    state = random.bit_generator.state
    _add_layer(trial, random, case.weights, source, "a", shape)
    infer(trial)
    seen = evaluate(trial, {"x": case.samples()})["a"]
    random.bit_generator.state = state
    activation = "relu" if case.shape in ("linear-65", "groups") else "none"
    seen = apply_activation(activation, seen)
    target = activation_encoding(case.end, random, float(seen.std()) + 1e-3, float(seen.mean()))
    random.bit_generator.state = state
    graph.add(Value("a", "code", (), None, target))
    thresholds = None
    if not target.rounds or (case.shape == "groups" and target.bits <= 8):
        thresholds = preimage_thresholds(target.thresholds()[0], activation)
    _add_layer(graph, random, case.weights, source, "a", shape, activation, thresholds)


def _encoded(graph: Graph, source: str, encoding: Encoding) -> str:
    graph.add(Value("codes", code_dtype(encoding), (), None, encoding))
    graph.nodes.append(Node("Encode", (source,), ("codes",), {}, "encode", "lowbit"))
    infer(graph)
    return "codes"


def _add_layer(
    graph: Graph,
    random: np.random.Generator,
    weights: str,
    source: str,
    output: str,
    shape: Shape,
    activation: str = "none",
    thresholds: npt.NDArray[np.float32] | None = None,
) -> None:
    window = {} if shape.window is None else shape.window
    rows: tuple[int, ...] = (shape.outputs, shape.sample[-1])
    if shape.window is not None:
        kernel, group = window["kernel_shape"], int(window.get("group", 1))  # type: ignore[arg-type]
        rows = (shape.outputs, *kernel, shape.sample[0] // group)  # type: ignore[misc]
    encoding = weight_encoding(weights, random, shape.outputs)
    codes = random.integers(0, 1 << encoding.bits, rows)
    packed = graph.add(_weights(f"{output}/weights", codes, encoding))
    bias = _add_bias(graph, random, f"{output}/bias", graph.value(source), graph.value(packed))
    inputs = [source, packed, bias]
    if thresholds is not None:
        inputs.append(graph.add_constant(f"{output}/thresholds", thresholds))
    attributes = {**window, **({} if activation == "none" else {"activation": activation})}
    op = "Linear" if shape.window is None else "Convolution"
    graph.nodes.append(Node(op, tuple(inputs), (output,), attributes, f"{output}/layer", "lowbit"))


def _weights(name: str, codes: npt.NDArray[Any], encoding: Encoding) -> Value:
    dtype = storage_dtype(encoding)
    if dtype == "planes":
        return Value(name, dtype, codes.shape, pack(codes.reshape(len(codes), -1), encoding.bits), encoding)
    return Value(name, dtype, codes.shape, codes.astype(encoding.code_of_rank().dtype), encoding)


def _add_bias(graph: Graph, random: np.random.Generator, name: str, source: Value, weights: Value) -> str:
    """Add a bias as the pair of encodings asks for: in units of the sums where both round, else real."""
    outputs, x, w = int(weights.shape[0]), source.encoding, weights.encoding
    assert w is not None
    real = random.normal(size=outputs)
    if isinstance(x, FixedPoint) and isinstance(w, FixedPoint):
        return graph.add(Value(name, code_dtype(w), (outputs,), w.encode(real), w))
    if x is not None and x.rounds and w.rounds:
        unit = x.integer_scale()[0] * w.integer_scale()
        return graph.add_constant(name, np.rint(real / unit), "int32")
    return graph.add_constant(name, real)


def weight_encoding(specification: str, random: np.random.Generator, outputs: int) -> Encoding:
    """Return weights of about one as a specification says, a row for each output where it has rows."""
    scheme, _, rest = specification.partition(":")
    if scheme in ("lq", "binary"):
        bits = int(rest or 1)
        offset = random.normal(size=outputs) if bits == 3 else np.zeros(outputs)
        return snap_weights(_basis(random, bits, outputs, 1.0, offset))
    if scheme == "affine":
        channels, top = outputs if int(rest) % 2 else 1, 1 << int(rest)
        zero_point = random.integers(0, top, channels) if int(rest) > 4 else np.full(channels, top // 2)
        return Affine(int(rest), random.uniform(1, 2, channels) * 2 / top, zero_point)
    if scheme == "pow2":
        return PowerOfTwo(int(rest), random.uniform(0.5, 1, outputs))
    if scheme == "fixed":
        return FixedPoint.from_text(rest)
    form = specification_of(specification, "weights")
    return form.row.fit.weights(random.normal(size=(outputs, 64)), form, Plan(restarts=0))


def activation_encoding(
    specification: str, random: np.random.Generator, size: float = 1.0, middle: float = 0.3
) -> Encoding:
    """Return an encoding of values of about that size around a middle, one for a whole tensor."""
    scheme, _, rest = specification.partition(":")
    if scheme in ("lq", "binary"):
        offset = np.full(1, middle if scheme == "lq" else 0.0)
        return snap(_basis(random, int(rest or 1), 1, size, offset), ACTIVATION_BOUND)
    if scheme == "affine":
        top = 1 << int(rest)
        return Affine(int(rest), [(abs(middle) + 2 * size) * 2 / top], [top // 2 - (middle > 0)])
    assert scheme == "fixed"
    return FixedPoint.from_text(rest)


def _basis(
    random: np.random.Generator, bits: int, channels: int, size: float, offset: npt.NDArray[np.float64]
) -> LearnedBasis:
    rows = np.cumsum(random.uniform(0.2, 1, (channels, bits)), axis=1) * size / bits
    return LearnedBasis(rows, offset, np.zeros(channels, np.int32))
