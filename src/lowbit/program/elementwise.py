"""Arithmetic and clips of floats; functions made of them arrive as what they are made of (`expand`)."""

from math import inf
from typing import TYPE_CHECKING

from lowbit.ir import Node
from lowbit.program.steps import Clip, CombineConstant, Operation

if TYPE_CHECKING:
    from lowbit.program.planner import Planner


def lower_arithmetic(planner: "Planner", node: Node) -> None:
    """Add the steps of a sum, difference, product or quotient, operands repeated as broadcasting does."""
    computed = [planner.computed(name) for name in node.inputs]
    left, right = node.inputs
    if all(computed):
        either_way = ARITHMETIC[node.op] not in _FROM_CONSTANT
        if either_way and planner.shape(left) != planner.shape(node.outputs[0]):
            left, right = right, left
        planner.add_combined(node, left, right, ARITHMETIC[node.op])
    else:
        _with_constant(planner, node, *((left, right) if computed[0] else (right, left)))


def _with_constant(planner: "Planner", node: Node, source: str, constant: str) -> None:
    """Combine a value with a constant."""
    operation, name = ARITHMETIC[node.op], node.outputs[0]
    if node.inputs[0] == constant:
        operation = _FROM_CONSTANT.get(operation, operation)
    planner.add_spread(node, source)
    row = planner.row(node, name, planner.graph.constant(constant))
    planner.append(node, CombineConstant(row, operation))


def lower_clip(planner: "Planner", node: Node) -> None:
    """Add the step of a clip between constants."""
    bounds = [*node.inputs[1:], "", ""][:2]
    low, high = (
        float(planner.graph.constant(name)) if name else default
        for name, default in zip(bounds, (-inf, inf), strict=True)
    )
    planner.add_elementwise(node, Clip(min(low, high), high))  # the upper one is applied last


_FROM_CONSTANT: dict[str, Operation] = {"subtract": "subtract_from", "divide": "divide_into"}  # c - x, c / x
ARITHMETIC: dict[str, Operation] = {"Add": "add", "Sub": "subtract", "Mul": "multiply", "Div": "divide"}
