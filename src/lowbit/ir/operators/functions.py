"""More functions of numbers: of one, computed in float64 and rounded once; of two, in the type of both."""

from math import erf

import numpy as np

from lowbit.ir.graph import Array
from lowbit.ir.operators.elementwise import Floats, infer_binary, register_function, register_pairwise
from lowbit.ir.operators.registry import Call, TensorType, broadcast, register
from lowbit.ir.operators.traits import Trait


def _power(_: Call, base: Array, exponent: Array) -> list[Array]:
    """The first operand's type; floats in float64."""
    exact = np.power(base.astype(np.float64), exponent.astype(np.float64))
    return [exact.astype(base.dtype)]


def _infer_power(call: Call) -> list[TensorType]:
    base, exponent, numbers = call.input(0), call.input(1), ("float32", "int64", "int32")
    types = (base.dtype, exponent.dtype)
    call.require(set(types) <= set(numbers), "operand types", ", ".join(numbers), types)
    return [TensorType(base.dtype, broadcast(call, base.shape, exponent.shape))]


def _modulo(call: Call, left: Array, right: Array) -> list[Array]:
    """What a division leaves: of the sign of the divisor, with ``fmod`` of that of the dividend."""
    function = np.fmod if call.integer("fmod") else np.mod
    return [np.asarray(function(left, right), left.dtype)]


def _error(_: Call, x: Floats) -> Floats:
    """The error function of every element, by the C library; 60 million a minute suffice here."""
    return np.fromiter(map(erf, x.reshape(-1).tolist()), np.float64, x.size).reshape(x.shape)


register_pairwise("Max", np.maximum)
register_pairwise("Min", np.minimum)
register("Pow", "X Y", infer=_infer_power, evaluate=_power, traits=Trait.BROADCASTS)
register("Mod", "A B", infer=infer_binary, evaluate=_modulo, traits=Trait.BROADCASTS, fmod=0)

register_function("Sqrt", lambda _, x: np.sqrt(x))
register_function("Reciprocal", lambda _, x: 1 / x, body="1 / X")
register_function("Erf", _error, Trait.MONOTONE)
register_function("Floor", lambda _, x: np.floor(x), Trait.MONOTONE)
register_function("Ceil", lambda _, x: np.ceil(x), Trait.MONOTONE)
register_function("Round", lambda _, x: np.rint(x), Trait.MONOTONE)  # half to even
register_function("Sin", lambda _, x: np.sin(x))
register_function("Cos", lambda _, x: np.cos(x))
register_function("Tan", lambda _, x: np.tan(x))
register_function("Asin", lambda _, x: np.arcsin(x))
register_function("Acos", lambda _, x: np.arccos(x))
register_function("Atan", lambda _, x: np.arctan(x), Trait.MONOTONE)
register_function("Sinh", lambda _, x: np.sinh(x), Trait.MONOTONE)
register_function("Cosh", lambda _, x: np.cosh(x))
register_function("Asinh", lambda _, x: np.arcsinh(x), Trait.MONOTONE)
register_function("Acosh", lambda _, x: np.arccosh(x))
register_function("Atanh", lambda _, x: np.arctanh(x))
