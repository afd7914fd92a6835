"""Powers of two as ONNX: any runtime gives the reference's codes, and the file reads back equal."""

import numpy as np
import pytest

from lowbit.errors import ModelFormatError
from lowbit.formats.onnx import from_proto, to_proto
from lowbit.schemes import Affine
from tests.formats.onnx.test_lowbit_files import assert_runs_and_reads_back
from tests.ir.networks import Convolution, lowbit_convnet, lowbit_mlp, with_powers

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("size", [1, 31, 32, 33])
def test_fully_connected(bits: int, size: int) -> None:
    assert_runs_and_reads_back(with_powers(lowbit_mlp((size, size + 1, 3), 2), bits))


@pytest.mark.parametrize("activation", ["none", "relu", "tanh", "sigmoid", "hardtanh", "relu6"])
def test_every_activation(activation: str) -> None:
    assert_runs_and_reads_back(with_powers(lowbit_mlp((9, 7, 3), 2, activation=activation), 4))


@pytest.mark.parametrize("group", [1, 3])
def test_convolutions(group: int) -> None:
    layers = (Convolution(9, strides=(2, 1), group=group, pool=True), Convolution(5))
    graph = lowbit_convnet((3, 7, 6), layers, 2, 2, classes=3)
    assert_runs_and_reads_back(with_powers(graph, 4))


def test_affine_inputs() -> None:
    graph = with_powers(lowbit_mlp((9, 7, 3), 2), 4)
    graph.update("x/codes", encoding=Affine(8, [0.02], [100]))
    assert_runs_and_reads_back(graph)


@pytest.mark.parametrize(("at", "value"), [((0, 0), 0xFF), ((0, 4), 0x10)], ids=["code", "padding"])
def test_damaged_codes_are_refused(at: tuple[int, int], value: int) -> None:
    model = to_proto(with_powers(lowbit_mlp((9, 7, 3), 2), 3))
    for tensor in model.graph.initializer:
        if tensor.name == "fc1/weights":
            data = onnx.numpy_helper.to_array(tensor).copy()
            data[at] |= np.uint8(value)
            tensor.CopyFrom(onnx.numpy_helper.from_array(data, tensor.name))
    with pytest.raises(ModelFormatError, match="stored codes are not what their encoding says"):
        from_proto(model)
