"""Sums and functions of fixed-point codes: added at full width, rounded once, saturated; functions by table.

With Q formats of n_x and n_y bits behind the point, and q the two's complement integers of codes:

    q_y = saturate(floor(acc 2^-s + 1/2)),   s = n_x - n_y    rounding `nearest` of the output
    q_y = saturate(floor(acc 2^-s))                           rounding `floor`

A function between layers is a look-up in a constant table, a code of the output for every code of the input.
"""

import numpy as np
import numpy.typing as npt

from lowbit.ir.graph import Array, Value
from lowbit.ir.operators.registry import Call, TensorType, broadcast, code_dtype, register
from lowbit.ir.operators.traits import Trait
from lowbit.schemes import FixedPoint


def integers_of(encoding: FixedPoint, codes: Array) -> npt.NDArray[np.int64]:
    """Return the two's complement integers of codes."""
    return codes.astype(np.int64) + encoding.least


def shifted(sums: npt.NDArray[np.int64], fraction_bits: int, target: FixedPoint) -> Array:
    """Return codes of sums with so many bits behind the point: one rounding, then saturation."""
    shift = fraction_bits - target.fraction_bits
    if shift > 0:
        half = 1 << (shift - 1) if target.rounds_to_nearest else 0
        sums = (sums + half) >> shift
    else:
        sums = sums << -shift
    saturated = np.clip(sums, target.least, -target.least - 1) - target.least
    return np.asarray(saturated, target.code_of_rank().dtype)


def _fixed(call: Call, value: Value) -> FixedPoint:
    encoding = None if value.encoding is None else value.encoding.as_fixed_point()
    call.require(encoding is not None, f"encoding of {value.name}", "fixed point", value.encoding)
    assert encoding is not None
    return encoding


def _output(call: Call) -> FixedPoint | None:
    value = call.graph.values.get(call.node.outputs[0])
    return None if value is None or value.encoding is None else _fixed(call, value)


def _infer_add(call: Call) -> list[TensorType]:
    left, right = call.input(0), call.input(1)
    call.require(_output(call) is not None, "the sum", "codes", "floats")
    x, y = _fixed(call, left), _fixed(call, right)
    call.require(x.fraction_bits == y.fraction_bits, "bits behind the point", str(x), y)
    target = _output(call)
    assert target is not None
    return [TensorType(code_dtype(target), broadcast(call, left.shape, right.shape))]


def _add(call: Call, left: Array, right: Array) -> list[Array]:
    x, y, target = _fixed(call, call.input(0)), _fixed(call, call.input(1)), _output(call)
    assert target is not None
    return [shifted(integers_of(x, left) + integers_of(y, right), x.fraction_bits, target)]


def _infer_lookup(call: Call) -> list[TensorType]:
    source, table, target = call.input(0), call.input(1), _output(call)
    encoding = _fixed(call, source)
    call.require(target is not None, "the output", "codes", "floats")
    call.require(table.encoding == target, "the table", f"codes of {target}", table.encoding)
    fits = table.data is not None and table.shape == (1 << encoding.bits,)
    call.require(fits, "the table", f"a constant of {1 << encoding.bits} codes", table.shape)
    return [TensorType(table.dtype, source.shape)]


def _lookup(call: Call, codes: Array, table: Array) -> list[Array]:
    return [table[codes.astype(np.intp)]]


register(
    "FixedAdd",
    "left right",
    domain="lowbit",
    infer=_infer_add,
    evaluate=_add,
    traits=Trait.BROADCASTS,
)
register(
    "FixedLookup",
    "input table",
    domain="lowbit",
    infer=_infer_lookup,
    evaluate=_lookup,
    traits=Trait.ELEMENTWISE,
)
