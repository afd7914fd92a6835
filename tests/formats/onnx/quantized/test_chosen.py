"""Operators on whole numbers between quantizing and dequantizing: what ONNX Runtime makes of them."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
from onnx import ModelProto, TensorProto, helper, numpy_helper

import lowbit
from lowbit.backends.onnxruntime import session
from lowbit.engine import Program
from lowbit.errors import UnsupportedError

SHAPE = (4, 6, 6)
KINDS = {"uint8": 7, "int8": -9}
PADS = np.array([0, 0, 1, 2, 0, 0, 3, 0])
NEAREST = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
TWICE = np.array([1, 1, 2, 2], np.float32)
CASES: dict[str, tuple[list[Any], dict[str, Any]]] = {
    # inputs behind or around q: names stay, numbers become constants of the type, arrays stay
    "Pad": (["q", PADS, 3], {}),
    "Pad, of nothing": (["q", PADS], {}),
    "Pad, reflect": (["q", PADS], {"mode": "reflect"}),
    "Resize": (["q", "", TWICE], NEAREST),
    "DepthToSpace": (["q"], {"blocksize": 2}),
    "SpaceToDepth": (["q"], {"blocksize": 2}),
    "ReduceMax": (["q"], {"axes": [2, 3]}),
    "ReduceMin": (["q"], {"axes": [1], "keepdims": 0}),
    "Max": (["q", 5], {}),
    "Min": (["q", 5], {}),
    "Where": ([np.arange(6) % 2 == 0, "q", 11], {}),
    "Relu": (["q"], {}),
}


def model(op: str, inputs: list[Any], attributes: dict[str, Any], kind: str) -> ModelProto:
    zero = np.array(KINDS[kind], kind)
    constants = {"scale": np.float32(0.02), "zero": zero}
    names = []
    for at, given in enumerate(inputs):
        names.append(given if isinstance(given, str) else f"c{at}")
        if not isinstance(given, str):
            constants[names[-1]] = np.array(given, kind) if isinstance(given, int) else given
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node(op, names, ["moved"], **attributes),
        helper.make_node("DequantizeLinear", ["moved", "scale", "zero"], ["y"]),
    ]
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)]
        for name, shape in (("x", ["n", *SHAPE]), ("y", None))
    ]
    kept = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "chosen", *ends, kept)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
def test_numbers_are_chosen_as_onnx_runtime_does(case: str, kind: str) -> None:
    if (case, kind) == ("Relu", "uint8"):
        pytest.skip("ONNX Runtime has no Relu of uint8")
    made = model(case.split(",")[0], *CASES[case], kind)
    x = np.random.default_rng(3).normal(0, 1.5, (3, *SHAPE)).astype(np.float32)
    (theirs,) = session(made).run(None, {"x": x})
    assert np.unique(theirs).size > 3  # something is chosen
    np.testing.assert_array_equal(Program(lowbit.read(made)).run(x), theirs)


def test_interpolated_numbers_are_refused() -> None:
    made = model("Resize", ["q", "", TWICE], {"mode": "linear"}, "uint8")
    with pytest.raises(UnsupportedError, match="interpolated"):
        lowbit.read(made)
