"""Float networks from exporters: what is read, what it means, what is refused and how."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from lowbit.backends.onnxruntime import session
from lowbit.errors import (
    GraphError,
    LowbitError,
    ModelFormatError,
    NumericError,
    TooLargeError,
    UnsafeFileError,
    UnsupportedError,
    WriteError,
)
from lowbit.formats.onnx import from_proto, read, to_proto, write
from lowbit.ir import Graph, evaluate, run_passes, to_text
from lowbit.ir.graph import Array
from lowbit.ir.passes import fold_constants, fuse_linear, is_linear
from tests.ir.networks import float_mlp

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

FLOAT = 1
RANDOM = np.random.default_rng(3)
WEIGHTS = RANDOM.normal(size=(4, 12)).astype(np.float32)
BIAS = RANDOM.normal(size=4).astype(np.float32)


def model(
    text: str,
    tensors: dict[str, Array],
    *,
    opset: int = 18,
    inputs: str = "float[batch, 3, 4] x",
    outputs: str = "float[batch, 4] y",
    producer: str = "pytorch",
) -> "onnx.ModelProto":
    """Return the model of nodes in ONNX's text form."""
    head = f'<ir_version: 8, opset_import: ["" : {opset}, "ai.onnx.ml" : 1], producer_name: "{producer}">'
    made = onnx.parser.parse_model(f"{head}\nnet ({inputs}) => ({outputs}) {{\n{text}\n}}")
    made.graph.initializer.extend(
        onnx.numpy_helper.from_array(array, name) for name, array in tensors.items()
    )
    return made


def ort(proto: "onnx.ModelProto", x: dict[str, Array], output: str) -> Array:
    return np.asarray(session(proto).run([output], x)[0])


def assert_means_the_same(proto: "onnx.ModelProto", shape: Sequence[int] = (5, 3, 4)) -> Graph:
    """Compare with ONNX Runtime: as read, after passes, and as written again; return the graph."""
    graph = from_proto(proto)
    (name,), (output,) = graph.inputs, graph.outputs
    x = {name: np.random.default_rng(0).normal(size=shape).astype(np.float32)}
    expected = ort(proto, x, output)
    np.testing.assert_allclose(evaluate(graph, x)[output], expected, rtol=1e-5, atol=1e-6)
    fused = run_passes(graph, [fold_constants, fuse_linear]).graph
    np.testing.assert_allclose(evaluate(fused, x)[output], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ort(to_proto(graph), x, output), expected, rtol=1e-5, atol=1e-6)
    assert to_text(from_proto(to_proto(graph))) == to_text(graph)
    return fused


VIEW = """
  s = Shape(x)
  zero = Constant<value = int64 {0}>()
  n = Gather<axis = 0>(s, zero)
  axes = Constant<value = int64[1] {0}>()
  row = Unsqueeze(n, axes)
  rest = Constant<value = int64[1] {-1}>()
  shape = Concat<axis = 0>(row, rest)
  flat = Reshape(x, shape)
"""


def test_scripted_view_and_linear() -> None:
    text = VIEW + "h = Gemm<transB = 1>(flat, w, b)\ny = LogSoftmax<axis = 1>(h)"
    proto = model(text, {"w": WEIGHTS, "b": BIAS})
    gemm = proto.graph.node[8]
    proto.graph.initializer[0].name = gemm.input[1] = "fc1.weight"
    gemm.name = "/fc1/Gemm"
    graph = assert_means_the_same(proto)
    assert [node.name for node in graph.nodes if is_linear(graph, node)] == ["fc1"]


def test_transposed_weights_are_folded_and_name_their_layer() -> None:
    proto = model(
        "w = Transpose<perm = [1, 0]>(weight)\nf = Flatten(x)\nh = MatMul(f, w)\na = Add(h, b)\ny = Tanh(a)",
        {"weight": WEIGHTS, "b": BIAS},
    )
    proto.graph.initializer[0].name = proto.graph.node[0].input[0] = "net.0.weight"
    graph = assert_means_the_same(proto)
    assert [node.name for node in graph.nodes if is_linear(graph, node)] == ["net.0"]


def test_a_product_is_called_after_its_bias() -> None:
    proto = model("f = Flatten(x)\nh = MatMul(f, w)\ny = Add(b, h)", {"w": WEIGHTS.T.copy(), "b": BIAS})
    proto.graph.initializer[1].name = proto.graph.node[2].input[0] = "fc7.bias"
    graph = assert_means_the_same(proto)
    assert [node.name for node in graph.nodes if is_linear(graph, node)] == ["fc7"]


def test_every_node_gets_a_name() -> None:
    proto = model(
        "f = Flatten(x)\ng = Gemm<transB = 1>(f, w, b)\nh = Tanh(g)\ny = Tanh(h)", {"w": WEIGHTS, "b": BIAS}
    )
    proto.graph.node[0].name = "same"
    proto.graph.node[1].name = "same"
    names = [node.name for node in from_proto(proto).nodes]
    assert len(set(names)) == 4 and all(names) and names[0] == "same"


def test_dropout_identity_and_casts_go() -> None:
    text = """
  f = Flatten(x)
  c = Cast<to = 1>(f)
  d, mask = Dropout(c)
  i = Identity(d)
  y = Gemm<transB = 1>(i, w, b)
"""
    graph = assert_means_the_same(model(text, {"w": WEIGHTS, "b": BIAS}))
    assert [node.op for node in graph.nodes] == ["Flatten", "Gemm"]


def test_clip_in_both_forms() -> None:
    tensors = {"w": WEIGHTS, "b": BIAS, "lo": np.float32(-1), "hi": np.float32(1)}
    text = "f = Flatten(x)\nh = Gemm<transB = 1>(f, w, b)\ny = Clip{}"
    new = assert_means_the_same(
        model(text.format("(h, lo, hi)"), {k: np.asarray(v) for k, v in tensors.items()})
    )
    old = assert_means_the_same(
        model(text.format("<min = -1.0, max = 1.0>(h)"), {"w": WEIGHTS, "b": BIAS}, opset=10)
    )
    assert [node.op for node in new.nodes] == [node.op for node in old.nodes]


def test_old_softmax_over_the_last_axis() -> None:
    text = "f = Flatten(x)\nh = Gemm<transB = 1>(f, w, b)\ny = Softmax(h)"
    assert_means_the_same(model(text, {"w": WEIGHTS, "b": BIAS}, opset=11))


def test_old_softmax_over_several_axes_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="several axes"):
        from_proto(model("y = Softmax(x)", {}, opset=11, outputs="float[batch, 3, 4] y"))


def test_fixed_batch_is_opened() -> None:
    text = (
        "shape = Constant<value = int64[2] {1, 12}>()\nf = Reshape(x, shape)\ny = Gemm<transB = 1>(f, w, b)"
    )
    proto = model(text, {"w": WEIGHTS, "b": BIAS}, inputs="float[1, 3, 4] x", outputs="float[1, 4] y")
    graph = from_proto(proto)
    x = np.random.default_rng(0).normal(size=(6, 3, 4)).astype(np.float32)
    assert isinstance(graph.value("x").shape[0], str)
    single = np.concatenate([ort(proto, {"x": row[None]}, "y") for row in x])
    np.testing.assert_allclose(evaluate(graph, {"x": x})["y"], single, rtol=1e-5, atol=1e-6)


MIXING = {
    "softmax over the batch": "y = Softmax<axis = 0>(x)",
    "logarithm of it": "y = LogSoftmax<axis = -2>(x)",
    "product": "t = Transpose<perm = [1, 0]>(x)\np = MatMul(t, x)\ny = MatMul(x, p)",
    "Gemm": "p = Gemm<transA = 1>(x, x)\ny = MatMul(x, p)",
}


@pytest.mark.parametrize("text", MIXING.values(), ids=MIXING)
def test_a_batch_whose_samples_see_each_other_stays_fixed(text: str) -> None:
    """For one sample a softmax over the batch is 1; for six it would be something else, of the same shape."""
    proto = model(text, {}, inputs="float[1, 12] x", outputs="float[1, 12] y")
    assert from_proto(proto).value("x").shape == (1, 12)


@pytest.mark.parametrize(
    "kind", ["classes", "classes, no map", "two classes", "text classes", "numbers", "several labels"]
)
def test_scikit_learn(kind: str) -> None:
    pytest.importorskip("sklearn")
    skl2onnx = pytest.importorskip("skl2onnx")
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    random = np.random.default_rng(0)
    x, number = random.normal(size=(60, 6)).astype(np.float32), random.integers(0, 4, 60)
    targets = {"two classes": number > 1, "text classes": number.astype(str), "numbers": x[:, 0]}
    targets["several labels"] = np.eye(4, dtype=int)[number]
    network = (MLPRegressor if kind == "numbers" else MLPClassifier)(
        hidden_layer_sizes=(5,), max_iter=3, activation="tanh"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network.fit(x, targets.get(kind, number))
        options = {id(network): {"zipmap": False}} if kind != "classes" and kind != "numbers" else None
        proto = skl2onnx.to_onnx(network, x[:1], options=options)
    graph = from_proto(proto)
    assert len(graph.outputs) == 1
    expected = network.predict(x)[:, None] if kind == "numbers" else network.predict_proba(x)
    found = evaluate(graph, {graph.inputs[0]: x})[graph.outputs[0]]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert to_text(from_proto(to_proto(graph))) == to_text(graph)


def test_float_file_round_trip(tmp_path: Path) -> None:
    graph = float_mlp()
    write(graph, tmp_path / "net.onnx")
    again = read(tmp_path / "net.onnx")
    assert to_text(again) == to_text(graph)
    proto = onnx.load(tmp_path / "net.onnx")
    onnx.checker.check_model(proto, full_check=True)
    assert not proto.functions and {item.domain for item in proto.opset_import} == {""}
    x = {"x": np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)}
    np.testing.assert_allclose(ort(proto, x, "y"), evaluate(graph, x)["y"], rtol=1e-5, atol=1e-6)


def test_an_output_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(WriteError):
        write(float_mlp(), tmp_path / "missing" / "net.onnx")
    assert not list(tmp_path.iterdir())


LINEAR = "f = Flatten(x)\ny = Gemm<transB = 1>(f, w, b)"


def _nan() -> "onnx.ModelProto":
    weights = WEIGHTS.copy()
    weights[1, 2] = np.nan
    return model(LINEAR, {"w": weights, "b": BIAS})


def _half() -> "onnx.ModelProto":
    return model(LINEAR, {"w": WEIGHTS.astype(np.float16), "b": BIAS})


def test_halves_are_read_as_they_are_and_said_to_be_computed_as_floats() -> None:
    graph = from_proto(_half())
    assert np.array_equal(graph.constant("w"), WEIGHTS.astype(np.float16).astype(np.float32))
    assert "float16 is computed as float32" in graph.notes


def _linear() -> "onnx.ModelProto":
    return model(LINEAR, {"w": WEIGHTS, "b": BIAS})


def _with(change: Callable[["onnx.ModelProto"], object]) -> Callable[[], "onnx.ModelProto"]:
    def make() -> "onnx.ModelProto":
        proto = _linear()
        change(proto)
        return proto

    return make


def _huge_shape(proto: "onnx.ModelProto") -> None:
    proto.graph.initializer[0].dims[:] = [2**31, 2**31, 2**31]


def _many_axes(proto: "onnx.ModelProto") -> None:
    proto.graph.initializer[0].dims[:] = [1] * 9


def _cycle(proto: "onnx.ModelProto") -> None:
    proto.graph.node[0].input[0] = "y"


def _old(proto: "onnx.ModelProto") -> None:
    proto.opset_import[0].version = 5


def _many_nodes(proto: "onnx.ModelProto") -> None:
    proto.graph.node.extend([proto.graph.node[0]] * 10_001)


def _bad_text(proto: "onnx.ModelProto") -> bytes:
    return proto.SerializeToString().replace(b"\x01w", b"\x01\xff")


FILL = "n = Constant<value = int64[3] {65536, 65536, 65536}>()\nbig = ConstantOfShape(n)\ny = Add(x, big)"
GROW = "s0 = Constant<value = int64[512] {SHAPE}>()\n".replace("SHAPE", ", ".join(["1"] * 512)) + "\n".join(
    f"s{i + 1} = Concat<axis = 0>(s{i}, s{i})" for i in range(40)
)


@pytest.mark.parametrize(
    "make,error,text",
    [
        (_nan, NumericError, "tensor 'w'"),
        (_with(_huge_shape), ModelFormatError, "tensor 'w'"),
        (_with(_many_axes), UnsupportedError, "axes"),
        (_with(_cycle), ModelFormatError, "cycle"),
        (_with(_old), UnsupportedError, "opset 5"),
        (_with(_many_nodes), TooLargeError, "nodes"),
        (_with(lambda m: m.graph.node[1].input.pop()), None, ""),
        (_with(lambda m: setattr(m.graph.node[1], "op_type", "NonZero")), UnsupportedError, "NonZero"),
        (
            _with(lambda m: setattr(m.graph.node[1], "domain", "com.microsoft")),
            UnsupportedError,
            "com.microsoft",
        ),
        (
            _with(lambda m: setattr(m.graph.initializer[0], "data_location", 1)),
            UnsafeFileError,
            "another file",
        ),
        (_with(lambda m: m.graph.initializer.append(m.graph.initializer[0])), ModelFormatError, "twice"),
        (_with(lambda m: setattr(m.graph.initializer[0], "raw_data", b"123")), ModelFormatError, "3 bytes"),
        (_with(lambda m: m.graph.ClearField("output")), UnsupportedError, "no outputs"),
        (
            _with(lambda m: setattr(m.graph.output[0].type.tensor_type, "elem_type", 8)),
            UnsupportedError,
            "numbers",
        ),
        (_with(lambda m: m.graph.input[0].type.tensor_type.ClearField("shape")), UnsupportedError, "shape"),
        (lambda: model(FILL, {}, outputs="float[batch, 3, 4] y"), TooLargeError, "ConstantOfShape"),
        (lambda: model(GROW + "\ny = Reshape(x, s40)", {}), LowbitError, ""),
        (lambda: model("y = MatMul(x, w)", {"w": WEIGHTS.T.copy()}), GraphError, "MatMul"),
        (lambda: onnx.ModelProto(), ModelFormatError, "no network"),
    ],
)
def test_what_is_refused(
    make: Callable[[], "onnx.ModelProto"], error: type[LowbitError] | None, text: str
) -> None:
    if error is None:
        from_proto(make(), "net.onnx")
        return
    with pytest.raises(error) as caught:
        from_proto(make(), "net.onnx")
    assert "net.onnx" in str(caught.value) and text in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\x00", b"TFL3" * 9, b"\x08", bytes(range(256))])
def test_foreign_bytes(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelFormatError, match="net"):
        read(path)


def test_a_name_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(_bad_text(_linear()))
    with pytest.raises(ModelFormatError, match="not text"):
        read(path)


@pytest.mark.parametrize("path", [(7, 1), (7, 1, 5), (7, 11, 2, 1, 2, 1), (14,), (25, 7)])
def test_many_tiny_messages(path: tuple[int, ...], tmp_path: Path) -> None:
    """Millions of empty nodes, attributes, dimensions, properties, functions: two bytes each."""
    content = bytes([path[-1] << 3 | 2, 0]) if path[-1] < 16 else bytes([path[-1] << 3 & 0x7F | 0x82, 1, 0])
    content *= 1_500_000
    for number in reversed(path[:-1]):
        head = number << 3 | 2
        tag = bytes([head]) if head < 128 else bytes([head & 0x7F | 0x80, head >> 7])
        length, size = b"", len(content)
        while size >= 128:
            length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
        content = tag + length + bytes([size]) + content
    file = tmp_path / "net.onnx"
    file.write_bytes(content)
    with pytest.raises(TooLargeError, match="fields"):
        read(file)


def test_size_limit(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    write(float_mlp(), path)
    with pytest.raises(TooLargeError):
        read(path, limit=100)


MAP = "float[batch, 3, 5, 4] x"
KERNEL = RANDOM.normal(size=(2, 3, 3, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("text", "opset", "ops"),
    [
        ("y = ReduceMean<axes = [2, 3], keepdims = 0>(x)", 13, ["GlobalAveragePool", "Flatten"]),
        ("a = Constant<value = int64[2] {-1, -2}>()\ny = ReduceMean(x, a)", 18, ["GlobalAveragePool"]),
        ("y = ReduceMax<axes = [2, 3], keepdims = 0>(x)", 13, ["GlobalMaxPool", "Flatten"]),
        (
            "y = ReduceMean<axes = [1, 2]>(x)",
            13,
            ["Transpose", "GlobalAveragePool", "Reshape"],
        ),
        (
            "y = ReduceMax<axes = [-1], keepdims = 0>(x)",
            13,
            ["Reshape", "GlobalMaxPool", "Reshape"],
        ),
        ("y = Neg(x)", 13, ["Mul"]),
        ('y = Conv<auto_pad = "SAME_UPPER", strides = [2, 3]>(x, w)', 18, ["Conv"]),
        ('y = Conv<auto_pad = "SAME_LOWER">(x, w)', 18, ["Conv"]),
        ('y = Conv<auto_pad = "VALID">(x, w)', 18, ["Conv"]),
        ("y = MaxPool<kernel_shape = [2, 2], strides = [3, 3], ceil_mode = 1>(x)", 18, ["MaxPool"]),
        (
            "y = AveragePool<kernel_shape = [2, 2], strides = [3, 3], pads = [1, 1, 0, 0], ceil_mode = 1>(x)",
            18,
            ["AveragePool"],
        ),
        ("y = Pad<pads = [0, 0, 1, 2, 0, 0, 0, 1], value = 0.5>(x)", 9, ["Pad"]),
        ("y = Squeeze<axes = [2]>(z)\n", 11, ["GlobalMaxPool", "Reshape"]),
    ],
)
def test_maps(text: str, opset: int, ops: list[str]) -> None:
    if "(z)" in text:
        text = "z = GlobalMaxPool(x)\n" + text
    rank = len(ort_shape(text, opset))
    proto = model(text, {"w": KERNEL}, opset=opset, inputs=MAP, outputs=f"float[{'a, ' * (rank - 1)}b] y")
    fused = assert_means_the_same(proto, (2, 3, 5, 4))
    assert [node.op for node in fused.nodes] == ops


def test_a_convolution_is_called_after_its_weights() -> None:
    proto = model("y = Conv(x, w)", {"conv1.weight": KERNEL}, inputs=MAP, outputs="float[a, b, c, d] y")
    proto.graph.node[0].input[1] = "conv1.weight"
    assert from_proto(proto).nodes[0].name == "conv1"


def ort_shape(text: str, opset: int) -> tuple[int, ...]:
    """Return the shape that ONNX Runtime gives the output."""
    proto = model(text, {"w": KERNEL}, opset=opset, inputs=MAP, outputs="y")
    return ort(proto, {"x": np.zeros((2, 3, 5, 4), np.float32)}, "y").shape


def test_a_partial_window_counts_its_pads_as_onnx_says() -> None:
    text = (
        "y = AveragePool<kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1], ceil_mode = 1, "
        "count_include_pad = 1>(x)"
    )
    proto = model(text, {}, inputs="float[batch, 1, 4, 4] x", outputs="float[a, b, c, d] y")
    graph = from_proto(proto)
    assert [node.op for node in graph.nodes] == ["Pad", "AveragePool"]
    found = evaluate(graph, {"x": np.ones((1, 1, 4, 4), np.float32)})["y"][0, 0]
    # Along each axis the last window covers the last element, a pad of the file, and what rounding added.
    np.testing.assert_allclose(found[2, 2], 1 / 4)
    np.testing.assert_allclose(found[0, 0], 4 / 9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("y = ReduceMean<axes = [4]>(x)", "axes; expected different ones from -4 to 3"),
        ('y = Conv<auto_pad = "SAME">(x, w)', "auto_pad; expected NOTSET, VALID, SAME_UPPER"),
        ("i, y = MaxPool<kernel_shape = [2, 2]>(x)", "more outputs than one"),
        ("y = Conv<strides = [1, 1, 1]>(x, w)", "strides; expected 2 numbers"),
    ],
)
def test_maps_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(LowbitError, match=rf"node '[iy]'.*{message}"):
        from_proto(model(text, {"w": KERNEL}, opset=13, inputs=MAP, outputs="float[a, b, c, d] y"))
