"""Infinities of masks are bounded in every format of others; those of weights are refused."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import lowbit
from lowbit.errors import LowbitError
from lowbit.formats.circle.reader import read_content
from lowbit.formats.circle.schema import AddOptions, FullyConnectedOptions
from lowbit.ir import Graph, evaluate
from tests.formats.test_tflite_int8 import Author

MASK = np.array([[0, -np.inf, 1, np.inf]], np.float32)


def of_onnx(array: np.ndarray, op: str) -> Graph:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in "xy"]
    constant = numpy_helper.from_array(array, "c")
    graph = helper.make_graph(
        [helper.make_node(op, ["x", "c"], ["y"])], "net", ends[:1], ends[1:], [constant]
    )
    return lowbit.read(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]))


def of_tflite(array: np.ndarray, op: str) -> Graph:
    author = Author(np.random.default_rng(0))
    x, y = (author.tensor((1, 4), "float32") for _ in range(2))
    constant = author.tensor(array.shape, "float32", None, array)
    options = AddOptions() if op == "Add" else FullyConnectedOptions()
    author.operator("ADD" if op == "Add" else "FULLY_CONNECTED", (x, constant), y, options)
    return read_content(author.content(x, y), "net.tflite")


@pytest.mark.parametrize("read", [of_onnx, of_tflite])
def test_masks_are_bounded(read: object) -> None:
    graph: Graph = read(MASK, "Add")  # type: ignore[operator]
    most = np.finfo(np.float32).max
    (found,) = evaluate(graph, {graph.inputs[0]: np.zeros((1, 4), np.float32)}).values()
    np.testing.assert_array_equal(found, MASK.clip(-most, most))
    assert any("infinities" in note for note in graph.notes)


@pytest.mark.parametrize(("read", "op"), [(of_onnx, "MatMul"), (of_tflite, "FULLY_CONNECTED")])
def test_weights_are_not(read: object, op: str) -> None:
    with pytest.raises(LowbitError, match="infinity"):
        read(np.full((4, 4), np.inf, np.float32), op)  # type: ignore[operator]
