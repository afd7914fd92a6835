"""Operators on maps: against their formulas written out, against ONNX Runtime, and at their edges."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lowbit.backends.onnxruntime import session
from lowbit.errors import GraphError, LowbitError, UnsupportedError
from lowbit.ir import Graph, Node, Value, evaluate, infer, verify
from lowbit.schemes import Affine, LearnedBasis
from tests.ir.networks import float_convnet

CHANNELS = (1, 31, 33, 63, 65)
W = np.ones((8, 4, 3, 3), np.float32)


def network(op: str, shape: tuple[int, ...], *constants: np.ndarray, **attributes: Any) -> Graph:
    """Return one operator from ``x [n, *shape]`` to ``y``; constants follow the data."""
    graph = Graph("g", ("x",), ("y",), values={"x": Value("x", "float32", ("n", *shape))})
    names = [
        graph.add_constant(f"c{index}", array, "int64" if array.dtype.kind == "i" else "float32")
        for index, array in enumerate(constants)
    ]
    graph.nodes = [Node(op, ("x", *names), ("y",), attributes, "node")]
    infer(graph)
    verify(graph)
    return graph


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def run(graph: Graph, x: np.ndarray) -> np.ndarray:
    """Return ``y``; its shape and type must be what inference says."""
    y = evaluate(graph, {"x": x})["y"]
    declared = graph.value("y")
    assert (len(x), *declared.shape[1:]) == y.shape and declared.shape[0] == "n"
    assert y.dtype == np.float32 and y.flags.c_contiguous
    return y


def check_with_runtime(graph: Graph, x: np.ndarray) -> None:
    """Compare with an unmodified ONNX Runtime, which reads what our writer writes."""
    pytest.importorskip("onnxruntime")
    from lowbit.formats.onnx import from_proto, to_proto

    model = to_proto(graph)
    (expected,) = session(model).run(None, {"x": x})
    (found,) = evaluate(graph, {"x": x}).values()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    again = from_proto(model)
    assert [(node.op, node.attributes) for node in again.nodes] == [
        (node.op, node.attributes) for node in graph.nodes
    ]


def convolved(
    x: np.ndarray, w: np.ndarray, b: np.ndarray, strides: Any, pads: Any, dilations: Any, group: int
):
    """Return the convolution by its formula, one output at a time."""
    (n, _, height, width), (outputs, inputs, kh, kw) = x.shape, w.shape
    (sh, sw), (top, left, bottom, right), (dh, dw) = strides, pads, dilations
    rows = (height + top + bottom - (kh - 1) * dh - 1) // sh + 1
    columns = (width + left + right - (kw - 1) * dw - 1) // sw + 1
    y = np.zeros((n, outputs, rows, columns)) + b.astype(np.float64).reshape(-1, 1, 1)
    for o, p, q, c, i, j in product(*map(range, (outputs, rows, columns, inputs, kh, kw))):
        r, s = p * sh + i * dh - top, q * sw + j * dw - left
        if 0 <= r < height and 0 <= s < width:
            channel = o // (outputs // group) * inputs + c
            y[:, o, p, q] += x[:, channel, r, s].astype(np.float64) * np.float64(w[o, c, i, j])
    return y.astype(np.float32)


@pytest.mark.parametrize(
    ("size", "kernel", "strides", "pads", "dilations", "group"),
    [
        ((1, 1), (1, 1), (1, 1), (0, 0, 0, 0), (1, 1), 1),
        (
            (1, 1),
            (3, 3),
            (1, 1),
            (1, 1, 1, 1),
            (1, 1),
            2,
        ),  # a kernel larger than the map, not than its padding
        ((5, 4), (3, 2), (1, 1), (0, 0, 0, 0), (1, 1), 1),
        ((5, 4), (2, 3), (3, 4), (2, 0, 1, 3), (1, 1), 4),  # asymmetric pads, stride larger than the kernel
        ((7, 6), (3, 3), (2, 1), (1, 2, 3, 4), (2, 3), 2),
        ((4, 4), (1, 1), (2, 2), (0, 0, 0, 0), (1, 1), 4),
    ],
)
def test_convolution_is_its_formula(size, kernel, strides, pads, dilations, group) -> None:
    x, b = random(2, 4, *size), random(8, seed=2)
    w = random(8, 4 // group, *kernel, seed=1)
    attributes = {"strides": strides, "pads": pads, "dilations": dilations, "group": group}
    graph = network("Conv", x.shape[1:], w, b, kernel_shape=kernel, **attributes)
    expected = convolved(x, w, b, strides, pads, dilations, group)
    np.testing.assert_array_max_ulp(run(graph, x), expected, 1)


def test_inference_says_what_evaluation_gives() -> None:
    for graph in (network("Conv", (4, 5, 5), W), network("MaxPool", (4, 5, 5), kernel_shape=(2, 3))):
        run(graph, random(3, 4, 5, 5))


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("depthwise", [False, True])
def test_convolution_of_odd_channels(channels: int, depthwise: bool) -> None:
    group = channels if depthwise else 1
    w = random(channels, channels // group, 3, 3, seed=1)
    graph = network("Conv", (channels, 5, 5), w, random(channels, seed=2), pads=(1, 1, 1, 1), group=group)
    check_with_runtime(graph, random(2, channels, 5, 5))


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    strides=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    dilations=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pads=st.tuples(*[st.integers(0, 3)] * 4),
    group=st.sampled_from([1, 2, 4]),
)
def test_convolution_is_onnx_runtimes(size, kernel, strides, dilations, pads, group) -> None:
    attributes = {"strides": strides, "pads": pads, "dilations": dilations, "group": group}
    w = random(8, 4 // group, *kernel, seed=1)
    try:
        graph = network("Conv", (4, *size), w, random(8, seed=2), **attributes)
    except GraphError as error:
        assert "larger than the padded map" in str(error)
        assert any(
            n + pads[axis] + pads[axis + 2] < (kernel[axis] - 1) * dilations[axis] + 1
            for axis, n in enumerate(size)
        )
        return
    check_with_runtime(graph, random(2, 4, *size))


@settings(max_examples=60, deadline=None)
@given(
    op=st.sampled_from(["MaxPool", "AveragePool", "AveragePool counting pads"]),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    strides=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    pads=st.tuples(*[st.integers(0, 3)] * 4),
)
def test_pools_are_onnx_runtimes(op, size, kernel, strides, pads) -> None:
    assume(all(pad < k for pad, k in zip(pads, kernel * 2, strict=True)))  # the runtime takes no others
    op, _, counting = op.partition(" ")
    attributes = {"kernel_shape": kernel, "strides": strides, "pads": pads}
    attributes |= {"count_include_pad": 1} if counting else {}
    try:
        graph = network(op, (3, *size), **attributes)
    except GraphError as error:
        assert "larger than the padded map" in str(error)
        return
    check_with_runtime(graph, random(2, 3, *size))


@pytest.mark.parametrize("axes", [1, 3])
def test_maps_of_one_and_three_axes(axes: int) -> None:
    w = random(2, 3, *[2] * axes, seed=1)
    check_with_runtime(network("Conv", (3, *[5] * axes), w, strides=(2,) * axes), random(2, 3, *[5] * axes))
    check_with_runtime(
        network("MaxPool", (3, *[5] * axes), kernel_shape=(2,) * axes), random(2, 3, *[5] * axes)
    )


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool", "LRN", "BatchNormalization"])
def test_one_number_per_channel(op: str, channels: int) -> None:
    vectors = [np.abs(random(channels, seed=seed)) + 0.1 for seed in range(4)]
    constants = vectors if op == "BatchNormalization" else []
    attributes = {"size": 5, "bias": 2.0, "alpha": 0.5} if op == "LRN" else {}
    check_with_runtime(network(op, (channels, 1, 3), *constants, **attributes), random(2, channels, 1, 3))


@pytest.mark.parametrize(
    ("op", "constants", "attributes"),
    [
        ("Transpose", [], {"perm": (0, 2, 3, 1)}),
        ("Squeeze", [np.array([2])], {}),
        ("Unsqueeze", [np.array([1, -1])], {}),
        ("Pad", [np.array([0, 1, 0, 2, 0, 0, 3, 0]), np.float32(1.5)], {}),
        ("Pad", [np.array([0, 0, 0, 2, 0, 0, 0, 1])], {"mode": "reflect"}),
        ("Pad", [np.array([0, 0, 0, -2, 0, 0, 0, 1])], {}),
        ("Concat", [], {"axis": 1}),
        ("PRelu", [np.full((3, 1, 1), 0.1, np.float32)], {}),
        ("Elu", [], {"alpha": 0.5}),
        ("LeakyRelu", [], {"alpha": 0.25}),
        ("HardSigmoid", [], {"alpha": 0.25, "beta": 0.375}),
        ("HardSwish", [], {}),
        ("Sign", [], {}),
        ("Softplus", [], {}),
    ],
)
def test_the_rest_is_onnx_runtimes(op: str, constants: list[np.ndarray], attributes: dict[str, Any]) -> None:
    check_with_runtime(network(op, (3, 1, 4), *constants, **attributes), random(2, 3, 1, 4))


def test_a_whole_network_is_onnx_runtimes() -> None:
    check_with_runtime(float_convnet(), random(2, 3, 9, 8))


BASIS = LearnedBasis(np.array([[1.0, 1.5, 1.8]]), [0.25], [0])  # levels are not in the order of codes
GRID = Affine(3, np.array([0.5]), np.array([3]))


@pytest.mark.parametrize("encoding", [BASIS, GRID])
@pytest.mark.parametrize("op", ["MaxPool", "GlobalMaxPool", "Transpose", "Concat", "Flatten"])
def test_codes_pass_as_their_levels_would(op: str, encoding: Any) -> None:
    attributes = {
        "MaxPool": {"kernel_shape": (3, 2), "strides": (2, 2), "pads": (1, 0, 1, 1)},
        "Transpose": {"perm": (0, 3, 1, 2)},
        "Concat": {"axis": 1},
    }.get(op, {})
    inputs = ("x", "x") if op == "Concat" else ("x",)
    graph = Graph("g", ("x",), ("y",), values={"x": Value("x", "code", ("n", 3, 7, 6), None, encoding)})
    graph.add(Value("y", "code", (), None, encoding))
    graph.nodes = [Node(op, inputs, ("y",), attributes, "node")]
    infer(graph)
    verify(graph)
    real = Graph("g", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 3, 7, 6))})
    real.nodes = graph.nodes
    infer(real)
    codes = np.random.default_rng(0).integers(0, 8, (2, 3, 7, 6)).astype(np.uint8)
    levels = evaluate(real, {"x": encoding.decode(codes)})["y"]
    found = evaluate(graph, {"x": codes})["y"]
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(encoding.decode(found), levels)


@pytest.mark.parametrize("other", [None, GRID])
def test_codes_keep_their_meaning(other: Any) -> None:
    graph = Graph("g", ("x",), ("y",), values={"x": Value("x", "code", ("n", 3, 7, 6), None, BASIS)})
    graph.add(Value("y", "code", (), None, other))
    graph.nodes = [Node("MaxPool", ("x",), ("y",), {"kernel_shape": (2, 2)}, "pool")]
    with pytest.raises(GraphError, match="codes must keep their encoding"):
        infer(graph)


@pytest.mark.parametrize(
    ("op", "constants", "attributes", "message"),
    [
        ("Conv", [W[:, :3]], {}, r"channels differ; expected 3 channels .* found float32 \('n', 4, 5, 5\)"),
        ("Conv", [W], {"group": 3}, "group; expected a divisor of 8; found 3"),
        ("Conv", [W], {"group": 2}, "expected 8 channels for weights .* in 2 group"),
        (
            "Conv",
            [W, np.ones(7)],
            {},
            r"bias; expected float32 \(8,\); found float32 \(7,\) from constant 'c1'",
        ),
        ("Conv", [W[..., 0]], {}, "weights' rank; expected 4; found .* from constant 'c0'"),
        ("Conv", [W], {"kernel_shape": (3, 2)}, r"kernel_shape; expected \(3, 3\), as in the weights"),
        ("Conv", [W], {"dilations": (3, 1)}, "larger than the padded map; expected a map of at least .7, 3."),
        ("Conv", [W], {"strides": (0, 1)}, "strides; expected 2 numbers, none below 1"),
        ("Conv", [W], {"pads": (1, 1)}, "pads; expected 4 numbers, none below 0"),
        ("Conv", [W], {"pads": (1, 1, -1, 0)}, "pads; expected 4 numbers, none below 0"),
        ("Conv", [W], {"pads": 1}, "attribute pads is not supported; expected a row of integers; found 1"),
        ("Conv", [W], {"auto_pad": "SAME_UPPER"}, "unknown attribute"),
        ("MaxPool", [], {}, "kernel; expected 2 numbers above 0"),
        ("MaxPool", [], {"kernel_shape": (6, 6)}, "larger than the padded map"),
        ("MaxPool", [], {"kernel_shape": (2, 2), "pads": (2, 0, 0, 0)}, "a window sees padding alone"),
        (
            "BatchNormalization",
            [np.ones(4)] * 3 + [np.ones(3)],
            {},
            r"variance .*\(4,\); found .* constant 'c3'",
        ),
        ("Pad", [np.array([1, 1])], {}, "pads; expected 8 numbers"),
        ("Pad", [np.zeros(8, np.int64)], {"mode": "mirror"}, "mode; expected constant, edge, reflect, wrap"),
        ("Pad", [np.array([0, 0, -3, 0, 0, 0, -2, 0])], {}, "something left"),
        ("Pad", [np.array([0, 0, -6, 0, 0, 0, 9, 0])], {}, "something left"),
        ("Squeeze", [np.array(2)], {}, "axes.*; expected a row of constant integers"),
        ("Pad", [np.array([1, 0, 0, 0, 0, 0, 0, 0])], {}, "a fixed length"),
        ("Transpose", [], {"perm": (0, 1, 1, 2)}, "perm; expected the axes .* once each"),
        ("Squeeze", [np.array([1])], {}, "an axis to drop is not 1"),
        ("Unsqueeze", [np.array([1, 1])], {}, "axes; expected different ones"),
        ("LRN", [], {}, "size; expected 1 to 32768"),
        ("Add", [np.ones((3, 1, 1))], {}, "do not broadcast in axis 1.* from input 'x'.* from constant 'c0'"),
    ],
)
def test_what_is_refused_says_why(op, constants, attributes, message) -> None:
    with pytest.raises(LowbitError, match=f"node.*{message}"):
        network(op, (4, 5, 5), *constants, **attributes)


def test_a_mismatch_names_both_nodes() -> None:
    graph = Graph("g", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 4, 5, 5))})
    graph.add_constant("w1", np.ones((6, 4, 1, 1)))
    graph.add_constant("w2", np.ones((3, 5, 1, 1)))
    graph.nodes = [
        Node("Conv", ("x", "w1"), ("h",), {}, "first"),
        Node("Conv", ("h", "w2"), ("y",), {}, "second"),
    ]
    with pytest.raises(GraphError, match=r"g/second \(Conv\): channels differ.* from node 'first' \(Conv\)"):
        infer(graph)


def test_an_open_batch_of_one_is_not_dropped() -> None:
    assert run(network("Squeeze", (3, 1, 4)), random(1, 3, 1, 4)).shape == (1, 3, 4)


def test_an_open_map_is_refused() -> None:
    graph = Graph("g", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 4, "h", 5))})
    graph.nodes = [Node("MaxPool", ("x",), ("y",), {"kernel_shape": (2, 2)}, "pool")]
    with pytest.raises(GraphError, match="the map's size is open"):
        infer(graph)


def test_an_attribute_of_the_wrong_kind_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="attribute group is not supported; expected an integer"):
        network("Conv", (4, 5, 5), W, group="two")
