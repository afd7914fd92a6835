"""Operators, each declared once; importing this package fills the registry."""

from lowbit.ir.operators import (
    codes,
    composites,
    convolution,
    elementwise,
    fixed_point,
    layers,
    linear,
    normalization,
    pooling,
    shape,
)
from lowbit.ir.operators.registry import (
    OPERATORS,
    Call,
    Operator,
    TensorType,
    carried,
    has,
    operator_of,
    operators_with,
    register,
)
from lowbit.ir.operators.traits import Trait

__all__ = [
    "OPERATORS",
    "Call",
    "Operator",
    "TensorType",
    "Trait",
    "carried",
    "codes",
    "composites",
    "convolution",
    "elementwise",
    "fixed_point",
    "has",
    "layers",
    "linear",
    "normalization",
    "operator_of",
    "operators_with",
    "pooling",
    "register",
    "shape",
]
