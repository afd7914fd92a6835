"""``Encode`` and ``Decode``: reals to codes and back. A code exists only where a value has an encoding."""

import numpy as np

from lowbit.ir.graph import Array, Value
from lowbit.ir.operators.registry import Call, TensorType, code_dtype, register
from lowbit.ir.operators.traits import Trait
from lowbit.schemes import Encoding, rank_encode


def encoding_of(call: Call, value: Value) -> Encoding:
    """Return the encoding of a value that must be codes."""
    call.require(value.encoding is not None, f"{value.name} must be codes", "an encoding", "none")
    assert value.encoding is not None
    return value.encoding


def require_thresholds(call: Call, thresholds: Value, encoding: Encoding) -> None:
    """Check that thresholds are as many ascending constants as the encoding has steps."""
    steps = ((1 << encoding.bits) - 1,)
    call.require(thresholds.data is not None, "thresholds", "a constant", "a value computed at run time")
    call.require(thresholds.shape == steps, "thresholds", f"float32 {steps}", thresholds.shape)
    ascending = np.asarray(thresholds.data)
    call.require(bool((ascending[1:] >= ascending[:-1]).all()), "thresholds", "ascending numbers", ascending)


def _infer_encode(call: Call) -> list[TensorType]:
    call.require(call.input(0).dtype == "float32", "input type", "float32", call.input(0).dtype)
    encoding, thresholds = encoding_of(call, call.output()), call.optional(1)
    if thresholds is not None:
        require_thresholds(call, thresholds, encoding)
    return [TensorType(code_dtype(encoding), call.input(0).shape)]


def _encode(call: Call, array: Array, thresholds: Array | None = None) -> list[Array]:
    encoding = encoding_of(call, call.output())
    if thresholds is None:
        return [encoding.encode(array)]
    return [rank_encode(array, np.asarray(thresholds, np.float32)[None], encoding.code_of_rank())]


def _infer_decode(call: Call) -> list[TensorType]:
    encoding_of(call, call.input(0))
    return [TensorType("float32", call.input(0).shape)]


def _decode(call: Call, codes: Array) -> list[Array]:
    return [encoding_of(call, call.input(0)).decode(codes)]


register(
    "Encode",
    "input thresholds?",
    domain="lowbit",
    infer=_infer_encode,
    evaluate=_encode,
    traits=Trait.ELEMENTWISE,
)
register("Decode", "input", domain="lowbit", infer=_infer_decode, evaluate=_decode, traits=Trait.ELEMENTWISE)
