"""Elementwise operators: arithmetic with broadcasting, activations, and softmax along an axis.

An activation also maps codes to codes: level, function in float64, code again. That is a table of
``2**bits`` entries for every backend.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from lowbit.ir.activations import ACTIVATIONS, apply_activation
from lowbit.ir.graph import Array, Attribute, Node
from lowbit.ir.operators.registry import (
    Call,
    TensorType,
    as_float64,
    broadcast,
    passed,
    register,
    require_float,
)
from lowbit.ir.operators.traits import Trait

Binary = Callable[[Array, Array], Array]
Floats = npt.NDArray[np.float64]
Line = Callable[[Floats], tuple[Floats, Floats] | None]


def infer_binary(call: Call) -> list[TensorType]:
    """Return the type of what is computed of two operands of one type."""
    left, right = call.input(0), call.input(1)
    if left.dtype != right.dtype:
        call.fail("operand types differ", call.described(0), call.described(1))
    call.require(left.encoding is None, "codes cannot be added", "float32", left.dtype)
    return [TensorType(left.dtype, broadcast(call, left.shape, right.shape))]


LINES: dict[tuple[str, str], tuple[Line, bool]] = {}
"""Arithmetic with a constant, by operator: factor and shift of it, and whether operands may change places."""


def line_of(node: Node, constant: int, value: Floats) -> tuple[Floats, Floats] | None:
    """Return factor and shift, ``y = factor x + shift``, of a node one of whose operands is a constant.

    Args:
        node: any.
        constant: which input is the constant.
        value: the constant.

    Returns:
        Arrays like the constant, or None where the node is no such function of the other operand.
    """
    line, either_way = LINES.get((node.domain, node.op), (None, False))
    return line(value) if line is not None and (constant == 1 or either_way) else None


def register_binary(name: str, function: Binary, line: Line, *, either_way: bool = False) -> None:
    """Declare arithmetic on two operands, and what it is where one of them is a constant."""
    LINES["", name] = line, either_way
    register_pairwise(name, function)


def register_pairwise(name: str, function: Binary) -> None:
    """Declare what is computed of two operands of one type, in that type."""

    def evaluate(call: Call, left: Array, right: Array) -> list[Array]:
        made = np.asarray(function(left, right))
        return [made if made.dtype == object else np.asarray(made, left.dtype)]

    register(
        name,
        "A B",
        infer=infer_binary,
        evaluate=evaluate,
        traits=Trait.BROADCASTS,
    )


def infer_unary(call: Call) -> list[TensorType]:
    """Return the type of a function of floats, or of codes that become codes."""
    value, output = call.input(0), call.graph.values.get(call.node.outputs[0])
    if value.encoding is None:
        require_float(call, 0)
    else:
        call.require(
            output is not None and output.encoding is not None,
            "codes in need codes out",
            "an encoding",
            "none",
        )
    return [TensorType(value.dtype, value.shape)]


def _register_activation(activation: str, traits: Trait = Trait.NONE) -> None:
    """Declare the operator of an activation of layers, whose function is said there."""
    name = ACTIVATIONS[activation].operator

    def evaluate(call: Call, array: Array) -> list[Array]:
        return _coded(call, apply_activation(activation, as_float64(call, 0, array)))

    register(
        name,
        "X",
        infer=infer_unary,
        evaluate=evaluate,
        traits=Trait.ELEMENTWISE | Trait.MONOTONE | traits,
    )


def _coded(call: Call, reals: Floats) -> list[Array]:
    """Return a function's values as floats, or as codes where the output has an encoding."""
    encoding = call.output().encoding
    return [reals.astype(np.float32) if encoding is None else encoding.encode(reals)]


def _infer_same(call: Call) -> list[TensorType]:
    return passed(call, call.input(0).shape)


def _infer_float(call: Call) -> list[TensorType]:
    require_float(call, *range(len(call.node.inputs)))
    return [
        TensorType("float32", broadcast(call, *(call.graph.value(name).shape for name in call.node.inputs)))
    ]


def register_function(
    name: str,
    function: Callable[[Call, Floats], Floats],
    traits: Trait = Trait.NONE,
    *,
    body: str = "",
    **attributes: Attribute,
) -> None:
    """Declare a function of one float, computed in float64; the body is what it is in steps of float32."""

    def evaluate(call: Call, array: Array) -> list[Array]:
        return _coded(call, np.asarray(function(call, as_float64(call, 0, array))))

    register(
        name,
        "X",
        infer=infer_unary,
        evaluate=evaluate,
        traits=Trait.ELEMENTWISE | traits,
        domain="",
        body=body,
        parts=None,
        whole=None,
        **attributes,
    )


def _divide(left: Array, right: Array) -> Array:
    """Divide; integers are cut off towards zero, and give 0 where ONNX says nothing: divided by zero."""
    if left.dtype.kind == "f":
        return np.divide(left, right)
    if "O" in (left.dtype.kind, right.dtype.kind):  # lengths, some of them open
        return np.floor_divide(left, right)
    sign = np.sign(left) * np.sign(right)
    return np.asarray(sign * (np.abs(left) // np.where(right == 0, 1, np.abs(right))))


def _quotient(divisor: Floats) -> tuple[Floats, Floats] | None:
    return (1 / divisor, np.zeros_like(divisor)) if divisor.all() else None


def _elu(call: Call, x: Floats) -> Floats:
    return np.where(x < 0, call.real("alpha") * np.expm1(np.minimum(x, 0)), x)


def _leaky(call: Call, x: Floats) -> Floats:
    return np.where(x < 0, call.real("alpha") * x, x)


def _hard_sigmoid(call: Call, x: Floats) -> Floats:
    return np.clip(call.real("alpha") * x + call.real("beta"), 0, 1)


def _hard_swish(_: Call, x: Floats) -> Floats:
    return x * np.clip(x / 6 + 0.5, 0, 1)


def _sum(_: Call, *arrays: Array) -> list[Array]:
    return [np.asarray(sum(array.astype(np.float64) for array in arrays)).astype(np.float32)]


def _prelu(_: Call, array: Array, slope: Array) -> list[Array]:
    exact = array.astype(np.float64)
    return [np.where(exact < 0, slope.astype(np.float64) * exact, exact).astype(np.float32)]


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


register_binary("Add", np.add, lambda c: (np.ones_like(c), c), either_way=True)
register_binary("Sub", np.subtract, lambda c: (np.ones_like(c), -c))
register_binary("Mul", np.multiply, lambda c: (c, np.zeros_like(c)), either_way=True)
register_binary("Div", _divide, _quotient)
_register_activation("relu", Trait.HOMOGENEOUS)
_register_activation("tanh")
_register_activation("sigmoid")
register_function("Abs", lambda _, x: np.abs(x), Trait.HOMOGENEOUS)
register_function("Exp", lambda _, x: np.exp(x), Trait.MONOTONE)
register_function("Log", lambda _, x: np.log(x))
register_function(
    "Elu", _elu, Trait.MONOTONE, body="alpha * Elu(Clip(X, max=0), alpha=1) + Relu(X)", alpha=1.0
)
register_function(
    "HardSigmoid", _hard_sigmoid, Trait.MONOTONE, body="Clip(alpha * X + beta, 0, 1)", alpha=0.2, beta=0.5
)
register_function("HardSwish", _hard_swish, body="X * Clip(1/6 * X + 1/2, 0, 1)")
register_function(
    "LeakyRelu",
    _leaky,
    Trait.MONOTONE | Trait.HOMOGENEOUS,
    body="alpha * Clip(X, max=0) + Relu(X)",
    alpha=0.01,
)
# The least float32 times 3e38, twice, is more than one: exact for every number.
register_function(
    "Sign", lambda _, x: np.sign(x), Trait.MONOTONE, body="Clip(3e38 * Clip(3e38 * X, -1, 1), -1, 1)"
)
# What rounding 1 + e lost comes back to first order, so that the tail is no zero.
_SOFTPLUS = "e = Exp(-Abs(X))\nu = 1 + e\nRelu(X) + (Log(u) + (e - (u - 1)) / u)"
register_function("Softplus", lambda _, x: np.logaddexp(0, x), Trait.MONOTONE, body=_SOFTPLUS)
register(
    "PRelu",
    "X slope",
    infer=_infer_float,
    evaluate=_prelu,
    traits=Trait.BROADCASTS | Trait.HOMOGENEOUS,
    body="slope * Clip(X, max=0) + Relu(X)",
)
register("Sum", "data*", infer=_infer_float, evaluate=_sum, traits=Trait.BROADCASTS)
register(
    "Identity",
    "input",
    infer=_infer_same,
    evaluate=lambda call, array: [array],
    traits=Trait.MOVES
    | Trait.KEEPS_ORDER
    | Trait.CARRIES
    | Trait.ELEMENTWISE
    | Trait.MONOTONE
    | Trait.HOMOGENEOUS,
)
register("Softmax", "input", infer=_infer_axis, evaluate=_softmax, traits=Trait.ENDS_CLASSIFIER, axis=-1)
register(
    "LogSoftmax",
    "input",
    infer=_infer_axis,
    evaluate=_log_softmax,
    traits=Trait.ENDS_CLASSIFIER,
    axis=-1,
)
register(
    "Clip",
    "input min? max?",
    infer=_infer_clip,
    evaluate=_clip,
    traits=Trait.ELEMENTWISE | Trait.MONOTONE,
)
