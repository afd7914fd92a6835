"""Arithmetic and functions of floats, some made of smaller steps.

LeakyRelu, PRelu, Elu    g(min(x, 0)) + max(x, 0)
HardSigmoid              clip(alpha x + beta, 0, 1)
HardSwish                x clip(x / 6 + 1/2, 0, 1)
"""

from collections.abc import Callable, Mapping
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from lowbit.ir import Node
from lowbit.ir.infer import call_of

if TYPE_CHECKING:
    from lowbit.program.planner import Planner

Emit = Callable[[str, tuple[int, ...], Mapping[str, object]], int]
"""Adds a step: operation, numbers of what it reads, constants. Returns the number of its result."""


def lower_arithmetic(planner: "Planner", node: Node) -> None:
    """Add the steps of a sum, difference, product or quotient, operands repeated as broadcasting does."""
    computed = [planner.computed(name) for name in node.inputs]
    left, right = node.inputs
    if all(computed):
        if node.op in _EITHER_WAY and planner.shape(left) != planner.shape(node.outputs[0]):
            left, right = right, left
        planner.add_combined(node, left, right, operation=ARITHMETIC[node.op])
    elif computed[0] or (computed[1] and node.op != "Div"):
        _with_constant(planner, node, *((left, right) if computed[0] else (right, left)))
    else:
        planner.refuse(node, "a quotient of a constant and a computed value")


def _with_constant(planner: "Planner", node: Node, source: str, constant: str) -> None:
    """Combine a value with a constant; ``c - x`` is ``-x + c``, exactly."""
    operation, name = ARITHMETIC[node.op], node.outputs[0]
    planner.add_spread(node, source)
    if node.op == "Sub" and node.inputs[0] == constant:
        row = planner.row(node, name, np.float32(-1))
        planner.append(node, "combine_constant", row=row, operation="multiply")
        operation = "add"
    row = planner.row(node, name, planner.graph.constant(constant))
    planner.append(node, "combine_constant", row=row, operation=operation)


def lower_clip(planner: "Planner", node: Node) -> None:
    """Add the step of a clip between constants."""
    bounds = [*node.inputs[1:], "", ""][:2]
    low, high = (
        float(planner.graph.constant(name)) if name else default
        for name, default in zip(bounds, (-inf, inf), strict=True)
    )
    planner.add_elementwise(node, "clip", low=min(low, high), high=high)  # the upper one is applied last


def lower_function(planner: "Planner", node: Node) -> None:
    """Add the steps of one of `FUNCTIONS`."""
    build = FUNCTIONS[node.op]
    planner.compose(node, lambda source, emit: build(planner, node, source, emit))


def _leaky(planner: "Planner", node: Node, source: int, emit: Emit) -> int:
    return _pieces(source, emit, lambda low: _scaled(planner, node, low, emit, _real(planner, node, "alpha")))


def _prelu(planner: "Planner", node: Node, source: int, emit: Emit) -> int:
    if planner.computed(node.inputs[1]):
        planner.refuse(node, "a slope that is computed")
    row = planner.row(node, node.inputs[0], planner.graph.constant(node.inputs[1]))
    constants = {"row": row, "operation": "multiply"}
    return _pieces(source, emit, lambda low: emit("combine_constant", (low,), constants))


def _elu(planner: "Planner", node: Node, source: int, emit: Emit) -> int:
    def below(low: int) -> int:
        power = emit("activate", (low,), {"function": "exponential_minus_one"})
        return _scaled(planner, node, power, emit, _real(planner, node, "alpha"))

    return _pieces(source, emit, below)


def _hard_sigmoid(planner: "Planner", node: Node, source: int, emit: Emit) -> int:
    return _ramp(planner, node, source, emit, _real(planner, node, "alpha"), _real(planner, node, "beta"))


def _hard_swish(planner: "Planner", node: Node, source: int, emit: Emit) -> int:
    ramp = _ramp(planner, node, source, emit, 1 / 6, 0.5)
    return emit("combine", (source, ramp), {"operation": "multiply"})


def _ramp(planner: "Planner", node: Node, source: int, emit: Emit, rise: float, start: float) -> int:
    """Return the number of ``clip(rise x + start, 0, 1)``."""
    line = _scaled(planner, node, source, emit, rise)
    row = planner.row(node, node.inputs[0], np.float32(start))
    moved = emit("combine_constant", (line,), {"row": row, "operation": "add"})
    return emit("clip", (moved,), {"low": 0.0, "high": 1.0})


def _pieces(source: int, emit: Emit, below: Callable[[int], int]) -> int:
    """Return the number of ``below(min(x, 0)) + max(x, 0)``."""
    low = below(emit("clip", (source,), {"low": -inf, "high": 0.0}))
    high = emit("clip", (source,), {"low": 0.0, "high": inf})
    return emit("combine", (low, high), {"operation": "add"})


def _scaled(planner: "Planner", node: Node, source: int, emit: Emit, factor: float) -> int:
    row = planner.row(node, node.inputs[0], np.float32(factor))
    return emit("combine_constant", (source,), {"row": row, "operation": "multiply"})


def _real(planner: "Planner", node: Node, name: str) -> float:
    return call_of(planner.graph, node).real(name)


_EITHER_WAY = ("Add", "Mul")
ARITHMETIC = {"Add": "add", "Sub": "subtract", "Mul": "multiply", "Div": "divide"}
FUNCTIONS = {
    "LeakyRelu": _leaky,
    "PRelu": _prelu,
    "Elu": _elu,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
}
