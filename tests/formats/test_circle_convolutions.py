"""Convolutions in ``.circle``: low-bit ones read back equal, float ones in the format's own layout."""

import numpy as np
import pytest

from lowbit.backends.litert import interpreter as interpreter_of
from lowbit.errors import LowbitError, ModelFormatError
from lowbit.formats.circle import byte_table, read, write
from lowbit.formats.circle.reader import read_content
from lowbit.formats.circle.writer import content_of
from lowbit.ir import Graph, Node, Value, evaluate, infer, to_text, verify
from lowbit.planes import word_count
from tests.ir.networks import Convolution, lowbit_convnet


def again(graph: Graph) -> Graph:
    """Return the graph, written and read back."""
    found = read_content(bytes(content_of(graph)), "net.circle")
    verify(found)
    return found


GEOMETRIES = {
    "same": Convolution(5),
    "valid": Convolution(5, pads=(0, 0, 0, 0)),
    "stride": Convolution(5, strides=(2, 1), pads=(0, 1, 1, 2)),
    "dilated": Convolution(5, dilations=(2, 1), pads=(2, 1, 2, 1)),
    "groups": Convolution(6, group=3),
    "depthwise": Convolution(6, group=6),
    "pointwise": Convolution(33, kernel=(1, 1), pads=(0, 0, 0, 0)),
    "uneven": Convolution(3, kernel=(2, 5), pads=(1, 0, 0, 4)),
}


@pytest.mark.parametrize("case", GEOMETRIES)
def test_a_low_bit_convolution_is_read_back_equal(case: str) -> None:
    graph = lowbit_convnet((6, 7, 8), (GEOMETRIES[case],), 2, 3)
    assert to_text(again(graph)) == to_text(graph)


@pytest.mark.parametrize("channels", [1, 31, 32, 33, 63, 65])
@pytest.mark.parametrize("weight_offset", [False, True])
def test_any_number_of_channels(channels: int, weight_offset: bool) -> None:
    layers = (Convolution(channels), Convolution(3))
    graph = lowbit_convnet((channels, 3, 3), layers, 1, 1, weight_offset=weight_offset)
    assert to_text(again(graph)) == to_text(graph)


@pytest.mark.parametrize("classes", [0, 4])
def test_codes_pass_pools_and_reshapes(classes: int) -> None:
    layers = (Convolution(6, pool=True), Convolution(33, pool=True), Convolution(5))
    graph = lowbit_convnet((2, 8, 8), layers, 3, 2, classes=classes)
    found = again(graph)
    x = np.random.default_rng(0).normal(size=(3, 2, 8, 8)).astype(np.float32)
    assert np.array_equal(evaluate(found, {"x": x})["y"], evaluate(graph, {"x": x})["y"])
    coded = [node.outputs[0] for node in graph.nodes if graph.value(node.outputs[0]).encoding]
    assert all(found.value(name).encoding == graph.value(name).encoding for name in coded)
    assert not any(node.op == "Transpose" for node in found.nodes)


def test_joined_codes_are_read_back_as_codes() -> None:
    graph = lowbit_convnet((4, 5, 5), (Convolution(6), Convolution(3)), 2, 2)
    first = graph.nodes[1]
    second = Node("Convolution", first.inputs, ("side",), first.attributes, "side", "lowbit")
    encoding = graph.value("conv1/codes").encoding
    graph.add(Value("side", "code", (), None, encoding))
    graph.add(Value("both", "code", (), None, encoding))
    wide = lowbit_convnet((12, 5, 5), (Convolution(3),), 2, 2)
    graph.values["conv2/weights"] = Value(
        "conv2/weights",
        "planes",
        (3, 3, 3, 12),
        *(wide.value("conv1/weights").data, wide.value("conv1/weights").encoding),
    )
    last = graph.nodes[2]
    graph.nodes[2:] = [
        second,
        Node("Concat", ("conv1/codes", "side"), ("both",), {"axis": 1}, "join"),
        Node(last.op, ("both", *last.inputs[1:]), last.outputs, last.attributes, last.name, last.domain),
    ]
    infer(graph)
    verify(graph)
    x = np.random.default_rng(0).normal(size=(3, 4, 5, 5)).astype(np.float32)
    found = again(graph)
    assert found.value("both").encoding == encoding
    assert np.array_equal(evaluate(found, {"x": x})["y"], evaluate(graph, {"x": x})["y"])


def test_the_byte_table_counts_a_convolution(tmp_path) -> None:
    graph = lowbit_convnet((33, 6, 6), (Convolution(7), Convolution(5)), 2, 2)
    write(graph, tmp_path / "net.circle")
    rows = byte_table(tmp_path / "net.circle")
    assert sum(row.bytes for row in rows) == (tmp_path / "net.circle").stat().st_size
    packed = {row.what: row.bytes for row in rows}
    assert packed["conv1/weights_binary"] == 7 * 2 * word_count(33 * 9) * 4
    assert to_text(read(tmp_path / "net.circle")) == to_text(graph)


def float_network(**conv: object) -> Graph:
    """Return convolution, bias per channel, activation, pools and a classifier in float."""
    random = np.random.default_rng(0)
    graph = Graph("float", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 4, 9, 8))})
    attributes = {"pads": (1, 1, 1, 1), **conv}
    group = attributes.get("group", 1)
    graph.add_constant("w1", random.normal(size=(8, 4 // group, 3, 3)))
    graph.add_constant("b1", random.normal(size=8))
    graph.add_constant("scale", random.normal(size=(8, 1, 1)))
    graph.add_constant("w2", random.normal(size=(6, 8, 2, 3)))
    graph.add_constant("w3", random.normal(size=(3, 12)))
    graph.nodes = [
        Node("Conv", ("x", "w1", "b1"), ("a",), attributes, "conv1"),
        Node("Mul", ("a", "scale"), ("m",), {}, "scaled"),
        Node("Relu", ("m",), ("r",), {}, "relu"),
        Node("MaxPool", ("r",), ("p",), {"kernel_shape": (2, 2), "strides": (2, 2)}, "pool"),
        Node("Conv", ("p", "w2"), ("c",), {"pads": (1, 0, 0, 2)}, "conv2"),
        Node("Add", ("c", "c"), ("twice",), {}, "add"),
        Node("Concat", ("twice", "c"), ("j",), {"axis": 1}, "join"),
        Node("GlobalAveragePool", ("j",), ("g",), {}, "mean"),
        Node("Flatten", ("g",), ("f",), {}, "flatten"),
        Node("Gemm", ("f", "w3"), ("y",), {"transB": 1}, "fc"),
    ]
    infer(graph)
    verify(graph)
    return graph


@pytest.mark.parametrize(
    "conv",
    [
        {},
        {"strides": (2, 2)},
        {"dilations": (2, 2), "pads": (2, 2, 2, 2)},
        {"group": 2},
        {"group": 4},
        {"pads": (0, 0, 0, 0)},
    ],
    ids=str,
)
def test_a_float_network_is_read_back_with_its_operators(conv: dict[str, object]) -> None:
    graph = float_network(**conv)
    found = again(graph)
    x = np.random.default_rng(0).normal(size=(3, 4, 9, 8)).astype(np.float32)
    assert np.array_equal(evaluate(found, {"x": x})["y"], evaluate(graph, {"x": x})["y"])
    assert [node.op.replace("Flatten", "Reshape") for node in graph.nodes] == [
        node.op for node in found.nodes
    ]


@pytest.mark.parametrize(
    "conv", [{}, {"strides": (2, 2)}, {"group": 4}, {"dilations": (2, 2), "pads": (2, 2, 2, 2)}], ids=str
)
def test_a_stock_runtime_computes_the_same(conv: dict[str, object], tmp_path) -> None:
    pytest.importorskip("ai_edge_litert.interpreter")
    graph = float_network(**conv)
    write(graph, tmp_path / "net.tflite")
    interpreter = interpreter_of((tmp_path / "net.tflite").read_bytes())
    interpreter.allocate_tensors()
    x = np.random.default_rng(0).normal(size=(1, 4, 9, 8)).astype(np.float32)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(found, evaluate(graph, {"x": x})["y"], rtol=1e-4, atol=1e-4)


def test_maps_as_output_and_input_keep_their_axes() -> None:
    graph = float_network()
    graph.outputs, graph.nodes = ("r", "y"), list(graph.nodes)
    found = again(graph)
    assert found.value("r").shape == graph.value("r").shape


def test_a_pool_that_the_format_does_not_have_is_in_the_words_of_the_graph() -> None:
    graph = float_network()
    attributes = {"kernel_shape": (2, 2), "dilations": (2, 2)}
    graph.nodes[3] = Node("MaxPool", ("r",), ("p",), attributes, "pool")
    infer(graph)
    content = bytes(content_of(graph))
    assert b"onnx.MaxPool" in content
    (pool,) = (node for node in read_content(content, "pool").nodes if node.op == "MaxPool")
    assert dict(pool.attributes) == attributes


@pytest.mark.parametrize(
    "change",
    [
        {"strides": (0, 1)},
        {"pads": (1, 1)},
        {"group": 4},
        {"kernel_shape": (3, 4)},
        {"kernel_shape": (99, 99)},
    ],
    ids=str,
)
def test_damaged_options_are_refused(change: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    import lowbit.formats.circle.options as options

    graph = lowbit_convnet((6, 7, 8), (Convolution(6),))
    honest = options.write_options
    content = bytes(content_of(graph))
    arrays = {key: np.array(item) if isinstance(item, tuple) else item for key, item in change.items()}
    monkeypatch.setattr(options, "write_options", lambda entries: honest({**entries, **arrays}))
    with pytest.raises(LowbitError):
        damaged = content_of(graph)
        assert bytes(damaged) != content
        verify(read_content(bytes(damaged), "net.circle"))
    assert issubclass(ModelFormatError, LowbitError)
