"""Operators as functions of torch give what the reference gives."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lowbit.ir import Graph, Node, Value, evaluate, infer  # noqa: E402
from lowbit.ir.graph import Attribute  # noqa: E402
from lowbit.reconstruction.blocks import Block  # noqa: E402
from lowbit.reconstruction.functions import FUNCTIONS  # noqa: E402
from lowbit.reconstruction.piece import float_piece, missing  # noqa: E402

Case = tuple[Sequence[Any], Mapping[str, Attribute]]
"""What follows the input: shapes of random constants, arrays, or "" where one is absent; and attributes."""

MAP, ROWS = (3, 4, 7, 6), (3, 5)
_UNARY: Case = ([], {})
_AXES = np.array([1, 2])
_CASES: dict[str, list[Case]] = {
    "Pow": [([np.float32(3)], {})],
    "Sum": [([MAP, (4, 1, 1)], {})],
    "LeakyRelu": [([], {"alpha": 0.2})],
    "Elu": [([], {"alpha": 0.7})],
    "PRelu": [([(4, 1, 1)], {})],
    "Clip": [([np.float32(-0.5), np.float32(0.7)], {}), (["", np.float32(0.3)], {}), _UNARY],
    "Softmax": [([], {"axis": 1}), _UNARY],
    "LogSoftmax": [([], {"axis": -2})],
    "BatchNormalization": [([(4,), (4,), (4,), np.full(4, 0.5, np.float32)], {"epsilon": 1e-3})],
    "Conv": [
        ([(6, 2, 3, 3), (6,)], {"group": 2, "pads": (1, 0, 2, 1), "strides": (2, 1)}),
        ([(5, 4, 2, 3)], {"dilations": (2, 1), "pads": (1, 1, 1, 1)}),
    ],
    "Gemm": [([(2, 5), (2,)], {"transB": 1, "alpha": 0.5, "beta": 2.0}), ([(5, 2)], {})],
    "MatMul": [([(6, 3)], {}), ([(4, 6, 2)], {})],
    "MaxPool": [([], {"kernel_shape": (3, 2), "pads": (1, 0, 1, 1), "strides": (2, 1), "dilations": (2, 1)})],
    "AveragePool": [
        ([], {"kernel_shape": (3, 2), "pads": (1, 0, 1, 1), "count_include_pad": counted})
        for counted in (0, 1)
    ],
    "ReduceMean": [([_AXES], {}), ([_AXES], {"keepdims": 0}), _UNARY, ([], {"noop_with_empty_axes": 1})],
    "Flatten": [([], {"axis": axis}) for axis in (1, 2, -1)],
    "Reshape": [([np.array([0, -1, 6])], {}), ([np.array([-1, 14])], {})],
    "Transpose": [([], {"perm": (0, 2, 3, 1)}), _UNARY],
    "Concat": [([MAP], {"axis": 1}), ([MAP, MAP], {"axis": -1})],
    "Squeeze": [([np.array([1])], {})],
    "Unsqueeze": [([np.array([1, -1])], {})],
    "Slice": [([np.array([-3, 5]), np.array([9, -7]), np.array([2, 3]), np.array([2, -1])], {})],
    "Gather": [([np.array([[0, -1], [2, 1]])], {"axis": 2})],
    "Expand": [([np.array([2, 3, 4, 7, 6])], {})],
}
_PAIRS = ("Add", "Sub", "Mul", "Div", "Max", "Min")
_CASES |= {op: [([(4, 1, 6)], {}), ([MAP], {})] for op in _PAIRS}
_CASES |= dict.fromkeys(("ReduceSum", "ReduceMax", "ReduceMin"), _CASES["ReduceMean"])
_READ = {"Gemm": ROWS, "Squeeze": (3, 1, 4)}
_POSITIVE = ("Log", "Sqrt", "Pow", "Div")


def network(op: str, case: Case, random: np.random.Generator) -> Graph:
    """Return a network of one operator."""
    graph = Graph("net", ("x",), ("y",), values={"x": Value("x", "float32", _READ.get(op, MAP))})
    inputs = ["x"]
    for number, given in enumerate(case[0]):
        array = random.uniform(0.5, 2, given).astype(np.float32) if isinstance(given, tuple) else given
        if isinstance(array, str):
            inputs.append("")
        else:
            name, kind = f"c{number}", np.asarray(array).dtype.name
            inputs.append(graph.add_constant(name, array, kind))
    graph.nodes = [Node(op, tuple(inputs), ("y",), dict(case[1]), "node")]
    infer(graph)
    return graph


@pytest.mark.parametrize("op", FUNCTIONS)
def test_every_function(op: str) -> None:
    """Over attributes and absent inputs, with a gradient that is there."""
    random = np.random.default_rng(0)
    for case in _CASES.get(op, [_UNARY]):
        graph = network(op, case, random)
        x = random.normal(size=graph.value("x").shape).astype(np.float32)
        x = np.abs(x) + 0.1 if op in _POSITIVE else x
        assert not missing(graph)
        given = torch.from_numpy(x.copy()).requires_grad_()
        (found,) = float_piece(graph, Block(("x",), ("y",), ()))({"x": given})
        np.testing.assert_allclose(found.detach().numpy(), evaluate(graph, {"x": x})["y"], 1e-4, 1e-5)
        found.square().sum().backward()
        assert given.grad is not None and bool(given.grad.isfinite().all())
