"""Sessions of ONNX Runtime: a file that its own optimizer spoils on some processors is run without it."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from lowbit.backends.onnxruntime import session

pytest.importorskip("onnxruntime")
SCALE, ZERO = np.float32(0.25), np.int8(3)


def _signed_product(weights: np.ndarray) -> bytes:
    """Return a file as the runtime's quantizer writes it: int8 times int8 [in, out]."""
    outputs = weights.shape[1]
    scales, zeros = np.full(outputs, SCALE), np.zeros(outputs, np.int8)
    kept = {"scale": SCALE, "zero": ZERO, "weights": weights, "scales": scales, "zeros": zeros}
    kept["bias"] = np.arange(outputs, dtype=np.int32)
    product = ["codes", "scale", "zero", "weights", "scales", "zeros", "bias", "scale", "zero"]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["codes"]),
        helper.make_node("QGemm", product, ["sums"], domain="com.microsoft"),
        helper.make_node("DequantizeLinear", ["sums", "scale", "zero"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy"]
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in kept.items()]
    graph = helper.make_graph(nodes, "product", ends[:1], ends[1:], tensors)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def test_a_product_of_signed_bytes_runs_on_every_processor() -> None:
    random = np.random.default_rng(20261130)
    weights = random.integers(-128, 128, (37, 11), dtype=np.int8)  # beyond 64 its sums could saturate
    codes = random.integers(-128, 128, (5, 37))
    found = session(_signed_product(weights)).run(None, {"x": ((codes - ZERO) * SCALE).astype(np.float32)})[0]
    sums = (codes - ZERO) @ weights.astype(np.int64) + np.arange(11)
    expected = (np.clip(np.rint(sums * SCALE) + ZERO, -128, 127) - ZERO) * SCALE
    assert np.array_equal(found, expected)


def test_what_it_lacks_is_its_own_error() -> None:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy"]
    node = helper.make_node("Relu", ["x"], ["y"], domain="nobody.knows")
    graph = helper.make_graph([node], "relu", ends[:1], ends[1:])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("nobody.knows", 1)]
    with pytest.raises(Exception, match="Relu"):
        session(bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()))
