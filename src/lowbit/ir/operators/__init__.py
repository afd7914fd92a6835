"""Operators, each declared once; importing this package fills the registry."""

from lowbit.ir.operators import elementwise, linear, lowbit, shape
from lowbit.ir.operators.registry import OPERATORS, Call, Operator, TensorType, operator_of, register

__all__ = [
    "OPERATORS",
    "Call",
    "Operator",
    "TensorType",
    "elementwise",
    "linear",
    "lowbit",
    "operator_of",
    "register",
    "shape",
]
