"""Matrix products in float: accumulated in float64, rounded once to float32."""

import numpy as np

from lowbit.ir.graph import Array, Shape
from lowbit.ir.operators.registry import Call, Parts, TensorType, broadcast, register
from lowbit.ir.operators.traits import Trait


def _infer_matmul(call: Call) -> list[TensorType]:
    left, right = call.input(0), call.input(1)
    call.require(
        left.dtype == right.dtype == "float32", "operand types", "float32", (left.dtype, right.dtype)
    )
    if not (left.shape and right.shape):
        call.fail("operand ranks", "1 or more", f"{call.described(0)}; {call.described(1)}")
    _require_inner(call, left.shape[-1], right.shape[-2:][0])
    batch = broadcast(call, left.shape[:-2], right.shape[:-2])
    columns = right.shape[-1:] if len(right.shape) > 1 else ()  # a vector is a row, then a column
    return [TensorType("float32", (*batch, *left.shape[-2:-1], *columns))]


def _matmul(call: Call, left: Array, right: Array) -> list[Array]:
    return [(left.astype(np.float64) @ right.astype(np.float64)).astype(np.float32)]


def _infer_gemm(call: Call) -> list[TensorType]:
    left, right = (
        _oriented(call.input(index).shape, call.integer(flag))
        for index, flag in ((0, "transA"), (1, "transB"))
    )
    call.require(len(left) == len(right) == 2, "operand ranks", "2 and 2", (left, right))
    _require_inner(call, left[1], right[0])
    bias = call.optional(2)
    if bias is not None:
        full = broadcast(call, (left[0], right[1]), bias.shape)
        call.require(
            full == (left[0], right[1]),
            "bias shape",
            f"one that broadcasts to {(left[0], right[1])}",
            bias.shape,
        )
    return [TensorType("float32", (left[0], right[1]))]


def _gemm(call: Call, left: Array, right: Array, bias: Array | None = None) -> list[Array]:
    a = np.asarray(left, np.float64).T if call.integer("transA") else np.asarray(left, np.float64)
    b = np.asarray(right, np.float64).T if call.integer("transB") else np.asarray(right, np.float64)
    result = call.real("alpha") * (a @ b)
    if bias is not None:
        result = result + call.real("beta") * np.asarray(bias, np.float64)
    return [result.astype(np.float32)]


def _gemm_parts(call: Call, add: Parts) -> str:
    """A product of two values, each turned, and the sum scaled where that is said."""
    left, right = (
        add.node("Transpose", name, perm=(1, 0)) if call.integer(flag) else name
        for name, flag in zip(call.node.inputs, ("transA", "transB"), strict=False)
    )
    made = _times(add, add.node("MatMul", left, right), call.real("alpha"))
    if call.optional(2) is None:
        return made
    return add.node("Add", made, _times(add, call.node.inputs[2], call.real("beta")))


def _times(add: Parts, name: str, factor: float) -> str:
    return name if factor == 1 else add.node("Mul", name, add.constant(factor))


def _oriented(shape: Shape, transposed: int) -> Shape:
    return shape[::-1] if transposed else shape


def _require_inner(call: Call, left: int | str, right: int | str) -> None:
    if left != right:
        call.fail(
            "inner lengths differ",
            f"{right} for {call.described(1)}",
            f"{left} in {call.described(0)}",
        )


register("MatMul", "A B", infer=_infer_matmul, evaluate=_matmul, traits=Trait.LAYER)
register(
    "Gemm",
    "A B C?",
    infer=_infer_gemm,
    evaluate=_gemm,
    parts=_gemm_parts,
    traits=Trait.LAYER,
    alpha=1.0,
    beta=1.0,
    transA=0,
    transB=0,
)
