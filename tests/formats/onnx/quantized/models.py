"""Small quantized models of ONNX, made at random, and what ONNX Runtime says of them."""

from dataclasses import dataclass, field
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from lowbit.backends.onnxruntime import session

Array = npt.NDArray[np.generic]


@dataclass
class Model:
    """A model under construction: nodes and constants, and names that are free."""

    random: np.random.Generator
    opset: int = 21
    nodes: list[NodeProto] = field(default_factory=list)
    tensors: list[TensorProto] = field(default_factory=list)
    count: int = 0

    def name(self, stem: str) -> str:
        self.count += 1
        return f"{stem}{self.count}"

    def constant(self, array: npt.ArrayLike, kind: int | None = None, stem: str = "c") -> str:
        """Add a constant, of a type that NumPy has not if one is named."""
        name, numbers = self.name(stem), np.asarray(array)
        if kind is None:
            self.tensors.append(numpy_helper.from_array(numbers, name))
        else:
            self.tensors.append(helper.make_tensor(name, kind, numbers.shape, numbers.reshape(-1).tolist()))
        return name

    def node(
        self, op: str, inputs: list[str], domain: str = "", output: str = "", **attributes: object
    ) -> str:
        name = output or self.name(op.lower())
        self.nodes.append(helper.make_node(op, inputs, [name], domain=domain, **attributes))
        return name

    def proto(self, shape: tuple[int | str, ...], output: str, kind: int = TensorProto.FLOAT) -> ModelProto:
        ends = [
            helper.make_tensor_value_info("x", kind, shape),
            helper.make_tensor_value_info(output, TensorProto.FLOAT, None),
        ]
        graph = helper.make_graph(self.nodes, "net", ends[:1], ends[1:], self.tensors)
        domains = {"": self.opset, **{node.domain: 1 for node in self.nodes if node.domain}}
        opsets = [helper.make_opsetid(domain, version) for domain, version in domains.items()]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def onnxruntime_output(model: ModelProto, samples: Array, *, optimized: bool = False) -> Array:
    """Return what ONNX Runtime makes of samples."""
    runtime = pytest.importorskip("onnxruntime")
    levels = runtime.GraphOptimizationLevel
    level = levels.ORT_ENABLE_ALL if optimized else levels.ORT_DISABLE_ALL
    if not optimized and _multiplies_unlike_bytes(model) and _saturates():
        pytest.skip("ONNX Runtime's sums of products of a uint8 and an int8 saturate on this processor")
    return np.asarray(session(model, graph_optimization_level=level).run(None, {"x": samples})[0])


def _multiplies_unlike_bytes(model: ModelProto) -> bool:
    """Return whether a product may be of a uint8 and an int8."""
    kinds = {tensor.data_type for tensor in model.graph.initializer}
    made = any(node.op_type.startswith("DynamicQuantize") for node in model.graph.node)
    return TensorProto.INT8 in kinds and (made or TensorProto.UINT8 in kinds)


@cache
def _saturates() -> bool:
    """Return whether this processor's kernels add two such products in 16 bits, as those without VNNI do."""
    weights = numpy_helper.from_array(np.full((2, 16), 127, np.int8), "w")
    kinds = ("x", TensorProto.UINT8, [1, 2]), ("y", TensorProto.INT32, None)
    ends = [helper.make_tensor_value_info(*each) for each in kinds]
    product = helper.make_node("MatMulInteger", ["x", "w"], ["y"])
    graph = helper.make_graph([product], "net", ends[:1], ends[1:], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    level = pytest.importorskip("onnxruntime").GraphOptimizationLevel.ORT_DISABLE_ALL
    found = session(model, graph_optimization_level=level).run(None, {"x": np.full((1, 2), 255, np.uint8)})[0]
    return int(found[0, 0]) != 2 * 127 * 255
