"""`Linear` and `Convolution` against a statement by hand, in Python integers, over all pairs of encodings."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from math import floor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lowbit.errors import GraphError, NumericError, SchemeError
from lowbit.ir import Graph, Node, Value, evaluate, infer, verify
from lowbit.ir.activations import apply_activation
from lowbit.ir.graph import Attribute
from lowbit.planes import pack, unpack
from lowbit.schemes import Affine, Encoding, FixedPoint, LearnedBasis, PowerOfTwo
from tests.conformance.pairs import FLOAT, Case, few_cases, network

Array = npt.NDArray[Any]
Taps = list[tuple[int, int]]
CASES = {str(case): case for case in few_cases()}


def taps_of(graph: Graph, node: Node, array: Array, index: tuple[int, ...]) -> Iterator[tuple[Any, int]]:
    """Yield what an output reads, and the place of the weight that it is multiplied by."""
    if node.op == "Linear":
        yield from zip(array[index[:-1]].tolist(), range(array.shape[-1]), strict=True)
        return
    outputs, height, width, depth = graph.value(node.inputs[1]).shape
    n, o, y, x = index
    steps, dilations = (node.attributes.get(name, (1, 1)) for name in ("strides", "dilations"))
    pads, first = node.attributes["pads"], o // (outputs // node.attributes.get("group", 1)) * depth
    for i, j, c in product(range(height), range(width), range(depth)):
        row, column = y * steps[0] + i * dilations[0] - pads[0], x * steps[1] + j * dilations[1] - pads[1]
        if 0 <= row < array.shape[2] and 0 <= column < array.shape[3]:
            yield array[n, first + c, row, column].item(), (i * width + j) * depth + c


def by_hand(graph: Graph, node: Node, array: Array, index: tuple[int, ...]) -> float | int:
    """Return one output of a layer."""
    weights = graph.value(node.inputs[1])
    length = int(np.prod(weights.shape[1:]))
    o = index[-1] if node.op == "Linear" else index[1]
    data = weights.data[o : o + 1]
    codes = (unpack(data, length) if weights.dtype == "planes" else data).reshape(-1).tolist()
    taps = list(taps_of(graph, node, array, index))
    return one_output(graph, node, o, [x for x, _ in taps], [codes[place] for _, place in taps])


def one_output(graph: Graph, node: Node, o: int, xs: list[Any], ws: list[int]) -> float | int:
    source, weights, bias = (graph.value(name) for name in node.inputs[:3])
    row = o if weights.encoding.channels > 1 else 0
    levels, scale_w = weights.encoding.levels()[row], weights.encoding.integer_scale()[row]
    activation = node.attributes.get("activation", "none")
    if source.encoding is None:
        total = sum(float(levels[w]) * x for x, w in zip(xs, ws, strict=True)) + float(bias.data[o])
        return apply_activation(activation, np.float32(total)).astype(np.float32).item()
    whole, units = (
        np.rint(levels / scale_w).astype(int).tolist(),
        source.encoding.integer_levels()[0].tolist(),
    )
    scale = source.encoding.integer_scale()[0] * scale_w
    acc = sum(units[x] * whole[w] for x, w in zip(xs, ws, strict=True))
    real = 0.0
    if bias.encoding is not None:
        level = Fraction(float(bias.encoding.levels()[0][bias.data[o]]))
        acc += level / Fraction(float(scale))
        assert acc == int(acc)
        acc = int(acc)
    elif bias.dtype == "int32":
        acc += int(bias.data[o])
    else:
        real = float(bias.data[o])
    bias64 = np.float64(real) + source.encoding.integer_offset()[0] * (
        scale_w * float(sum(whole[w] for w in ws))
    )
    target = graph.value(node.outputs[0]).encoding
    if len(node.inputs) == 4:
        steps = graph.constant(node.inputs[3]).astype(np.float64)
        rank = sum(acc > floor((step - bias64) / scale) for step in steps.tolist())
        return int(target.code_of_rank()[0][rank])
    exact = scale * np.float64(acc) + bias64
    if target is None:
        return apply_activation(activation, np.float32(exact)).astype(np.float32).item()
    return rounded(apply_activation(activation, exact), target)


def rounded(exact: float, target: Encoding) -> int:
    if isinstance(target, Affine):
        code = round(float(exact / np.float64(target.scale[0]))) + int(target.zero_point[0])
        return min(max(code, 0), (1 << target.bits) - 1)
    assert isinstance(target, FixedPoint)
    whole = floor(Fraction(float(exact)) * (1 << target.fraction_bits) + Fraction(1, 2))
    return min(max(whole, target.least), -target.least - 1) - target.least


@pytest.mark.parametrize("name", CASES)
def test_every_pair_is_what_the_page_says(name: str) -> None:
    graph = network(CASES[name])
    x, seen = CASES[name].samples(2), {}
    evaluate(graph, {"x": x}, lambda key, value: seen.update({key: value}))
    layers = [node for node in graph.nodes if node.op in ("Linear", "Convolution")]
    assert layers
    for node in layers:
        array, found = seen[node.inputs[0]], seen[node.outputs[0]]
        places = [np.unravel_index(place, found.shape) for place in chosen(found.size)]
        expected = np.array([by_hand(graph, node, array, place) for place in places])
        some = np.array([found[place] for place in places])
        if CASES[name].activations == FLOAT:
            np.testing.assert_allclose(some, expected.astype(np.float32), rtol=1e-5, atol=1e-5)
        else:
            np.testing.assert_array_equal(some, expected.astype(found.dtype))


def chosen(size: int) -> list[int]:
    """Return some of so many places, the first and the last among them."""
    return sorted({0, size - 1, *np.random.default_rng(0).integers(0, size, 12).tolist()})


def test_every_code_and_end_occurs() -> None:
    """A suite that cannot fail is a defect: outputs of codes use several of them."""
    used = {}
    for case in list(CASES.values())[::3]:
        if case.activations != FLOAT and ":" in case.end:
            graph, seen = network(case), {}
            evaluate(graph, {"x": case.samples()}, lambda key, value, seen=seen: seen.update({key: value}))
            used[str(case)] = len(np.unique(seen["a"])) > 1 or seen["a"].size < 4
    assert sum(used.values()) > 0.9 * len(used), [name for name, several in used.items() if not several]


def layer(
    source: Encoding | None,
    weights: Value,
    bias: Value,
    target: Encoding | None = None,
    thresholds: npt.ArrayLike | None = None,
    **attributes: Attribute,
) -> Graph:
    length = weights.shape[-1]
    graph = Graph("layer", ("x",), ("y",), values={"x": Value("x", "float32", ("n", length))})
    if source is not None:
        graph.values["x"] = Value("x", "code" if source.bits <= 8 else "code16", ("n", length), None, source)
    graph.add(weights)
    graph.add(bias)
    if target is not None:
        graph.add(Value("y", "code", (), None, target))
    inputs = ("x", weights.name, bias.name)
    if thresholds is not None:
        inputs = (*inputs, graph.add_constant("t", thresholds))
    graph.nodes = [Node("Linear", inputs, ("y",), attributes, "layer", "lowbit")]
    infer(graph)
    verify(graph)
    return graph


WIDE = FixedPoint(8, 8)
BIAS = Value("b", "float32", (1,), np.zeros(1, np.float32))


def fixed_weights(length: int, encoding: FixedPoint = WIDE, code: int = -1) -> Value:
    dtype = "code" if encoding.bits <= 8 else "code16"
    codes = np.full((1, length), code % (1 << encoding.bits))
    return Value("w", dtype, (1, length), codes.astype("u1" if encoding.bits <= 8 else "u2"), encoding)


def test_sums_beyond_int32_are_exact() -> None:
    """Sixteen bits times sixteen bits: a sum of 2^37, of which every unit shows."""
    length, most = 150, (1 << 15) - 1
    target = FixedPoint(8, 0)
    for less in range(3):
        graph = layer(WIDE, fixed_weights(length), BIAS, target, np.full(255, 2.0**21 - less / 2**16))
        codes = np.full((2, length), 65535, np.uint16)
        codes[1, 0] = 0
        sums = most * most * length, most * most * (length - 1) - most * 32768
        found = evaluate(graph, {"x": codes})["y"][:, 0]
        steps = floor((2.0**21 - less / 2**16) * 2**16)
        assert found.tolist() == [255 if total > steps else 0 for total in sums]


def test_a_sum_that_float64_may_not_hold_is_refused() -> None:
    """The widest row that stays below 2^52 is taken: 2^13 - 1 inputs of 2^15, times 2^24."""
    huge, weights = LearnedBasis([[2.0**24]], [0.0], [1 << 24]), {}
    for length in (8191, 8192):
        weights[length] = Value("w", "planes", (1, length), pack(np.ones((1, length)), 1), huge)
    x = np.zeros((1, 8191), np.uint16)
    assert evaluate(layer(WIDE, weights[8191], BIAS), {"x": x})["y"][0, 0] == np.float32(-8191 * 2.0**31)
    with pytest.raises(
        NumericError, match="w: an accumulator could overflow; expected sums up to 4503599627370495"
    ):
        evaluate(layer(WIDE, weights[8192], BIAS), {"x": np.zeros((1, 8192), np.uint16)})


def test_a_coded_bias_must_be_whole_units() -> None:
    coarse = Value("b", "code", (1,), np.full(1, 200, np.uint8), FixedPoint(4, 4))
    graph = layer(FixedPoint(4, 4), fixed_weights(3, FixedPoint(6, 2), 129), coarse)
    assert evaluate(graph, {"x": np.full((1, 3), 144, np.uint8)})["y"].tolist() == [[3 * 0.25 + 4.5]]
    fine = Value("b", "code16", (1,), np.full(1, 33000, np.uint16), FixedPoint(4, 12))
    with pytest.raises(SchemeError, match="b: a bias is no whole number of units"):
        evaluate(
            layer(FixedPoint(6, 2), fixed_weights(3, FixedPoint(6, 2)), fine),
            {"x": np.zeros((1, 3), np.uint8)},
        )


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            {"target": LearnedBasis([[1.0]], [0.0], [1])},
            "codes without thresholds; expected an encoding that rounds",
        ),
        (
            {"target": FixedPoint(6, 2), "activation": "tanh"},
            "an activation of rounded codes; expected none, relu, relu6, hardtanh; found tanh",
        ),
        (
            {"target": Affine(8, np.ones(1, "f4"), np.zeros(1, "i4")), "activation": "softplus"},
            "an activation of rounded codes; expected none, relu, relu6, hardtanh; found softplus",
        ),
        ({"source": None, "target": FixedPoint(6, 2)}, "codes of a layer that reads floats"),
        (
            {"source": None, "target": FixedPoint(2, 0), "thresholds": [0, 1, 2]},
            "thresholds of a layer that reads",
        ),
        ({"thresholds": [0, 1, 2]}, "the output of a layer with thresholds; expected codes"),
        ({"bias": Value("b", "float64", (1,), np.zeros(1))}, "bias; expected float32 or int32"),
        (
            {"source": None, "bias": Value("b", "int32", (1,), np.zeros(1, "i4"))},
            r"bias; expected float32 \[1\]",
        ),
        ({"weights": Value("w", "float32", (1, 3), np.zeros((1, 3), "f4"))}, "w must be codes"),
        (
            {"weights": Value("w", "code", (1, 3), np.zeros((1, 3), "u1"), WIDE)},
            "weights; expected constant code16",
        ),
        ({"activation": "gelu"}, "activation"),
    ],
)
def test_what_does_not_fit_is_refused(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        layer(**{"source": FixedPoint(6, 2), "weights": fixed_weights(3), "bias": BIAS, **parts})


def test_a_bias_beside_an_offset_is_real_or_in_the_sum() -> None:
    """Levels 0 and 1 as an offset and a sign: a bias of 3 units is 3 units, however it is written."""
    bits = LearnedBasis([[0.5]], [0.5], [1])
    weights = Value("w", "code", (1, 4), np.array([[1, 2, 5, 6]], np.uint8), PowerOfTwo(3, [4.0]))
    x, levels = np.array([[1, 0, 1, 1]], np.uint8), np.array([1.0, 2.0, -1.0, -2.0])
    for bias in (
        Value("b", "float32", (1,), np.full(1, 1.5, "f4")),
        Value("b", "int32", (1,), np.full(1, 3, "i4")),
    ):
        expected = float((levels * x).sum()) + 1.5
        assert evaluate(layer(bits, weights, bias), {"x": x})["y"].tolist() == [[expected]]


def test_a_case_is_the_same_network_everywhere() -> None:
    case = Case("lq:2", "affine:8", "groups", "lq:2")
    assert str(network(case)) == str(network(case))
