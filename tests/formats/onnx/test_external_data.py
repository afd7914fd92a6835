"""Weights in a file beside the model, as torch writes them, and as float16."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lowbit.budget import allowed
from lowbit.errors import (
    FileError,
    LowbitError,
    ModelFormatError,
    TooLargeError,
    UnsafeFileError,
    UnsupportedError,
)
from lowbit.formats import read_model
from lowbit.formats.onnx.reader import from_proto
from lowbit.ir import evaluate

RANDOM = np.random.default_rng(0)
WEIGHTS, BIAS = RANDOM.normal(size=(4, 6)).astype(np.float32), RANDOM.normal(size=4).astype(np.float32)


def network(*tensors: TensorProto, nodes: list[onnx.NodeProto] | None = None) -> onnx.ModelProto:
    nodes = nodes or [helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1)]
    ends = [helper.make_tensor_value_info(name, 1, ["n", size]) for name, size in (("x", 6), ("y", 4))]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], list(tensors))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def saved(folder: Path, location: str = "net.onnx.data") -> Path:
    """Save a network whose weights lie in another file."""
    model = network(numpy_helper.from_array(WEIGHTS, "w"), numpy_helper.from_array(BIAS, "b"))
    path = folder / "net.onnx"
    (folder / location).parent.mkdir(exist_ok=True)
    onnx.save(model, path, save_as_external_data=True, location=location, size_threshold=0)
    return path


def changed(path: Path, **entries: str) -> Path:
    """Change what the model says of its first tensor."""
    model = onnx.load(path, load_external_data=False)
    stored = model.graph.initializer[0].external_data
    kept = {entry.key: entry.value for entry in stored} | entries
    del stored[:]
    for key, value in kept.items():
        stored.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    return path


def refused(path: Path, error: type[LowbitError], text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        read_model(path)
    assert type(caught.value) is error and caught.value.expected and caught.value.found
    assert "net.onnx" in caught.value.where


@pytest.mark.parametrize("location", ["net.onnx.data", "weights/all.bin", "…"])
def test_weights_beside_the_model(tmp_path: Path, location: str) -> None:
    graph = read_model(saved(tmp_path, location))
    x = RANDOM.normal(size=(3, 6)).astype(np.float32)
    np.testing.assert_allclose(evaluate(graph, {"x": x})["y"], x @ WEIGHTS.T + BIAS, rtol=1e-5)


@pytest.mark.parametrize(
    "location",
    ["/etc/passwd", "../net.onnx.data", "weights/../../x", "./net.onnx.data", "", "a//b", "C:\\x", "~/x:y"],
)
def test_names_that_leave_the_folder(tmp_path: Path, location: str) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    path = changed(saved(inner), location=location)
    (tmp_path / "net.onnx.data").write_bytes((inner / "net.onnx.data").read_bytes())
    refused(path, UnsafeFileError, "outside its folder")


@pytest.mark.parametrize("part", ["file", "folder"])
def test_symbolic_links_are_not_followed(tmp_path: Path, part: str) -> None:
    folder, outside = tmp_path / "model", tmp_path / "outside"
    folder.mkdir()
    path = saved(folder, "weights/all.bin")
    (folder / "weights").rename(outside)
    if part == "folder":
        (folder / "weights").symlink_to(outside)
    else:
        (folder / "weights").mkdir()
        (folder / "weights" / "all.bin").symlink_to(outside / "all.bin")
    refused(path, UnsafeFileError, "a symbolic link is not followed")


def test_what_is_no_file(tmp_path: Path) -> None:
    path = saved(tmp_path)
    (tmp_path / "net.onnx.data").unlink()
    refused(path, FileError, "cannot be opened")
    (tmp_path / "net.onnx.data").mkdir()
    refused(path, UnsafeFileError, "no regular file|not a regular file")


def test_a_short_file_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path)
    data = tmp_path / "net.onnx.data"
    data.write_bytes(data.read_bytes()[:-20])
    refused(path, ModelFormatError, "too short")


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ({"length": "92"}, "do not match"),
        ({"length": "1000000"}, "do not match"),
        ({"offset": "-4"}, "no numbers"),
        ({"offset": "4294967296"}, "too short"),
        ({"offset": "1" * 30}, "no numbers"),
        ({"offset": "x"}, "no numbers"),
        ({"length": "²"}, "no numbers"),
    ],
)
def test_offsets_and_lengths(tmp_path: Path, entries: dict[str, str], text: str) -> None:
    refused(changed(saved(tmp_path), **entries), ModelFormatError, text)


def test_all_weights_count_against_the_budget(tmp_path: Path) -> None:
    with allowed(100), pytest.raises(TooLargeError, match="the weights in other files"):
        read_model(saved(tmp_path))


def test_a_model_in_memory_has_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UnsafeFileError, match="in another file"):
        from_proto(onnx.load(saved(tmp_path), load_external_data=False))


@pytest.mark.parametrize("raw", [False, True])
def test_float16_weights(raw: bool) -> None:
    half = WEIGHTS.astype(np.float16)
    half[0, :3] = [np.float16(6e-8), -0.0, 65504]  # subnormal, signed zero, the largest
    bits = half.tobytes() if raw else half.view(np.uint16).reshape(-1).tolist()
    tensor = TensorProto(name="h", data_type=TensorProto.FLOAT16, dims=half.shape)
    if raw:
        tensor.raw_data = bits
    else:
        tensor.int32_data.extend(bits)
    cast, product = helper.make_node("Cast", ["h"], ["w"], to=1), network().graph.node[0]
    graph = from_proto(network(tensor, numpy_helper.from_array(BIAS, "b"), nodes=[cast, product]))
    (layer,) = graph.nodes
    assert np.array_equal(graph.constant(layer.inputs[1]), half.astype(np.float32))


def test_operators_that_are_missing_are_all_named() -> None:
    nodes = [
        helper.make_node("NonZero", ["x"], ["a"]),
        helper.make_node("NonZero", ["a"], ["c"]),
        helper.make_node("Foo", ["c"], ["y"], domain="com.example"),
        helper.make_node("Unused", ["c"], ["nobody"]),
    ]
    with pytest.raises(UnsupportedError, match=r"NonZero \(2\), com.example.Foo \(1\)") as caught:
        from_proto(network(nodes=nodes), "net.onnx")
    assert "Unused" not in str(caught.value) and "NonZero" in caught.value.where
