"""Where elements meet: along every other axis an operator treats a part as it treats the whole."""

from typing import Any

import numpy as np
import pytest

from lowbit.ir import OPERATORS, Graph, Node, Value, evaluate, infer
from lowbit.ir.infer import call_of
from lowbit.ir.operators.meetings import _RULES, meet

Array = np.ndarray[Any, np.dtype[Any]]
SHAPE = (2, 3, 4, 6)
RANDOM = np.random.default_rng(0)


def integers(*row: int) -> Array:
    return np.array(row, np.int64)


def floats(*shape: int) -> Array:
    return RANDOM.normal(size=shape).astype(np.float32)


# The constants behind the input, and attributes.
CASES: dict[str, list[tuple[list[Array], dict[str, Any]]]] = {
    "AveragePool": [([], {"kernel_shape": (2, 3)})],
    "BatchNormalization": [([abs(floats(3)) for _ in range(4)], {})],
    "Clip": [([], {})],
    "Concat": [([], {"axis": axis}) for axis in (0, 2)],
    "Conv": [([floats(5, 3, 2, 3)], {})],
    "ConvTranspose": [([floats(3, 5, 2, 3)], {"strides": (2, 1)})],
    "CumSum": [([np.asarray(axis)], {}) for axis in (1, -1)],
    "Flatten": [([], {"axis": axis}) for axis in (1, 2)],
    "Gather": [([integers(1, 0, 1)], {"axis": axis}) for axis in (1, 3)],
    "InstanceNormalization": [([floats(3), floats(3)], {})],
    "LRN": [([], {"size": 3})],
    "LayerNormalization": [([floats(6)], {}), ([floats(4, 6)], {"axis": 2})],
    "LogSoftmax": [([], {"axis": axis}) for axis in (0, 2)],
    "MatMul": [([floats(6, 5)], {})],
    "MaxPool": [([], {"kernel_shape": (2, 3)})],
    "Pad": [([integers(0, 1, 0, 0, 0, 0, 0, 2)], {})],
    "PRelu": [([floats(1)], {})],
    "ReduceMax": [([integers(1, -1)], {"keepdims": keep}) for keep in (0, 1)],
    "ReduceMean": [([integers(2)], {})],
    "Reshape": [([integers(0, -1)], {}), ([integers(0, 0, 24)], {})],
    "Resize": [([np.float32([1, 1, 2, 1.5])], {"mode": "linear"})],
    "Slice": [([integers(1), integers(3), integers(2)], {})],
    "Softmax": [([], {"axis": axis}) for axis in (1, 3)],
    "Tile": [([integers(1, 1, 2, 1)], {})],
    "TopK": [([integers(2)], {"axis": 2})],
    "Transpose": [([], {"perm": (2, 0, 3, 1)})],
    "Unsqueeze": [([integers(1)], {})],
}


def network(name: str, constants: list[Array], attributes: dict[str, Any], x: Array) -> Graph:
    graph = Graph("g", ("x",), ("y",), values={"x": Value("x", x.dtype.name, x.shape)})
    gap = ["", ""] if name == "Resize" else []
    named = [graph.add_constant(f"c{k}", data, data.dtype.name) for k, data in enumerate(constants)]
    inputs = ("x", *gap[1:], *named) if not gap else ("x", "", *named)
    if name == "Concat":
        inputs = ("x", "x")
    if name == "BatchNormalization":
        inputs = ("x", *named)
    graph.nodes = [Node(name, inputs, ("y",), attributes, "node")]
    infer(graph)
    return graph


@pytest.mark.parametrize(
    ("name", "constants", "attributes"),
    [(name, *case) for name, cases in CASES.items() for case in cases],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_a_part_alone_gives_the_part_of_the_whole(
    name: str, constants: list[Array], attributes: dict[str, Any]
) -> None:
    x = floats(*SHAPE)
    whole = network(name, constants, attributes, x)
    wanted = evaluate(whole, {"x": x})["y"]
    apart = 0
    for axis, length in enumerate(SHAPE):
        if meet(call_of(whole, whole.nodes[0]), 0, axis):
            continue
        apart += 1
        parts = [x.take([at], axis) for at in range(length)]
        rows = [evaluate(network(name, constants, attributes, part), {"x": part})["y"] for part in parts]
        joined = [np.concatenate(rows, k) for k in range(rows[0].ndim)]
        same = [np.allclose(each, wanted, atol=1e-6) for each in joined if each.shape == wanted.shape]
        assert any(same), f"elements meet along axis {axis}"
    assert apart, "elements meet everywhere: not worth a rule"


def test_every_rule_is_of_an_operator() -> None:
    assert {("", name) for name in _RULES} <= OPERATORS.keys()
