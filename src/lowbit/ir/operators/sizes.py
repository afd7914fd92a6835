"""Operators that turn shapes into numbers and numbers into values of a shape."""

from math import ceil, nan

import numpy as np

from lowbit.ir.graph import Array
from lowbit.ir.lengths import Length, dimension_of
from lowbit.ir.operators.contents import NO_END, number, shape_of
from lowbit.ir.operators.registry import Call, TensorType, register
from lowbit.ir.operators.windows import LARGEST


def _infer_shape(call: Call) -> list[TensorType]:
    return [TensorType("int64", (len(shape_of(call)),))]


def _shape(call: Call, array: Array) -> list[Array]:
    """The lengths of the axes from ``start`` to before ``end``."""
    return [np.array(array.shape[slice(call.integer("start"), call.integer("end"))], np.int64)]


def _infer_range(call: Call) -> list[TensorType]:
    value = call.input(0)
    types = {call.input(index).dtype for index in range(3)}
    call.require(len(types) == 1, "operand types", "one type", types)
    if value.dtype == "float32":
        ends = [float(call.graph.constant(name).reshape(-1)[0]) for name in call.node.inputs]
        return [TensorType(value.dtype, (_count(call, ceil((ends[1] - ends[0]) / (ends[2] or nan))),))]
    start, limit, delta = (number(call, index) for index in range(3))
    if not isinstance(delta, int) or delta == 0:
        call.fail("delta", "a number that is not 0", delta)
    span, step = limit - start, delta
    if isinstance(span, Length):
        call.require(step == 1, "delta along an open length", "1", step)
        return [TensorType(value.dtype, (dimension_of(span),))]
    return [TensorType(value.dtype, (_count(call, -(-span // step)),))]


def _count(call: Call, count: int) -> int:
    call.require(count <= LARGEST**2, "elements", f"at most {LARGEST**2}", count)
    return max(count, 0)


def _range(_: Call, start: Array, limit: Array, delta: Array) -> list[Array]:
    """Integers from ``start`` to before ``limit``."""
    first, last, step = (np.asarray(end).reshape(-1)[0] for end in (start, limit, delta))
    return [np.arange(first, last, step).astype(start.dtype)]


register("Shape", "data", infer=_infer_shape, evaluate=_shape, start=0, end=NO_END)
register("Range", "start limit delta", infer=_infer_range, evaluate=_range)
