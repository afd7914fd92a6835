"""Sums, means and functions of fixed-point codes: at full width, rounded once, saturated; functions by table.

With Q formats of n_x and n_y bits behind the point, and q the two's complement integers of codes, a sum
(N = 1) or the mean of N numbers is

    q_y = saturate(floor(acc 2^-s / N + 1/2)),   s = n_x - n_y    rounding `nearest` of the output
    q_y = saturate(floor(acc 2^-s / N))                           rounding `floor`

in integers, without a float. An activation of a sum that clips, such as relu, narrows what is saturated to.
A function between layers is a look-up in a constant table, a code of the output for every code of the input.
"""

import numpy as np
import numpy.typing as npt

from lowbit.ir.activations import ACTIVATIONS, saturation
from lowbit.ir.graph import Array, Value
from lowbit.ir.operators.registry import Call, TensorType, broadcast, code_dtype, register
from lowbit.ir.operators.traits import Trait
from lowbit.schemes import Encoding, FixedPoint


def integers_of(encoding: FixedPoint, codes: Array) -> npt.NDArray[np.int64]:
    """Return the two's complement integers of codes."""
    return codes.astype(np.int64) + encoding.least


def shifted(
    sums: npt.NDArray[np.int64], fraction_bits: int, target: FixedPoint, activation: str = "none"
) -> Array:
    """Return codes of sums with so many bits behind the point: one rounding, then saturation.

    Args:
        sums: exact integers.
        fraction_bits: n of the sums.
        target: the format of the output.
        activation: `none`, or one that clips (`lowbit.ir.activations`).
    """
    return mean_codes(sums, np.ones(1, np.int64), fraction_bits, target, activation)


def mean_codes(
    sums: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    fraction_bits: int,
    target: FixedPoint,
    activation: str = "none",
) -> Array:
    """Return codes of sums divided by counts, one rounding, then saturation; see `shifted`.

    Args:
        sums: exact integers.
        counts: how many numbers each sum has, positive, of a shape that broadcasts.
        fraction_bits: n of the sums.
        target: the format of the output.
        activation: `none`, or one that clips.
    """
    shift = fraction_bits - target.fraction_bits
    numerator, denominator = sums << max(-shift, 0), counts << max(shift, 0)
    if target.rounds_to_nearest:
        numerator, denominator = 2 * numerator + denominator, 2 * denominator
    low, high = saturation(target, activation)
    return np.asarray(
        np.clip(numerator // denominator, low, high) - target.least, target.code_of_rank().dtype
    )


def fixed_point_of(call: Call, value: Value) -> FixedPoint:
    """Return the format of a value, which must be fixed-point codes."""
    encoding = None if value.encoding is None else value.encoding.as_fixed_point()
    call.require(encoding is not None, f"encoding of {value.name}", "fixed point", value.encoding)
    assert encoding is not None
    return encoding


def fixed_point_output(call: Call, what: str) -> FixedPoint:
    """Return the format of a node's output, which must be fixed-point codes."""
    value = call.graph.values.get(call.node.outputs[0])
    if value is None or value.encoding is None:
        call.fail(what, "codes", "floats")
    return fixed_point_of(call, value)


def require_clip(call: Call, target: Encoding) -> None:
    """Check that the activation of a node that rounds is none, or one that clips."""
    name = call.text("activation")
    clips = [key for key, row in ACTIVATIONS.items() if row.clip is not None and target.rounds]
    expected = ", ".join(["none", *clips])
    call.require(name == "none" or name in clips, "an activation of rounded codes", expected, name)


def _infer_add(call: Call) -> list[TensorType]:
    left, right = call.input(0), call.input(1)
    target = fixed_point_output(call, "the sum")
    x, y = fixed_point_of(call, left), fixed_point_of(call, right)
    call.require(x.fraction_bits == y.fraction_bits, "bits behind the point", str(x), y)
    require_clip(call, target)
    return [TensorType(code_dtype(target), broadcast(call, left.shape, right.shape))]


def _add(call: Call, left: Array, right: Array) -> list[Array]:
    x, y, target = (fixed_point_of(call, value) for value in (call.input(0), call.input(1), call.output()))
    sums = integers_of(x, left) + integers_of(y, right)
    return [shifted(sums, x.fraction_bits, target, call.text("activation"))]


def _infer_lookup(call: Call) -> list[TensorType]:
    source, table = call.input(0), call.input(1)
    encoding, target = fixed_point_of(call, source), fixed_point_output(call, "the output")
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
    activation="none",
)
register(
    "FixedLookup",
    "input table",
    domain="lowbit",
    infer=_infer_lookup,
    evaluate=_lookup,
    traits=Trait.ELEMENTWISE,
)
