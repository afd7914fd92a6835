"""Operators, each declared once; importing this package fills the registry."""

from lowbit.ir.operators import (
    convolution,
    elementwise,
    fixed_point,
    linear,
    lowbit,
    lowbit_convolution,
    normalization,
    pooling,
    shape,
)
from lowbit.ir.operators.registry import OPERATORS, Call, Operator, TensorType, operator_of, register

__all__ = [
    "OPERATORS",
    "Call",
    "Operator",
    "TensorType",
    "convolution",
    "elementwise",
    "fixed_point",
    "linear",
    "lowbit",
    "lowbit_convolution",
    "normalization",
    "operator_of",
    "pooling",
    "register",
    "shape",
]
