"""Fixed-point layers: integers summed at full width, rounded once, saturated; functions by table.

With Q formats of n_x, n_w and n_y bits behind the point, and q the two's complement integers of codes:

    acc_o = sum_i q_x[i] q_w[o, i] + q_b[o] 2^n_x                     exact, n_x + n_w bits behind the point
    q_y   = saturate(floor(acc 2^-s + 1/2)),   s = n_x + n_w - n_y    rounding `nearest` of the output
    q_y   = saturate(floor(acc 2^-s))                                 rounding `floor`

The bias has the format of the weights, so rounding is half a unit of the output added to it. Without an
encoding of the output the sums are given as they are: `float32(acc 2^-(n_x + n_w))`. A function between
layers is a look-up in a constant table, a code of the output for every code of the input.
"""

import numpy as np
import numpy.typing as npt

from lowbit.ir.graph import Array, Value
from lowbit.ir.operators.registry import Call, TensorType, broadcast, code_dtype, register
from lowbit.ir.operators.traits import Trait
from lowbit.schemes import FixedPoint

_WIDEST = 62


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
    encoding = value.encoding
    call.require(isinstance(encoding, FixedPoint), f"encoding of {value.name}", "fixed point", encoding)
    assert isinstance(encoding, FixedPoint)
    return encoding


def _output(call: Call) -> FixedPoint | None:
    value = call.graph.values.get(call.node.outputs[0])
    return None if value is None or value.encoding is None else _fixed(call, value)


def _infer_linear(call: Call) -> list[TensorType]:
    source, weights, bias = (call.input(index) for index in range(3))
    x, w, _ = (_fixed(call, value) for value in (source, weights, bias))
    call.require(
        weights.data is not None and bias.data is not None, "weights and bias", "constants", "values"
    )
    call.require(bias.encoding == w, "format of the bias", f"that of the weights, {w}", bias.encoding)
    outputs, length = weights.shape
    call.require(bias.shape == (outputs,), "bias", f"[{outputs}]", bias.shape)
    if len(source.shape) < 2 or source.shape[-1] != length:
        call.fail("input shape", f"[..., {length}]", call.described(0))
    assert isinstance(length, int)
    width = x.bits + w.bits + length.bit_length()
    call.require(width <= _WIDEST, "width of the sums", f"at most {_WIDEST} bits", width)
    target = _output(call)
    dtype = "float32" if target is None else code_dtype(target)
    return [TensorType(dtype, (*source.shape[:-1], outputs))]


def _linear(call: Call, codes: Array, weights: Array, bias: Array) -> list[Array]:
    x, w, y = _fixed(call, call.input(0)), _fixed(call, call.input(1)), _output(call)
    sums = integers_of(x, codes) @ integers_of(w, weights).T
    sums += integers_of(w, bias) << x.fraction_bits
    fraction_bits = x.fraction_bits + w.fraction_bits
    if y is None:
        return [np.ldexp(sums.astype(np.float64), -fraction_bits).astype(np.float32)]
    return [shifted(sums, fraction_bits, y)]


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
    "FixedLinear",
    "input weights bias",
    domain="lowbit",
    infer=_infer_linear,
    evaluate=_linear,
    traits=Trait.LAYER,
)
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
