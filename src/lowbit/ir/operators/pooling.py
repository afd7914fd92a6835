"""Pooling: the largest or the mean of each window, or of the whole map.

MaxPool lets codes through: of the codes in a window it takes the one with the largest level. A mean of
fixed-point codes is one of fixed point: the exact mean, rounded once as the output's format says
(`lowbit.ir.operators.fixed_point`). Padding never wins a maximum, and counts in a mean only with
``count_include_pad``, as zeros. A window that sees padding alone has no meaning and is refused.
"""

from functools import reduce
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.ir.graph import Array, Shape
from lowbit.ir.operators.fixed_point import fixed_point_of, fixed_point_output, integers_of, mean_codes
from lowbit.ir.operators.registry import (
    Call,
    Parts,
    TensorType,
    code_dtype,
    passed,
    register,
    require_float,
)
from lowbit.ir.operators.traits import Trait
from lowbit.ir.operators.windows import WINDOW, map_lengths, open_channels, taps, windows_of
from lowbit.ir.window import Axis
from lowbit.schemes import Encoding
from lowbit.schemes.encoding import Codes

Numbers = npt.NDArray[Any]


def _infer_max_pool(call: Call) -> list[TensorType]:
    return passed(call, (*call.input(0).shape[:2], *_checked_lengths(call)))


def _max_pool(call: Call, array: Array) -> list[Array]:
    values = _ordered(call, array)
    pooled = reduce(np.maximum, taps(values, _axes(call), _lowest(values)))
    return [_restored(call, pooled)]


def _infer_average_pool(call: Call) -> list[TensorType]:
    return _mean_type(call, (*call.input(0).shape[:2], *_checked_lengths(call)))


def _average_pool(call: Call, array: Array) -> list[Array]:
    axes, padding = _axes(call), call.integer("count_include_pad")
    numbers = _numbers(call, array)
    total = reduce(np.add, taps(numbers, axes, 0))
    count = reduce(np.add, taps(np.ones((1, 1, *array.shape[2:]), numbers.dtype), axes, padding))
    return [_mean(call, total, count)]


def _infer_global_max(call: Call) -> list[TensorType]:
    return passed(call, (*call.input(0).shape[:2], *(1 for _ in map_lengths(call))))


def _global_max(call: Call, array: Array) -> list[Array]:
    axes = tuple(range(2, array.ndim))
    return [_restored(call, _ordered(call, array).max(axis=axes, keepdims=True))]


def _infer_global_average(call: Call) -> list[TensorType]:
    return _mean_type(call, (*call.input(0).shape[:2], *(1 for _ in map_lengths(call))))


def _global_average(call: Call, array: Array) -> list[Array]:
    axes, numbers = tuple(range(2, array.ndim)), _numbers(call, array)
    if call.input(0).encoding is None:
        return [numbers.mean(axis=axes, keepdims=True).astype(np.float32)]
    count = np.array(prod(array.shape[2:]), numbers.dtype)
    return [_mean(call, numbers.sum(axis=axes, keepdims=True), count)]


def _mean_type(call: Call, shape: Shape) -> list[TensorType]:
    """Return the type of means: floats of floats, fixed-point codes of such codes."""
    if call.input(0).encoding is None:
        require_float(call, 0)
        return [TensorType("float32", shape)]
    fixed_point_of(call, call.input(0))
    return [TensorType(code_dtype(fixed_point_output(call, "the mean of codes")), shape)]


def _numbers(call: Call, array: Array) -> Numbers:
    """Return what is summed: float64, or the whole numbers of fixed-point codes."""
    if call.input(0).encoding is None:
        return array.astype(np.float64)
    return integers_of(fixed_point_of(call, call.input(0)), array)


def _mean(call: Call, total: Numbers, count: Numbers) -> Array:
    if call.input(0).encoding is None:
        return np.asarray(total / count, np.float32)
    source, target = fixed_point_of(call, call.input(0)), fixed_point_of(call, call.output())
    return mean_codes(total, count, source.fraction_bits, target)


def _checked_lengths(call: Call) -> tuple[int, ...]:
    axes = _axes(call)
    sees = all(_all_windows_see(axis) for axis in axes)
    call.require(
        sees, "a window sees padding alone", "pads smaller than the kernel", f"pads {call.integers('pads')}"
    )
    return tuple(axis.outputs for axis in axes)


def _all_windows_see(axis: Axis) -> bool:
    """Return whether every window along an axis has a tap inside the map."""
    if (axis.outputs - 1) * axis.stride - axis.before >= axis.extent:
        return False
    # A window that starts inside sees its first tap; one that starts before, the first tap from 0 on.
    for start in range(-axis.before, 0, axis.stride)[: axis.outputs]:
        tap = -(start // axis.dilation)
        if tap >= axis.kernel or start + tap * axis.dilation >= axis.extent:
            return False
    return True


def _axes(call: Call) -> tuple[Axis, ...]:
    return windows_of(call, call.integers("kernel_shape"))


def _ordered(call: Call, array: Array) -> Numbers:
    """Return numbers in the order of what the elements mean: codes become ranks."""
    encoding = call.input(0).encoding
    if encoding is None:
        return array
    ranks = np.empty(1 << encoding.bits, np.int32)
    ranks[_codes_in_order(call, encoding)] = np.arange(len(ranks))
    return ranks[np.asarray(array, np.intp)]


def _restored(call: Call, ordered: Numbers) -> Array:
    encoding = call.input(0).encoding
    return ordered if encoding is None else np.asarray(_codes_in_order(call, encoding)[ordered])


def _codes_in_order(call: Call, encoding: Encoding) -> Codes:
    call.require(encoding.channels == 1, "codes per channel", "one set of parameters", encoding.channels)
    return np.asarray(encoding.code_of_rank()[0])


def _lowest(values: Numbers) -> float:
    return -np.inf if values.dtype.kind == "f" else int(np.iinfo(values.dtype).min)


def _pool_parts(call: Call, add: Parts) -> str:
    """A window of three axes or more is one over the last two, then one over the axes before them.

    The largest of what are the largest, and the mean of means that count alike.
    """
    axes, lengths = _axes(call), call.input(0).shape
    rank, channels = len(axes), int(lengths[1])
    before = prod(axis.extent for axis in axes[:-2])
    shape = add.constant([0, channels * before, *(axis.extent for axis in axes[-2:])], "int64")
    made = _pooled(call, add, add.node("Reshape", call.node.inputs[0], shape), range(rank - 2, rank))
    pixels = prod(axis.outputs for axis in axes[-2:])
    shape = add.constant([0, channels, *(axis.extent for axis in axes[:-2]), pixels], "int64")
    made = _pooled(call, add, add.node("Reshape", made, shape), range(rank - 2))
    return add.node("Reshape", made, add.constant([0, channels, *(axis.outputs for axis in axes)], "int64"))


def _whole(call: Call) -> str:
    return open_channels(call) or ("" if len(call.input(0).shape) > _MAP else "a window of two axes")


def _pooled(call: Call, add: Parts, source: str, chosen: range) -> str:
    """Add the pool over some of the axes; where they are the first ones, one axis more lies behind."""
    axes = [_axes(call)[n] for n in chosen] + [Axis(1, 1)] * (chosen.start == 0)
    window: Any = {
        "kernel_shape": tuple(axis.kernel for axis in axes),
        "strides": tuple(axis.stride for axis in axes),
        "pads": (*(axis.before for axis in axes), *(axis.after for axis in axes)),
        "dilations": tuple(axis.dilation for axis in axes),
    }
    others: Any = {name: value for name, value in call.node.attributes.items() if name not in WINDOW}
    return add.node(call.node.op, source, **window, **others)


_MAP = 4  # axes

_MEAN = Trait.POOL | Trait.HOMOGENEOUS
_LARGEST = _MEAN | Trait.COMPARES

register(
    "MaxPool",
    "X",
    infer=_infer_max_pool,
    evaluate=_max_pool,
    parts=_pool_parts,
    whole=_whole,
    traits=_LARGEST | Trait.WINDOW,
    **WINDOW,
)
register(
    "AveragePool",
    "X",
    infer=_infer_average_pool,
    evaluate=_average_pool,
    parts=_pool_parts,
    whole=_whole,
    traits=_MEAN | Trait.WINDOW,
    count_include_pad=0,
    **WINDOW,
)
register("GlobalMaxPool", "X", infer=_infer_global_max, evaluate=_global_max, traits=_LARGEST)
register("GlobalAveragePool", "X", infer=_infer_global_average, evaluate=_global_average, traits=_MEAN)
