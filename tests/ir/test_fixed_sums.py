"""Sums and means of fixed-point codes are exact, rounded once and saturated, as fractions say it."""

from fractions import Fraction
from itertools import product
from math import floor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lowbit.backends.onnxruntime import session
from lowbit.engine import Program
from lowbit.errors import GraphError
from lowbit.formats import read_model, write_model
from lowbit.ir import Graph, Node, Value, evaluate, infer, verify
from lowbit.ir.activations import ACTIVATIONS
from lowbit.ir.text import from_text, to_text
from lowbit.schemes import Affine, Encoding, FixedPoint

FORMATS = tuple(
    FixedPoint(m, n, rounding)
    for m, n in ((2, 2), (3, 5), (6, 7), (1, 15), (9, 7), (16, 0))
    for rounding in ("nearest", "floor")
)
PAIRS = [tuple(FORMATS[i] for i in pair) for pair in np.random.default_rng(0).integers(0, 12, (24, 2))]
CLIPS = ("none", *(name for name, row in ACTIVATIONS.items() if row.clip))


def dtype_of(encoding: Encoding) -> str:
    return "code" if encoding.bits <= 8 else "code16"


def network(
    op: str, sources: list[Encoding], shape: tuple[int, ...], target: Encoding | None, **attributes: Any
) -> Graph:
    """Return one operator on inputs of codes, called x0, x1, …, to y."""
    names = tuple(f"x{index}" for index in range(len(sources)))
    graph = Graph("g", names, ("y",))
    for name, encoding in zip(names, sources, strict=True):
        graph.add(Value(name, dtype_of(encoding), ("n", *shape), None, encoding))
    if target is not None:
        graph.add(Value("y", dtype_of(target), (), None, target))
    domain = "lowbit" if op.startswith("Fixed") else ""
    graph.nodes = [Node(op, names, ("y",), attributes, "node", domain)]
    infer(graph)
    verify(graph)
    return graph


def codes(encoding: FixedPoint, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Return codes with the extreme ones among them."""
    random = np.random.default_rng(seed)
    found = random.integers(0, 1 << encoding.bits, shape)
    ends = random.random(shape)
    found[ends < 0.1], found[ends > 0.9] = 0, (1 << encoding.bits) - 1
    return found.astype(np.uint8 if encoding.bits <= 8 else np.uint16)


def expected(real: Fraction, target: FixedPoint, activation: str = "none") -> int:
    """Return the code of an exact real."""
    ends = ACTIVATIONS[activation].clip
    if ends is not None:
        real = max(real, Fraction(ends[0]))
        real = real if ends[1] == np.inf else min(real, Fraction(ends[1]))
    half = Fraction(1, 2) if target.rounds_to_nearest else 0
    integer = floor(real * (1 << target.fraction_bits) + half)
    return min(max(integer, target.least), -target.least - 1) - target.least


def real_of(encoding: FixedPoint, code: int) -> Fraction:
    return Fraction(int(code) + encoding.least, 1 << encoding.fraction_bits)


@pytest.mark.parametrize("activation", CLIPS)
def test_a_sum_is_rounded_once_and_clipped(activation: str) -> None:
    for seed, (source, target) in enumerate(PAIRS):
        other = FixedPoint(max(1, 12 - source.fraction_bits), source.fraction_bits)
        graph = network("FixedAdd", [source, other], (5,), target, activation=activation)
        x, y = codes(source, (4, 5), seed), codes(other, (4, 5), seed + 1)
        found = evaluate(graph, {"x0": x, "x1": y})["y"]
        wanted = [
            expected(real_of(source, a) + real_of(other, b), target, activation)
            for a, b in zip(x.flat, y.flat, strict=True)
        ]
        assert found.reshape(-1).tolist() == wanted, (source, target)


@pytest.mark.parametrize("padded", [0, 1])
def test_means_are_those_of_exact_reals(padded: int) -> None:
    """Windows that hang over the map, with and without their padding, and the whole map."""
    for seed, (source, target) in enumerate(PAIRS):
        x = codes(source, (2, 3, 4, 5), seed)
        window = {"kernel_shape": (3, 2), "strides": (2, 2), "pads": (1, 0, 1, 1)}
        found = evaluate(
            network("AveragePool", [source], x.shape[1:], target, count_include_pad=padded, **window),
            {"x0": x},
        )["y"]
        rows = [(max(2 * i - 1, 0), min(2 * i + 2, 4)) for i in range(found.shape[2])]
        columns = [(2 * j, min(2 * j + 2, 5)) for j in range(found.shape[3])]
        for i, j in product(range(len(rows)), range(len(columns))):
            part = x[:, :, slice(*rows[i]), slice(*columns[j])].reshape(6, -1)
            count = 6 if padded else part.shape[1]
            wanted = [expected(sum(real_of(source, c) for c in row) / count, target) for row in part]
            assert found[:, :, i, j].reshape(-1).tolist() == wanted, (source, target, i, j)
        whole = evaluate(network("GlobalAveragePool", [source], x.shape[1:], target), {"x0": x})["y"]
        wanted = [expected(sum(real_of(source, c) for c in row) / 20, target) for row in x.reshape(6, -1)]
        assert whole.shape == (2, 3, 1, 1) and whole.reshape(-1).tolist() == wanted


def test_the_largest_of_16_bit_codes() -> None:
    source = FixedPoint(8, 8)
    x = codes(source, (3, 2, 6, 6), 7)
    graph = network("MaxPool", [source], x.shape[1:], source, kernel_shape=(2, 2), strides=(2, 2))
    found = evaluate(graph, {"x0": x})["y"]
    assert np.array_equal(found, x.reshape(3, 2, 3, 2, 3, 2).max(axis=(3, 5)))


@pytest.mark.parametrize(
    ("op", "sources", "target", "attributes", "message"),
    [
        ("FixedAdd", [FORMATS[0], FORMATS[0]], FORMATS[0], {"activation": "tanh"}, "none, relu, relu6, hard"),
        ("FixedAdd", [FORMATS[0], FORMATS[2]], FORMATS[0], {}, "bits behind the point"),
        ("FixedAdd", [FORMATS[0], FORMATS[0]], None, {}, "the sum; expected codes"),
        ("GlobalAveragePool", [FORMATS[0]], None, {}, "the mean of codes; expected codes"),
        ("GlobalAveragePool", [Affine(8, np.ones(1, "f4"), np.zeros(1, "i4"))], FORMATS[0], {}, "fixed poi"),
        ("AveragePool", [FORMATS[0]], None, {"kernel_shape": (2, 2)}, "the mean of codes"),
    ],
)
def test_what_is_no_fixed_point_is_refused(
    op: str, sources: list[Encoding], target: Encoding | None, attributes: dict[str, Any], message: str
) -> None:
    with pytest.raises(GraphError, match=message):
        network(op, sources, (2, 4, 4), target, **attributes)


def clipped_layer(op: str, target: FixedPoint, activation: str) -> Graph:
    """Return an encoder, a layer that rounds to clipped codes, and what they stand for."""
    random, source = np.random.default_rng(target.bits), FixedPoint(3, 4)
    shape, rows = ((2, 5, 5), (3, 3, 3, 2)) if op == "Convolution" else ((7,), (3, 7))
    graph = Graph("g", ("x",), ("y",), values={"x": Value("x", "float32", ("n", *shape))})
    graph.add(Value("c", "code", (), None, source))
    graph.add(Value("w", "code", rows, random.integers(0, 256, rows).astype("u1"), FixedPoint(2, 6)))
    graph.add_constant("b", random.normal(size=3))
    graph.add(Value("z", dtype_of(target), (), None, target))
    window = {"pads": (1, 1, 1, 1)} if op == "Convolution" else {}
    graph.nodes = [
        Node("Encode", ("x",), ("c",), {}, "encode", "lowbit"),
        Node(op, ("c", "w", "b"), ("z",), {**window, "activation": activation}, "layer", "lowbit"),
        Node("Decode", ("z",), ("y",), {}, "decode", "lowbit"),
    ]
    infer(graph)
    verify(graph)
    return graph


@pytest.mark.parametrize("activation", CLIPS[1:])
@pytest.mark.parametrize("op", ["Linear", "Convolution"])
@pytest.mark.parametrize("target", FORMATS[::3], ids=str)
def test_a_layer_rounds_to_clipped_codes_everywhere(op: str, target: FixedPoint, activation: str) -> None:
    graph, plain = (clipped_layer(op, target, name) for name in (activation, "none"))
    shape = [int(extent) for extent in graph.value("x").shape[1:]]
    x = np.random.default_rng(1).normal(size=(9, *shape), scale=3).astype(np.float32)
    found = evaluate(graph, {"x": x})["y"]
    low, high = target.decode(target.encode(np.array(ACTIVATIONS[activation].clip)))
    assert np.array_equal(found, np.clip(evaluate(plain, {"x": x})["y"], low, high))
    assert np.array_equal(Program(graph).run(x), found)
    again = from_text(to_text(graph))
    assert again.nodes[1].attributes["activation"] == activation
    assert np.array_equal(evaluate(again, {"x": x})["y"], found)


@pytest.mark.parametrize("op", ["Linear", "Convolution"])
def test_clipped_codes_in_files(op: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    from lowbit.formats.onnx import to_proto

    for target, activation in product((FORMATS[4], FORMATS[9]), CLIPS[1:]):
        graph = clipped_layer(op, target, activation)
        shape = [int(extent) for extent in graph.value("x").shape[1:]]
        x = np.random.default_rng(1).normal(size=(9, *shape), scale=3).astype(np.float32)
        found, model = evaluate(graph, {"x": x})["y"], to_proto(graph)
        assert np.array_equal(session(model).run(None, {"x": x})[0], found)
        for suffix in (".onnx", ".circle", ".txt"):
            write_model(graph, tmp_path / f"layer{suffix}")
            again = read_model(tmp_path / f"layer{suffix}")
            (result,) = evaluate(again, {again.inputs[0]: x}).values()
            assert np.array_equal(result, found)
