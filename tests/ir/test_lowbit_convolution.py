"""Convolution against a naive loop over windows, and its constants by border class."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowbit.errors import GraphError
from lowbit.ir import Graph, Node, Value, evaluate, infer, verify
from lowbit.ir.activations import apply_activation
from lowbit.ir.deployed_convolution import deployed_convolution
from lowbit.ir.window import Axis
from lowbit.planes import pack
from lowbit.schemes import Affine, LearnedBasis, PowerOfTwo
from tests.ir.networks import Convolution, lowbit_convnet


def traced(graph: Graph, x: np.ndarray) -> dict[str, np.ndarray]:
    """Return every value of a run."""
    seen: dict[str, np.ndarray] = {}
    evaluate(graph, {"x": x}, seen.__setitem__)
    return seen


def naive(integers: np.ndarray, weights: np.ndarray, layer: Convolution) -> tuple[np.ndarray, np.ndarray]:
    """Return accumulators ``[n, o, y, x]`` and sums of weights over valid taps ``[o, y, x]``, tap by tap."""
    count, channels, height, width = integers.shape
    per_group, outputs = channels // layer.group, len(weights)
    rows = (
        height + layer.pads[0] + layer.pads[2] - layer.dilations[0] * (layer.kernel[0] - 1) - 1
    ) // layer.strides[0]
    columns = (
        width + layer.pads[1] + layer.pads[3] - layer.dilations[1] * (layer.kernel[1] - 1) - 1
    ) // layer.strides[1]
    sums = np.zeros((count, outputs, rows + 1, columns + 1), np.int64)
    valid = np.zeros((outputs, rows + 1, columns + 1), np.int64)
    for y, x in np.ndindex(rows + 1, columns + 1):
        for i, j in np.ndindex(*layer.kernel):
            row = y * layer.strides[0] + i * layer.dilations[0] - layer.pads[0]
            column = x * layer.strides[1] + j * layer.dilations[1] - layer.pads[1]
            if not (0 <= row < height and 0 <= column < width):
                continue
            for o in range(outputs):
                first = o // (outputs // layer.group) * per_group
                pixel = integers[:, first : first + per_group, row, column].astype(np.int64)
                sums[:, o, y, x] += pixel @ weights[o, i, j].astype(np.int64)
                valid[o, y, x] += weights[o, i, j].sum()
    return sums, valid


GEOMETRIES = {
    "plain": ((3, 5, 6), Convolution(4, pads=(0, 0, 0, 0))),
    "same": ((1, 5, 5), Convolution(3)),
    "31": ((31, 4, 4), Convolution(5)),
    "32": ((32, 4, 4), Convolution(5)),
    "33": ((33, 4, 4), Convolution(5)),
    "63": ((63, 3, 4), Convolution(2)),
    "64": ((64, 3, 4), Convolution(2)),
    "65": ((65, 3, 4), Convolution(2)),
    "stride": ((5, 7, 6), Convolution(3, strides=(2, 3))),
    "uneven": ((5, 7, 6), Convolution(3, kernel=(2, 5), pads=(0, 3, 2, 1), strides=(1, 2))),
    "dilated": ((2, 9, 8), Convolution(3, dilations=(2, 3), pads=(2, 3, 1, 0))),
    "groups": ((6, 4, 4), Convolution(4, group=2)),
    "depthwise": ((5, 4, 4), Convolution(10, group=5)),
    "pointwise": ((33, 3, 3), Convolution(7, kernel=(1, 1), pads=(0, 0, 0, 0))),
    "one pixel": ((7, 1, 1), Convolution(3)),
    "larger than the map": ((3, 2, 2), Convolution(3, kernel=(5, 5), pads=(2, 2, 2, 2))),
    "windows of padding": ((2, 2, 2), Convolution(2, kernel=(1, 1), pads=(2, 1, 0, 1))),
}


@pytest.mark.parametrize("weight_offset", [False, True])
@pytest.mark.parametrize(("input_bits", "weight_bits"), [(1, 1), (2, 3), (4, 2)])
@pytest.mark.parametrize("case", GEOMETRIES)
def test_sums_skip_padding(case: str, input_bits: int, weight_bits: int, weight_offset: bool) -> None:
    shape, layer = GEOMETRIES[case]
    graph = lowbit_convnet(shape, (layer,), input_bits, weight_bits, weight_offset=weight_offset)
    x = np.random.default_rng(1).normal(size=(2, *shape)).astype(np.float32)
    seen = traced(graph, x)
    source, packed = graph.value("x/codes").encoding, graph.value("conv1/weights")
    rows, columns = window(shape, layer)
    constants = deployed_convolution(source, packed, graph.constant("conv1/bias"), (rows, columns))
    integers = source.integer_levels()[0][seen["x/codes"]]
    sums, valid = naive(integers, constants.weights, layer)
    scale_w = packed.encoding.integer_scale()[:, None, None]
    offset = source.integer_offset()[0] * (scale_w * valid.astype(np.float64))
    bias64 = graph.constant("conv1/bias").astype(np.float64)[:, None, None] + offset
    found = constants.bias[constants.row_class[:, None], constants.column_class].transpose(2, 0, 1)
    assert np.array_equal(found, bias64)
    expected = (source.integer_scale()[0] * scale_w * sums + bias64).astype(np.float32)
    assert np.array_equal(seen["y"], expected)
    assert np.abs(sums).max() <= constants.accumulator_bound()


def window(shape: tuple[int, int, int], layer: Convolution) -> tuple[Axis, Axis]:
    """Return the axes of a layer on an input."""
    rows, columns = (
        Axis(
            shape[1 + i],
            layer.kernel[i],
            layer.strides[i],
            layer.pads[i],
            layer.pads[2 + i],
            layer.dilations[i],
        )
        for i in (0, 1)
    )
    return rows, columns


def test_the_sum_is_that_of_a_float_convolution() -> None:
    graph = lowbit_convnet((33, 6, 5), (Convolution(7, strides=(2, 1)),), 3, 3, weight_offset=True)
    x = np.random.default_rng(1).normal(size=(4, 33, 6, 5)).astype(np.float32)
    seen, packed = traced(graph, x), graph.value("conv1/weights")
    constants = deployed_convolution(
        graph.value("x/codes").encoding,
        packed,
        graph.constant("conv1/bias"),
        (Axis(6, 3, 2, 1, 1), Axis(5, 3, 1, 1, 1)),
    )
    real = Graph("float", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 33, 6, 5))})
    levels = constants.weights * packed.encoding.integer_scale()[:, None, None, None]
    real.add_constant("w", levels.transpose(0, 3, 1, 2))
    real.add_constant("b", graph.constant("conv1/bias"))
    real.nodes = [Node("Conv", ("x", "w", "b"), ("y",), {"pads": (1, 1, 1, 1), "strides": (2, 1)}, "conv")]
    infer(real)
    decoded = graph.value("x/codes").encoding.decode(seen["x/codes"])
    np.testing.assert_allclose(seen["y"], evaluate(real, {"x": decoded})["y"], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("activation", ["relu", "tanh", "none"])
def test_codes_are_those_of_the_activation(activation: str) -> None:
    layers = (Convolution(9), Convolution(4, strides=(2, 2)))
    graph = lowbit_convnet((3, 6, 6), layers, 3, 2, activation=activation)
    x = np.random.default_rng(3).normal(size=(5, 3, 6, 6)).astype(np.float32)
    seen = traced(graph, x)
    plain = graph.copy()
    plain.nodes = [
        plain.nodes[0],
        Node(
            "Convolution", plain.nodes[1].inputs[:3], ("a",), layers[0].attributes("none"), "conv1", "lowbit"
        ),
    ]
    plain.outputs = ("a",)
    infer(plain)
    real = evaluate(plain, {"x": x})["a"]
    hidden = graph.value("conv1/codes").encoding
    expected = hidden.encode(apply_activation(activation, real).astype(np.float32))
    assert np.array_equal(seen["conv1/codes"], expected)  # no value lies within rounding of a threshold


def test_a_tie_stays_below_in_every_border_class() -> None:
    """Levels 0 and 1, weights +1: the output is the number of ones in the window, whole numbers."""
    source = LearnedBasis(np.array([[0.5]]), [0.5], [1])
    graph = Graph("ties", ("x",), ("y",), values={"x": Value("x", "float32", (1, 1, 3, 3))})
    graph.add(Value("q", "code", (1, 1, 3, 3), None, source))
    graph.add(
        Value("w", "planes", (1, 3, 3, 1), pack(np.ones((1, 9)), 1), LearnedBasis(np.ones((1, 1)), [0], [1]))
    )
    graph.add_constant("b", np.zeros(1))
    graph.add_constant("t", [4.0])
    graph.add(Value("y", "code", (), None, LearnedBasis(np.array([[2.0]]), [4.0], [1])))
    graph.nodes = [
        Node("Encode", ("x",), ("q",), {}, "encode", "lowbit"),
        Node("Convolution", ("q", "w", "b", "t"), ("y",), {"pads": (1, 1, 1, 1)}, "conv", "lowbit"),
    ]
    infer(graph)
    verify(graph)
    found = evaluate(graph, {"x": np.ones((1, 1, 3, 3))})["y"][0, 0]
    assert found.tolist() == [[0, 1, 0], [1, 1, 1], [0, 1, 0]]  # a corner sees exactly 4
    graph.values["t"] = Value("t", "float32", (1,), np.nextafter(np.float32([4.0]), np.float32(0)))
    assert evaluate(graph, {"x": np.ones((1, 1, 3, 3))})["y"].all()


def test_classes_are_few() -> None:
    rows, patterns = Axis(8, 3, 1, 1, 1).classes()
    assert len(patterns) == 3 and len(set(rows[1:-1])) == 1
    assert patterns[rows].tolist() == [[False, True, True], *[[True] * 3] * 6, [True, True, False]]
    assert len(Axis(8, 3).classes()[1]) == 1


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(0, 4),
    st.integers(0, 4),
    st.integers(1, 3),
)
def test_an_axis_counts_its_windows(
    extent: int, kernel: int, stride: int, before: int, after: int, dilation: int
) -> None:
    axis = Axis(extent, kernel, stride, before, after, dilation)
    padded = [-1] * before + list(range(extent)) + [-1] * after
    reach = dilation * (kernel - 1)
    starts = [start for start in range(0, len(padded), stride) if start + reach < len(padded)]
    expected = [[padded[start + i * dilation] >= 0 for i in range(kernel)] for start in starts]
    assert max(axis.outputs, 0) == len(starts)
    if starts:
        assert axis.valid().tolist() == expected
        index, patterns = axis.classes()
        assert np.array_equal(patterns[index], axis.valid())


def test_codes_pass_pooling_and_flatten() -> None:
    layers = (Convolution(6, pool=True), Convolution(5, pool=True))
    graph = lowbit_convnet((2, 8, 8), layers, 2, 2, classes=3)
    x = np.random.default_rng(3).normal(size=(4, 2, 8, 8)).astype(np.float32)
    seen = traced(graph, x)
    levels = graph.value("conv1/codes").encoding.decode(seen["conv1/codes"])
    pooled = graph.value("conv1/pooled").encoding.decode(seen["conv1/pooled"])
    assert np.array_equal(pooled, levels.reshape(4, 6, 4, 2, 4, 2).max(axis=(3, 5)))
    assert seen["y"].shape == (4, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"group": 2}, r"group; expected a divisor of 5"),
        ({"group": 5}, r"channels differ; expected 15 channels"),
        ({"pads": (0, 0)}, r"pads; expected 4 numbers"),
        ({"pads": (0, 0, -1, 0)}, r"pads"),
        ({"strides": (0, 1)}, r"strides"),
        ({"dilations": (9, 1)}, r"kernel is larger than the padded map"),
        ({"kernel_shape": (3, 5)}, r"kernel_shape"),
        ({"activation": "gelu"}, r"activation"),
        ({"auto_pad": "SAME_UPPER"}, r"unknown attribute"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, object], message: str) -> None:
    graph = lowbit_convnet((3, 4, 4), (Convolution(5),))
    node = graph.nodes[1]
    graph.nodes[1] = Node(
        node.op, node.inputs, node.outputs, {**node.attributes, **change}, node.name, node.domain
    )
    with pytest.raises(GraphError, match=message):
        verify(graph)


def test_the_bound_of_a_convolution_is_exact() -> None:
    bits, channels = 7, 17000
    wide = LearnedBasis(2.0 ** np.arange(bits)[None], [0], [2 ** (bits - 1)])
    source = LearnedBasis(np.array([[1.0, 40.0]]), [0], [1000])
    weights = Value("w", "planes", (1, 1, 1, channels), pack(np.full((1, channels), 127), bits), wide)
    constants = deployed_convolution(source, weights, np.zeros(1), (Axis(1, 1), Axis(1, 1)))
    assert constants.accumulator_bound() == 1025 * 127 * channels > 2**31


@pytest.mark.parametrize("coded", [False, True])
@pytest.mark.parametrize("case", ["same", "stride", "dilated", "groups", "depthwise", "65"])
@pytest.mark.parametrize("channels", [1, 4])
def test_affine_convolution_skips_padding(case: str, coded: bool, channels: int) -> None:
    shape, layer = GEOMETRIES[case]
    random = np.random.default_rng(0)
    source = Affine(8, [0.02], [100])
    rows = (layer.outputs, *layer.kernel, shape[0] // layer.group)
    count = 1 if channels == 1 else layer.outputs
    weights = Affine(8, random.uniform(0.01, 0.02, count), np.full(count, 120))
    codes = random.integers(0, 256, rows).astype(np.uint8)
    graph = Graph("affine", ("q",), ("y",), values={"q": Value("q", "code", ("n", *shape), None, source)})
    graph.add(Value("w", "code", rows, codes, weights))
    graph.add_constant("b", random.integers(-5000, 5000, layer.outputs), "int32")
    output = Affine(8, [2.0], [90])
    if coded:
        graph.add(Value("y", "code", (), None, output))
    attributes = {key: item for key, item in layer.attributes("none").items() if key != "activation"}
    graph.nodes = [Node("Convolution", ("q", "w", "b"), ("y",), attributes, "conv", "lowbit")]
    infer(graph)
    verify(graph)
    x = random.integers(0, 256, (2, *shape)).astype(np.uint8)
    centred = codes.astype(np.int64) - 120
    sums, _ = naive(x.astype(np.int64) - 100, centred, layer)
    scale = np.float64(np.float32(0.02)) * weights.scale.astype(np.float64).reshape(-1, 1, 1)
    real = scale * (sums + graph.constant("b").reshape(-1, 1, 1).astype(np.float64))
    expected = np.clip(np.rint(real / 2.0) + 90, 0, 255) if coded else real.astype(np.float32)
    assert np.array_equal(evaluate(graph, {"q": x})["y"], expected)


@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("case", ["same", "stride", "groups", "33"])
def test_powers_of_two_are_shifted_sums(case: str, bits: int) -> None:
    shape, layer = GEOMETRIES[case]
    graph, random = lowbit_convnet(shape, (layer, Convolution(2)), 2, 2), np.random.default_rng(0)
    rows = tuple(int(extent) for extent in graph.value("conv1/weights").shape)
    encoding = PowerOfTwo(bits, random.uniform(0.1, 1, rows[0]))
    codes = random.integers(0, 1 << bits, rows).astype(np.uint8)
    graph.values["conv1/weights"] = Value("conv1/weights", "code", rows, codes, encoding)
    node = graph.nodes[1]
    graph.nodes[1] = Node("Convolution", node.inputs, node.outputs, node.attributes, node.name, node.domain)
    verify(graph)
    seen = traced(graph, random.normal(size=(2, *shape)).astype(np.float32))
    source, hidden = graph.value("x/codes").encoding, graph.value("conv1/codes").encoding
    levels = encoding.integer_levels()[0][codes]
    sums, valid = naive(source.integer_levels()[0][seen["x/codes"]], levels, layer)
    scale_w = encoding.integer_scale()[:, None, None]
    bias = graph.constant("conv1/bias").astype(np.float64)[:, None, None]
    real = source.integer_scale()[0] * scale_w * sums + bias + source.integer_offset()[0] * (scale_w * valid)
    assert np.array_equal(seen["conv1/codes"], hidden.encode(np.maximum(real, 0)))


def test_classes_are_those_of_the_table_of_taps() -> None:
    """Any axis: outputs with the same valid taps, in the order of their patterns."""
    random = np.random.default_rng(0)
    for _ in range(2000):
        extent, kernel, stride, dilation = (int(n) for n in random.integers(1, (12, 6, 5, 4)))
        before, after = (int(n) for n in random.integers(0, 9, 2))
        axis = Axis(extent, kernel, stride, before, after, dilation)
        if axis.outputs < 1:
            continue
        patterns, index = np.unique(axis.valid(), axis=0, return_inverse=True)
        found_index, found_patterns = axis.classes()
        np.testing.assert_array_equal(found_patterns, patterns)
        np.testing.assert_array_equal(found_index, index.reshape(-1))
