"""Functions and methods of tensors as the graph has them.

A function that is a module of torch.nn with arguments becomes that module, so a meaning is written once.
Lengths of axes are numbers while a graph is written, with the batch left open: `x.view(x.size(0), -1)`.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, fx, nn

from lowbit.errors import UnsupportedError
from lowbit.ir import OPERATORS, Operator
from lowbit.nn.ranges import gives_length

if TYPE_CHECKING:
    from lowbit.nn.emission import Emission

Names = Mapping[fx.Node, str]
Length = int | str
"""Of an axis; the batch has a name."""

_MODULES: dict[str, Callable[..., nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "hardtanh": nn.Hardtanh,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "hardsigmoid": nn.Hardsigmoid,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "softmax": nn.Softmax,
    "log_softmax": nn.LogSoftmax,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "max_pool2d": nn.MaxPool2d,
    "avg_pool2d": nn.AvgPool2d,
    "adaptive_avg_pool2d": nn.AdaptiveAvgPool2d,
    "adaptive_max_pool2d": nn.AdaptiveMaxPool2d,
}
_IDENTITIES = ("dropout", "dropout1d", "dropout2d", "dropout3d", "contiguous", "clone", "detach", "float")
_NO_MEANING = ("input", "inplace", "_stacklevel", "dtype", "memory_format")
_ARITHMETIC = {
    "add": "Add",
    "iadd": "Add",
    "sub": "Sub",
    "isub": "Sub",
    "mul": "Mul",
    "imul": "Mul",
    "truediv": "Div",
    "itruediv": "Div",
    "div": "Div",
    "add_": "Add",
    "mul_": "Mul",
    "sub_": "Sub",
}
_OTHERS = (
    *("clamp", "clip", "clamp_min", "clamp_max", "cat", "concat", "concatenate", "mean", "flatten"),
    *("view", "reshape", "transpose", "permute", "mT", "neg"),
)


def name_of(call: fx.Node) -> str:
    """Return what torch calls a function or method, of an attribute its name."""
    name = call.args[1] if call.target is getattr else getattr(call.target, "__name__", call.target)
    return (
        str(name).removesuffix("_") if str(name) in ("relu_", "relu6_", "clamp_", "hardtanh_") else str(name)
    )


def is_known(call: fx.Node) -> bool:
    """Return whether `write` has an operator for a call of a function, a method or a constant."""
    name = name_of(call)
    return (
        call.op == "get_attr"
        or gives_length(call)
        or _is_arithmetic_of_lengths(call)
        or name in (*_MODULES, *_IDENTITIES, *_ARITHMETIC, *_OTHERS)
        or declared(name) is not None
    )


def declared(name: str) -> Operator | None:
    """Return the operator that names a class of torch.nn, or its function in small letters, as its own."""
    named = (operator for operator in OPERATORS.values() if operator.torch)
    return next((operator for operator in named if name in (operator.torch, operator.torch.lower())), None)


def write(emission: "Emission", call: fx.Node, names: Names) -> str | None:
    """Append the nodes of a call and return the name of what it gives; None where that is a length.

    Raises:
        UnsupportedError: the graph has no operator for it, or not with these arguments.
    """
    name = name_of(call)
    if call.op == "get_attr":
        return _constant(emission, call)
    if gives_length(call) or _is_arithmetic_of_lengths(call):
        _length(emission, call, names)
        return None
    sources = [each for each in call.all_input_nodes if each in names]
    if not sources:
        raise _refused(call, "a tensor")
    source = names[sources[0]]
    if name in _IDENTITIES:
        return source
    known = declared(name)
    if known is not None and not hasattr(nn, known.torch) and len(call.args) == 1 and not call.kwargs:
        return emission.add(known.name, call.name, source)
    if name in _MODULES or known is not None:
        return emission.write_module(_as_module(call), call.name, source)
    if name in _ARITHMETIC:
        return _arithmetic(emission, call, names, _ARITHMETIC[name])
    match name:
        case "clamp" | "clip" | "clamp_min" | "clamp_max":
            return _clamp(emission, call, source)
        case "cat" | "concat" | "concatenate":
            return _concatenation(emission, call, names)
        case "mean":
            return _mean(emission, call, source)
        case "neg":
            return emission.add(
                "Mul", call.name, source, emission.constant(f"{call.name}.by", np.float32(-1))
            )
        case "transpose" | "permute" | "mT":
            return _transposed(emission, call, source)
    return _reshaped(emission, call, source)


def _as_module(call: fx.Node) -> nn.Module:
    """Return the module of torch.nn that does the same."""
    named = {key: value for key, value in call.kwargs.items() if key not in _NO_MEANING}
    plain = [value for value in call.args[1:] if not isinstance(value, fx.Node)]
    if len(plain) < len(call.args) - 1 or any(isinstance(value, fx.Node) for value in named.values()):
        raise _refused(call, "numbers beside the tensor")
    known = declared(name_of(call))
    kind = _MODULES[name_of(call)] if known is None else getattr(nn, known.torch, nn.Identity)
    try:
        return kind(*plain, **named)
    except TypeError as error:
        raise _refused(call, "the arguments of torch.nn's module") from error


def _constant(emission: "Emission", call: fx.Node) -> str:
    value = call.meta.get("constant")
    if value is None:
        value = operator.attrgetter(str(call.target))(emission.model)
    if not isinstance(value, Tensor):
        raise _refused(call, "a tensor")
    return emission.constant(str(call.target), value.detach().float())


def _length(emission: "Emission", call: fx.Node, names: Names) -> None:
    """Remember lengths of axes, which are no values of the graph."""
    known = emission.lengths

    def of(part: Any) -> Any:
        return known[part] if isinstance(part, fx.Node) else part

    first = call.args[0]
    if call.target is operator.getitem or _is_arithmetic_of_lengths(call):
        left, right = of(first), of(call.args[1])
        if call.target is not operator.getitem and not (isinstance(left, int) and isinstance(right, int)):
            raise _refused(call, "lengths that are known, the batch is not")
        known[call] = call.target(left, right)  # type: ignore[operator]
        return
    shape = emission.graph.value(names[first]).shape  # type: ignore[index]
    axis = (*call.args[1:], *call.kwargs.values())
    match name_of(call):
        case "dim" | "ndim":
            known[call] = len(shape)
        case "size" | "shape":
            known[call] = shape[axis[0]] if call.op == "call_method" and axis else shape  # type: ignore[index]
        case _:
            raise _refused(call, "lengths of axes")


def _is_arithmetic_of_lengths(call: fx.Node) -> bool:
    """Return whether a call adds, multiplies or divides lengths."""
    if call.target not in (operator.add, operator.sub, operator.mul, operator.floordiv):
        return False
    parts = [part for part in call.args if isinstance(part, fx.Node)]
    return bool(parts) and all(gives_length(part) or _is_arithmetic_of_lengths(part) for part in parts)


def _arithmetic(emission: "Emission", call: fx.Node, names: Names, op: str) -> str:
    if set(call.kwargs) - {"other", "input"}:
        raise _refused(call, "two operands")
    operands = [*call.args, *call.kwargs.values()]
    if len(operands) != 2:
        raise _refused(call, "two operands")
    written = []
    for index, operand in enumerate(operands):
        if isinstance(operand, fx.Node) and operand in names:
            written.append(names[operand])
        elif isinstance(operand, int | float):
            written.append(emission.constant(f"{call.name}.{index}", np.float32(operand)))
        else:
            raise _refused(call, "tensors and numbers")
    return emission.add(op, call.name, *written)


def _clamp(emission: "Emission", call: fx.Node, source: str) -> str:
    keys = {"clamp_min": ("min",), "clamp_max": ("max",)}.get(name_of(call), ("min", "max"))
    bounds = {**dict(zip(keys, call.args[1:], strict=False)), **call.kwargs}
    bounds.pop("input", None)
    if not all(value is None or isinstance(value, int | float) for value in bounds.values()):
        raise _refused(call, "bounds that are numbers")
    return emission.clip(call.name, source, bounds.get("min"), bounds.get("max"))  # type: ignore[arg-type]


def _concatenation(emission: "Emission", call: fx.Node, names: Names) -> str:
    named = dict(call.kwargs)
    parts = call.args[0] if call.args else named.pop("tensors")
    axis = call.args[1] if len(call.args) > 1 else named.pop("dim", named.pop("axis", 0))
    if named or not isinstance(parts, Sequence) or not isinstance(axis, int):
        raise _refused(call, "tensors and an axis")
    return emission.add("Concat", call.name, *(names[part] for part in parts), axis=axis)  # type: ignore[index]


def _mean(emission: "Emission", call: fx.Node, source: str) -> str:
    named: dict[str, Any] = {**dict(zip(("dim", "keepdim"), call.args[1:], strict=False)), **call.kwargs}
    rank, axes = emission.rank(source), named.get("dim")
    if rank != 4 or not isinstance(axes, Sequence) or {axis % rank for axis in axes} != {2, 3}:
        raise UnsupportedError("means are over rows and columns", where=call.name, found=str(axes))
    if named.get("keepdim"):
        return emission.add("GlobalAveragePool", call.name, source)
    return emission.add("Flatten", call.name, emission.add("GlobalAveragePool", f"{call.name}/maps", source))


def _transposed(emission: "Emission", call: fx.Node, source: str) -> str:
    rank, name, given = emission.rank(source), name_of(call), _listed(call)
    if not all(isinstance(axis, int) for axis in given) and name != "mT":
        raise _refused(call, "axes that are numbers")
    order = [axis % rank for axis in given] if name == "permute" else list(range(rank))
    if name != "permute":
        first, second = (-2, -1) if name == "mT" else given
        order[first], order[second] = order[second], order[first]
    if order[0] != 0:
        raise _refused(call, "the batch in its place")
    return emission.add("Transpose", call.name, source, perm=tuple(order))


def _reshaped(emission: "Emission", call: fx.Node, source: str) -> str:
    """Append a Flatten where all of a sample becomes one axis, else a Reshape of every sample."""
    shape: Any = emission.graph.value(source).shape
    batch, *wanted = _target(emission, call, shape)
    sample, known = prod(shape[1:]), prod(length for length in wanted if length != -1)
    if wanted.count(-1) == 1 and sample % known == 0:
        wanted[wanted.index(-1)] = sample // known
    if batch not in (shape[0], -1) or not wanted or prod(wanted) != sample:
        raise UnsupportedError(
            "a reshape keeps the samples apart",
            where=call.name,
            expected=f"the batch, and {sample} elements of each sample",
            found=str([batch, *wanted]),
        )
    if len(wanted) == 1:
        return emission.add("Flatten", call.name, source)
    return emission.add("Reshape", call.name, source, emission.integers(f"{call.name}.shape", [0, *wanted]))


def _target(emission: "Emission", call: fx.Node, shape: Sequence[Any]) -> list[Any]:
    """Return the lengths that a reshape asks for, -1 for what is left."""
    if name_of(call) == "flatten":
        named: dict[str, Any] = {**dict(zip(("start_dim", "end_dim"), call.args[1:], strict=False))}
        named |= {key: value for key, value in call.kwargs.items() if key != "input"}
        start, end = named.get("start_dim", 0) % len(shape), named.get("end_dim", -1) % len(shape)
        return [*shape[:start], -1 if start == 0 else prod(shape[start : end + 1]), *shape[end + 1 :]]
    found = [emission.lengths.get(part) if isinstance(part, fx.Node) else part for part in _listed(call)]
    if not all(isinstance(length, int | str) for length in found):
        raise _refused(call, "lengths of axes")
    return found


def _listed(call: fx.Node) -> list[Any]:
    """Return the arguments behind the tensor, which may be given one by one or as one sequence."""
    given: Any = [*call.args[1:], *(value for key, value in call.kwargs.items() if key != "input")]
    return list(given[0]) if len(given) == 1 and isinstance(given[0], Sequence) else list(given)


def _refused(call: fx.Node, expected: str) -> UnsupportedError:
    return UnsupportedError(
        "there is no operator for this call",
        where=call.name,
        expected=expected,
        found=f"{name_of(call)}{tuple(map(str, call.args))} {dict(call.kwargs) or ''}".strip(),
    )
