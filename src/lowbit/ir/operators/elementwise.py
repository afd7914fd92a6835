"""Elementwise operators: arithmetic with broadcasting, activations, and softmax along an axis.

An activation also maps codes to codes: level, function in float64, code again. That is a table of
``2**bits`` entries for every backend.
"""

from collections.abc import Callable

import numpy as np

from lowbit.ir.activations import apply_activation
from lowbit.ir.graph import Array
from lowbit.ir.operators.registry import Call, TensorType, as_float64, broadcast, register

Binary = Callable[[Array, Array], Array]


def _infer_binary(call: Call) -> list[TensorType]:
    left, right = call.input(0), call.input(1)
    call.require(left.dtype == right.dtype, "operand types differ", left.dtype, right.dtype)
    call.require(left.encoding is None, "codes cannot be added", "float32", left.dtype)
    return [TensorType(left.dtype, broadcast(call, left.shape, right.shape))]


def _register_binary(name: str, function: Binary) -> None:
    def evaluate(call: Call, left: Array, right: Array) -> list[Array]:
        return [np.asarray(function(left, right), left.dtype)]

    register(name, "A B", infer=_infer_binary, evaluate=evaluate)


def _infer_unary(call: Call) -> list[TensorType]:
    value, output = call.input(0), call.graph.values.get(call.node.outputs[0])
    if value.encoding is not None:
        call.require(
            output is not None and output.encoding is not None,
            "codes in need codes out",
            "an encoding",
            "none",
        )
    return [TensorType(value.dtype, value.shape)]


def _register_activation(name: str, activation: str) -> None:
    def evaluate(call: Call, array: Array) -> list[Array]:
        result = apply_activation(activation, as_float64(call, 0, array))
        encoding = call.output().encoding
        return [result.astype(np.float32) if encoding is None else encoding.encode(result)]

    register(name, "X", infer=_infer_unary, evaluate=evaluate)


def _infer_same(call: Call) -> list[TensorType]:
    return [TensorType(call.input(0).dtype, call.input(0).shape)]


def _softmax(call: Call, array: Array) -> list[Array]:
    """``exp(x - max) / sum(exp(x - max))`` along ``axis``, in float64."""
    return [np.exp(_log_softmax64(call, array)).astype(np.float32)]


def _log_softmax(call: Call, array: Array) -> list[Array]:
    return [_log_softmax64(call, array).astype(np.float32)]


def _log_softmax64(call: Call, array: Array) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    values, axis = np.asarray(array, np.float64), call.integer("axis")
    shifted = values - values.max(axis=axis, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True)))


def _infer_axis(call: Call) -> list[TensorType]:
    rank, axis = len(call.input(0).shape), call.integer("axis")
    call.require(-rank <= axis < rank, "axis out of range", f"{-rank} to {rank - 1}", axis)
    call.require(call.input(0).dtype == "float32", "input type", "float32", call.input(0).dtype)
    return _infer_same(call)


def _infer_clip(call: Call) -> list[TensorType]:
    value = call.input(0)
    call.require(value.dtype == "float32", "input type", "float32", value.dtype)
    for bound in filter(None, (call.optional(1), call.optional(2))):
        call.require(
            (bound.dtype, bound.shape) == ("float32", ()),
            "bound",
            "one float32",
            f"{bound.dtype} {bound.shape}",
        )
    return [TensorType("float32", value.shape)]


def _clip(call: Call, array: Array, least: Array | None = None, most: Array | None = None) -> list[Array]:
    raised = array if least is None else np.maximum(array, least)
    return [raised if most is None else np.minimum(raised, most)]


_register_binary("Add", np.add)
_register_binary("Sub", np.subtract)
_register_binary("Mul", np.multiply)
_register_binary("Div", np.divide)
_register_activation("Relu", "relu")
_register_activation("Tanh", "tanh")
_register_activation("Sigmoid", "sigmoid")
register("Identity", "input", infer=_infer_same, evaluate=lambda call, array: [array])
register("Softmax", "input", infer=_infer_axis, evaluate=_softmax, axis=-1)
register("LogSoftmax", "input", infer=_infer_axis, evaluate=_log_softmax, axis=-1)
register("Clip", "input min? max?", infer=_infer_clip, evaluate=_clip)
