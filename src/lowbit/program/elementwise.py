"""Arithmetic, comparisons, clips, casts; functions made of them arrive as what they are made of."""

from math import inf, nan
from typing import TYPE_CHECKING

import numpy as np

from lowbit.ir import Node
from lowbit.program.steps import Activate, Clip, Combine, CombineConstant, Operation

if TYPE_CHECKING:
    from lowbit.program.planner import Planner


def lower_arithmetic(planner: "Planner", node: Node) -> None:
    """Add the steps of what is made of two operands, repeated as broadcasting does."""
    computed = [planner.computed(name) for name in node.inputs]
    left, right = node.inputs
    operation = _operation(planner, node)
    if all(computed):
        if operation in _EITHER_WAY and planner.shape(left) != planner.shape(node.outputs[0]):
            left, right = right, left
        planner.add_combined(node, left, right, operation)
    elif computed[0]:
        _with_constant(planner, node, left, right, operation)
    elif operation in _EITHER_WAY or operation in _FROM_CONSTANT:
        _with_constant(planner, node, right, left, _FROM_CONSTANT.get(operation, operation))
    else:
        planner.put(node, Combine(operation), (planner.spread(node, left), planner.spread(node, right)))


def _operation(planner: "Planner", node: Node) -> Operation:
    """Return what a node does with its operands: integers are divided without a fraction."""
    operation = ARITHMETIC[node.op]
    if operation == "divide" and planner.graph.value(node.inputs[0]).dtype != "float32":
        return "quotient"
    return "remainder" if operation == "modulo" and node.attributes.get("fmod", 0) else operation


def _with_constant(planner: "Planner", node: Node, source: str, constant: str, operation: Operation) -> None:
    """Combine a value with a constant behind it."""
    planner.add_spread(node, source)
    row = planner.row(node, node.outputs[0], planner.graph.constant(constant))
    planner.append(node, CombineConstant(row, operation))


def lower_clip(planner: "Planner", node: Node) -> None:
    """Add the step of a clip between constants, or those between computed bounds."""
    bounds = [*node.inputs[1:], "", ""][:2]
    if any(planner.computed(name) for name in bounds):
        number = planner.flat(node.inputs[0])
        for name, operation in zip(bounds, _BOUNDS, strict=True):
            if name:
                number = planner.inner(Combine(operation), (number, planner.spread(node, name)))
        planner.put(node, Activate("identity"), (number,))
        return
    low, high = (
        float(planner.graph.constant(name)) if name else default
        for name, default in zip(bounds, (-inf, inf), strict=True)
    )
    planner.add_elementwise(node, Clip(min(low, high), high))  # the upper one is applied last


def lower_sum(planner: "Planner", node: Node) -> None:
    """Add the steps of a sum of any number of values, one after another."""
    first, *others = (planner.spread(node, name) for name in node.inputs)
    if not others:
        planner.put(node, Activate("identity"), (first,))
        return
    for other in others[:-1]:
        first = planner.inner(Combine("add"), (first, other))
    planner.put(node, Combine("add"), (first, others[-1]))


def lower_infinite(planner: "Planner", node: Node) -> None:
    """Add the steps of a comparison with infinity, of one sign or of both."""
    below, above = (node.attributes.get(name, 1) for name in ("detect_negative", "detect_positive"))
    number = planner.flat(node.inputs[0])
    if below and above:
        number = planner.inner(Activate("absolute"), (number,))
    bound = inf if above else -inf if below else nan
    planner.put(node, CombineConstant(np.array([bound], np.float32), "equal"), (number,))


def lower_cast(planner: "Planner", node: Node) -> None:
    """Add the step of a cast: of floats to integers towards zero, of any number to whether it is not zero."""
    before, after = (planner.graph.value(name).dtype for name in (node.inputs[0], node.outputs[0]))
    if after == "bool" and before != "bool":
        planner.add_elementwise(node, Activate("is_true"))
    elif before == "float32" and after != "float32":
        planner.add_elementwise(node, Activate("truncate"))
    else:
        planner.alias(node)


ARITHMETIC: dict[str, Operation] = {
    "Add": "add",
    "Sub": "subtract",
    "Mul": "multiply",
    "Div": "divide",
    "Min": "minimum",
    "Max": "maximum",
    "Pow": "power",
    "Mod": "modulo",
    "Less": "less",
    "LessOrEqual": "less_or_equal",
    "Greater": "greater",
    "GreaterOrEqual": "greater_or_equal",
    "Equal": "equal",
    "And": "both",
    "Or": "either",
    "Xor": "one_alone",
}

_BOUNDS: tuple[Operation, Operation] = ("maximum", "minimum")

# What is the same with its operands in each other's place.
_EITHER_WAY: frozenset[Operation] = frozenset(
    ("add", "multiply", "minimum", "maximum", "equal", "both", "either", "one_alone")
)

# What a constant before a value is with the constant behind it: c - x, c / x, c < x.
_FROM_CONSTANT: dict[Operation, Operation] = {
    "subtract": "subtract_from",
    "divide": "divide_into",
    "less": "greater",
    "less_or_equal": "greater_or_equal",
    "greater": "less",
    "greater_or_equal": "less_or_equal",
}
