"""The report of what a network works with: every target, everything in the way, in the file's own words."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import lowbit
from lowbit.backends import BACKENDS
from lowbit.compatibility import compatibility, target_names
from lowbit.errors import LowbitError
from lowbit.formats import FORMATS, format_of
from lowbit.ir import Graph
from lowbit.plan import Plan
from lowbit.zoo import trained
from tests.quantization.test_sums import residual_network, samples

OPERATORS = ("Relu", "Sin", "Softmax", "MaxPool", "CumSum", "Erf", "Conv", "Resize", "LSTM")


def network(seed: int) -> onnx.ModelProto:
    """Return operators of many kinds on maps, in any order."""
    random, nodes, at = np.random.default_rng(seed), [], "x"
    tensors = {
        "kernel": random.normal(size=(2, 2, 3, 3)).astype(np.float32),
        "axis": np.array(1),
        "scales": np.array([1, 1, 2, 2], np.float32),
        "rows": np.array([0, 0, -1]),
        "map": np.array([0, 0, 6, 6]),
        "W": random.normal(size=(1, 24, 6)).astype(np.float32),
        "R": random.normal(size=(1, 24, 6)).astype(np.float32),
    }
    for number, op in enumerate(random.choice(OPERATORS, 5)):
        name, output = f"{op}_{number}", f"out_{number}"
        if op == "LSTM":
            lines = [
                helper.make_node("Reshape", [at, "lines"], [f"{name}_in"], f"{name}_before"),
                helper.make_node("LSTM", [f"{name}_in", "W", "R"], [f"{name}_y"], name, hidden_size=6),
                helper.make_node("Reshape", [f"{name}_y", "maps"], [output], f"{name}_behind"),
            ]
            tensors |= {"lines": np.array([12, 1, 6]), "maps": np.array([1, 2, 6, 6])}
            nodes += lines
        elif op == "MaxPool":
            nodes.append(helper.make_node(op, [at], [output], name, kernel_shape=[3, 3], pads=[1] * 4))
        elif op == "Resize":
            up = helper.make_node(op, [at, "", "scales"], [f"{name}_up"], name, mode="linear")
            nodes += [
                up,
                helper.make_node("MaxPool", [f"{name}_up"], [output], kernel_shape=[2, 2], strides=[2, 2]),
            ]
        else:
            second = {"CumSum": ["axis"], "Conv": ["kernel"]}.get(str(op), [])
            more = {"pads": [1] * 4} if op == "Conv" else {}
            nodes.append(helper.make_node(str(op), [at, *second], [output], name, **more))
        at = output
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2, 6, 6]) for name in ("x", at)]
    constants = [numpy_helper.from_array(np.asarray(array), name) for name, array in tensors.items()]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def words(path: Path) -> dict[str, str]:
    return {name: word for word, names in format_of(path).file_operators(path) for name in names}


@pytest.mark.parametrize("seed", range(8))
def test_what_is_not_blocked_works_and_what_is_does_not(seed: int, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(network(seed), path)
    graph = lowbit.read(path)
    x = np.random.default_rng(seed).normal(size=(1, 2, 6, 6)).astype(np.float32)
    asked = {each.name: each.blockers for each in compatibility(graph, words(path)).targets}
    assert list(asked) == target_names()
    for name in ("reference", "engine", "onnxruntime"):
        if not asked[name]:
            BACKENDS[name].load(graph).run(x)
    for row in FORMATS:
        target = tmp_path / f"again{row.suffixes[0]}"
        if asked[row.suffixes[0]]:
            with pytest.raises(LowbitError):
                lowbit.write(graph, target)
        else:
            lowbit.write(graph, target)
    known = {node.op_type for node in network(seed).graph.node}
    for blockers in asked.values():
        for blocker in blockers:
            assert blocker.what and blocker.remedy
            assert blocker.operator in known, "the file's own words"
            assert len(blocker.expected) < 200


def test_layers_that_quantization_takes() -> None:
    graph = residual_network()
    layers = compatibility(graph, {}).layers
    assert layers and not any(layer.why for layer in layers)
    _, report = lowbit.quantize(graph, samples(), plan=Plan("lq:2", "lq:2", restarts=1))
    assert [layer.name for layer in report.layers] == [layer.name for layer in layers]


def test_layers_of_codes_say_so() -> None:
    digits: Graph = trained("digits")
    low, _ = lowbit.quantize(
        digits, np.zeros((4, 1, 8, 8), np.float32) + 0.5, plan=Plan("lq:2", "lq:2", restarts=1)
    )
    assert all("lq, 2 bits" in layer.why for layer in compatibility(low, {}).layers)
