"""The network as torch computes it: arithmetic of its own on the graph's constants, node by node.

What the definition has in NumPy is said here once more in torch's functions, so that one checks the other:
sums of whole levels in float64, where they are exact; thresholds by ``bucketize``; reals in float64, each
value rounded once to float32. Elements that only move are moved by the definition: nothing is computed there.
A module that was trained is compared with its files by `lowbit.train.agreement`; this is for files alone.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from lowbit.backends.backend import Runner, named
from lowbit.blockers import Blocker, grouped, listed
from lowbit.errors import MissingExtra, UnsupportedError
from lowbit.ir import Graph, Node, Trait, has, operators_with
from lowbit.ir.activations import ACTIVATIONS, saturation
from lowbit.ir.deployed import DeployedLayer, deployed_layer
from lowbit.ir.deployed_convolution import deployed_convolution
from lowbit.ir.graph import DTYPES, Array, Value
from lowbit.ir.infer import call_of
from lowbit.ir.operators.reductions import reduced_axes
from lowbit.ir.operators.registry import Call
from lowbit.ir.operators.windows import windows_of
from lowbit.ir.passes import expand
from lowbit.ir.reference import evaluate_node
from lowbit.ir.weight_only import weight_levels
from lowbit.schemes import Encoding

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["blockers", "load"]

Compute = Callable[..., "Tensor"]
"""Takes a call and its input tensors (None where absent), and returns its output."""


def load(graph: Graph, /, *, threads: int = 1) -> Runner:
    """Return the runner of a verified graph.

    Args:
        graph: what to run.
        threads: what torch is told for the length of a call.

    Raises:
        MissingExtra: torch is not installed.
        UnsupportedError: it has operators that are not said here in torch.
    """
    torch, network = _torch(), expand(graph, _supports)
    if limits := blockers(graph):
        what, remedy = "torch does not run this network", limits[0].remedy
        raise UnsupportedError(what, where=graph.name, found=listed(limits), remedy=remedy)
    ready = [_prepared(network, node) for node in network.nodes]

    def trace(*inputs: Array) -> dict[str, Array]:
        given, before = named(graph, inputs), torch.get_num_threads()
        arrays: dict[str, Array] = {
            key: each.data for key, each in network.values.items() if each.data is not None
        }
        typed = {name: np.asarray(array, DTYPES[graph.value(name).dtype]) for name, array in given.items()}
        arrays.update(typed)
        torch.set_num_threads(threads)
        try:
            with torch.no_grad():
                for node, compute in zip(network.nodes, ready, strict=True):
                    arrays.update(zip(node.outputs, compute(arrays), strict=False))
        finally:
            torch.set_num_threads(before)
        computed = (name for node in network.nodes for name in node.outputs if name in graph.values)
        return {**given, **{name: arrays[name] for name in computed}}

    def run(*inputs: Array) -> tuple[Array, ...]:
        values = trace(*inputs)
        return tuple(values[name] for name in graph.outputs)

    return Runner(run, trace)


def blockers(graph: Graph) -> list[Blocker]:
    """Return the operators, and the forms of them, that are not said here in torch."""
    network = expand(graph, _supports)
    remedy = "Choose another back end; the reference runs everything."
    return grouped(
        Blocker("torch has no row for it", (node.name or node.outputs[0],), node.op, remedy=remedy)
        for node in network.nodes
        if not _supports(network, node)
    )


def _supports(graph: Graph, node: Node) -> bool:
    values = [graph.values.get(name) for name in (*node.inputs, *node.outputs) if name]
    encodings = [None if value is None else value.encoding for value in values]
    if _moves(node):
        return True
    if (node.domain, node.op) not in _TABLE:
        return False
    layer = has(node, Trait.LAYER)
    if node.domain:
        coded = encodings[:1] + encodings[len(node.inputs) :] if layer else encodings
        return all(each is None or each.channels == 1 for each in coded) and _is_whole(encodings)
    return not any(encodings) or (
        has(node, Trait.POOL) and all(each and each.channels == 1 for each in encodings)
    )


def _is_whole(encodings: Sequence[Encoding | None]) -> bool:
    """Return whether layers of these encodings sum whole numbers."""
    return all(each is None or each.snapped for each in encodings)


def _moves(node: Node) -> bool:
    """Return whether a node computes no number: it moves elements, or looks where they are."""
    carries = has(node, Trait.CARRIES) and not has(node, Trait.POOL)
    return carries or _TABLE.get((node.domain, node.op)) is _moved


def _moved(call: Call) -> Compute:
    """Mark the row of an operator that the definition computes: it makes no number."""
    raise NotImplementedError(call.node.op)


def _torch() -> ModuleType:
    try:
        import torch
    except ImportError as error:
        raise MissingExtra("torch", "train") from error
    return torch


def _prepared(graph: Graph, node: Node) -> Callable[[Mapping[str, Array]], list[Array]]:
    """Return what computes a node's outputs from the arrays of its inputs."""
    if _moves(node):
        return partial(evaluate_node, graph, node)
    compute, call = _TABLE[node.domain, node.op](call_of(graph, node)), call_of(graph, node)
    dtype = DTYPES[call.output().dtype]
    torch = _torch()

    def run(arrays: Mapping[str, Array]) -> list[Array]:
        tensors = [_tensor(torch, arrays[name]) if name else None for name in node.inputs]
        return [np.ascontiguousarray(compute(*tensors).numpy().astype(dtype))]

    return run


def _tensor(torch: ModuleType, array: Array) -> "Tensor":
    """Return numbers as torch computes with them: reals in float64, integers and codes in int64."""
    wide = np.float64 if array.dtype.kind == "f" else np.int64 if array.dtype.kind in "iu" else array.dtype
    return torch.from_numpy(np.array(array, wide))  # type: ignore[no-any-return]


def _table(of: Encoding | None, content: Callable[[Encoding], Any]) -> "Tensor":
    assert of is not None
    return _tensor(_torch(), np.asarray(content(of)[0]))


# Layers of low bits -------------------------------------------------------------------------------------


def _linear(call: Call) -> Compute:
    functional = _torch().nn.functional
    source, packed = call.input(0).encoding, call.input(1)
    if source is None:
        factors = _tensor(_torch(), weight_levels(packed))
        return lambda x, w, bias, *_: _real(call, functional.linear(x, factors, bias))
    layer = deployed_layer(source, packed, _bias(call))
    weights, levels = (
        _tensor(_torch(), layer.weights).double(),
        _tensor(_torch(), layer.input_levels).double(),
    )
    thresholds = call.optional(3)
    steps = None if thresholds is None else layer.integer_thresholds(np.asarray(thresholds.data))
    end = _ending(call, layer, _tensor(_torch(), layer.bias), steps)
    return lambda x, *_: end(functional.linear(levels[x], weights))


def _convolution(call: Call) -> Compute:
    functional = _torch().nn.functional
    source, packed = call.input(0).encoding, call.input(1)
    rows, columns = windows_of(call, tuple(int(extent) for extent in packed.shape[1:3]))
    edges = (columns.before, columns.after, rows.before, rows.after)
    window: dict[str, Any] = {
        "stride": (rows.stride, columns.stride),
        "dilation": (rows.dilation, columns.dilation),
        "groups": call.integer("group"),
    }

    def factors(numbers: Array) -> "Tensor":
        shaped = numbers.reshape([int(extent) for extent in packed.shape]).transpose(0, 3, 1, 2)
        return _tensor(_torch(), shaped).double()

    if source is None:
        floats = factors(weight_levels(packed))
        return lambda x, w, bias, *_: _real(
            call, functional.conv2d(functional.pad(x, edges), floats, bias, **window)
        )
    constants = deployed_convolution(source, packed, _bias(call), (rows, columns))
    layer, at = constants.layer, (constants.row_class[:, None], constants.column_class[None, :])
    weights, levels = factors(layer.weights), _tensor(_torch(), layer.input_levels).double()
    thresholds = call.optional(3)
    steps = None if thresholds is None else constants.integer_thresholds(np.asarray(thresholds.data))[at]
    end = _ending(call, layer, _tensor(_torch(), constants.bias[at]), steps)

    def compute(x: "Tensor", *_: "Tensor") -> "Tensor":
        sums = functional.conv2d(functional.pad(levels[x], edges), weights, **window)
        return end(sums.movedim(1, -1)).movedim(-1, 1)

    return compute


def _bias(call: Call) -> Value:
    """Return the bias of a layer on codes, which is a constant."""
    return call.input(2)


def _ending(call: Call, layer: DeployedLayer, bias: "Tensor", steps: Array | None) -> Compute:
    """Return what a layer makes of its sums ``[..., o]``; ``steps`` are its thresholds ``[..., o, c]``."""
    torch, target = _torch(), call.output().encoding
    addend, scale = _tensor(torch, layer.addend), _tensor(torch, layer.scale)
    if steps is not None:
        order, above = _table(target, lambda each: each.code_of_rank()), _tensor(torch, steps)
        return lambda sums: order[((sums + addend)[..., None] > above).sum(-1)]
    if target is None:
        return lambda sums: _real(call, scale * (sums + addend) + bias)
    return lambda sums: _rounded(target, scale * (sums + addend) + bias, call.text("activation"))


def _real(call: Call, exact: "Tensor") -> "Tensor":
    return _ACTIVATIONS[ACTIVATIONS[call.text("activation")].operator](call, exact.float().double())


def _rounded(target: Encoding, reals: "Tensor", activation: str) -> "Tensor":
    """Return codes of an encoding that rounds: one rounding, saturated where the activation clips."""
    low, high = saturation(target, activation)
    scaled = reals / float(target.integer_scale()[0])
    whole = {"even": scaled.round(), "nearest": (scaled + 0.5).floor(), "floor": scaled.floor()}[
        target.rounding
    ]
    return (whole.clamp(low, high) - int(target.integer_levels()[0].min())).long()


# Codes --------------------------------------------------------------------------------------------------


def _encode(call: Call) -> Compute:
    torch, target, thresholds = _torch(), call.output().encoding, call.optional(1)
    assert target is not None
    given = None if thresholds is None else thresholds.data
    order = _table(target, lambda each: each.code_of_rank())
    steps = _table(target, lambda each: each.thresholds() if given is None else np.asarray(given)[None])
    return lambda x, *_: order[torch.bucketize(x, steps)]


def _decode(call: Call) -> Compute:
    levels = _table(call.input(0).encoding, lambda each: each.levels())
    return lambda codes: levels[codes]


def _fixed_add(call: Call) -> Compute:
    left, right = (_whole_levels(call, index) for index in range(2))
    target, unit = call.output().encoding, call.input(0).encoding
    assert target is not None and unit is not None
    scale = float(unit.integer_scale()[0])
    return lambda x, y: _rounded(target, scale * (left[x] + right[y]).double(), call.text("activation"))


def _whole_levels(call: Call, index: int) -> "Tensor":
    return _table(call.input(index).encoding, lambda each: each.integer_levels())


def _lookup(call: Call) -> Compute:
    return lambda codes, table: table[codes]


# Reals --------------------------------------------------------------------------------------------------


def _conv(call: Call) -> Compute:
    functional = _torch().nn.functional
    axes = windows_of(call, tuple(int(extent) for extent in call.input(1).shape[2:]))
    edges = [edge for axis in reversed(axes) for edge in (axis.before, axis.after)]
    convolve = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}[len(axes)]
    stride, dilation = ([getattr(axis, name) for axis in axes] for name in ("stride", "dilation"))
    group = call.integer("group")
    return lambda x, w, bias=None: convolve(
        functional.pad(x, edges), w, bias, stride=stride, dilation=dilation, groups=group
    )


def _gemm(call: Call) -> Compute:
    alpha, beta = call.real("alpha"), call.real("beta")

    def compute(left: "Tensor", right: "Tensor", bias: "Tensor | None" = None) -> "Tensor":
        a, b = left.T if call.integer("transA") else left, right.T if call.integer("transB") else right
        return alpha * (a @ b) if bias is None else alpha * (a @ b) + beta * bias

    return compute


def _normalization(call: Call) -> Compute:
    functional = _torch().nn.functional
    epsilon = call.real("epsilon")
    return lambda x, scale, shift, mean, variance: functional.batch_norm(
        x, mean, variance, scale, shift, eps=epsilon
    )


def _pool(call: Call) -> Compute:
    """The largest or the mean of windows; codes as ranks, means of codes as exact sums, rounded once."""
    largest, whole = has(call.node, Trait.CARRIES), not has(call.node, Trait.WINDOW)
    lengths = [int(length) for length in call.input(0).shape[2:]]
    axes = () if whole else windows_of(call, call.integers("kernel_shape"))
    source, target = call.input(0).encoding, call.output().encoding
    counted = not whole and not largest and call.integer("count_include_pad")

    def windows(x: "Tensor", fill: float) -> "Tensor":
        """Return what every window reads, ``[n, c, outputs…, taps…]``."""
        functional = _torch().nn.functional
        edges = [edge for axis in reversed(axes) for edge in (axis.before, axis.after)]
        padded = (
            functional.pad(x, edges, value=fill)
            if edges
            else x.reshape(*x.shape[:2], *[1] * len(lengths), *lengths)
        )
        for number, axis in enumerate(axes):
            reach = (axis.kernel - 1) * axis.dilation + 1
            padded = padded.unfold(2 + number, reach, axis.stride)[..., :: axis.dilation]
        return padded.flatten(2 + len(lengths))

    if largest:
        if source is None:
            return lambda x: windows(x, -float("inf")).amax(-1)
        order = _table(source, lambda each: each.code_of_rank())
        ranks = order.argsort()
        return lambda codes: order[windows(ranks[codes].double(), -1).amax(-1).long()]
    torch = _torch()
    ones = torch.ones((1, 1, *lengths), dtype=torch.float64)
    counts = windows(ones, float(counted)).sum(-1)
    if source is None or target is None:
        return lambda x: windows(x, 0).sum(-1) / counts
    levels, scale = _whole_levels(call, 0).double(), float(source.integer_scale()[0])
    return lambda codes: _rounded(target, scale * windows(levels[codes], 0).sum(-1) / counts, "none")


def _reduction(name: str) -> Callable[[Call], Compute]:
    def prepared(call: Call) -> Compute:
        axes, keep = reduced_axes(call), bool(call.integer("keepdims"))
        function = getattr(_torch(), name)
        return lambda x, *_: function(x, dim=axes, keepdim=keep) if axes else x

    return prepared


def _along_axis(name: str) -> Callable[[Call], Compute]:
    axis = "axis"
    return lambda call: partial(getattr(_torch(), name), dim=call.integer(axis))


def _clip(call: Call) -> Compute:
    torch = _torch()

    def compute(x: "Tensor", least: "Tensor | None" = None, most: "Tensor | None" = None) -> "Tensor":
        raised = x if least is None else torch.maximum(x, least)
        return raised if most is None else torch.minimum(raised, most)

    return compute


def _bounded(call: Call, x: "Tensor") -> "Tensor":
    low, high = ACTIVATIONS[call.text("activation")].bounds or (None, None)
    return x.clamp(low, high)


def _plain(name: str) -> Callable[[Call], Compute]:
    """Return the row of an operator that is a function of torch."""
    return lambda call: getattr(_torch(), name)


def _quotient(call: Call) -> Compute:
    torch, whole = _torch(), call.output().dtype != "float32"

    def compute(x: "Tensor", y: "Tensor") -> "Tensor":
        """Divide; integers are cut off towards zero, and divided by zero as by one."""
        return torch.div(x, y.where(y != 0, 1), rounding_mode="trunc") if whole else x / y

    return compute


def _sum(call: Call) -> Compute:
    return lambda *arrays: sum(arrays[1:], arrays[0])


_ACTIVATIONS: dict[str, Callable[[Call, "Tensor"], "Tensor"]] = {
    "Identity": lambda _, x: x,
    "Relu": lambda _, x: x.relu(),
    "Clip": _bounded,
    "Tanh": lambda _, x: x.tanh(),
    "Sigmoid": lambda _, x: x.sigmoid(),
    "Softplus": lambda _, x: x.exp().log1p().where(x < 0, x + (-x.abs()).exp().log1p()),
}
"""What ends a layer, by the operator that it is."""

_FUNCTIONS = {
    "Abs": "abs",
    "Exp": "exp",
    "Log": "log",
    "Sqrt": "sqrt",
    "Erf": "erf",
    "Floor": "floor",
    "Ceil": "ceil",
    "Round": "round",
    "Sin": "sin",
    "Cos": "cos",
    "Tan": "tan",
    "Asin": "asin",
    "Acos": "acos",
    "Atan": "atan",
    "Sinh": "sinh",
    "Cosh": "cosh",
    "Tanh": "tanh",
    "Asinh": "asinh",
    "Acosh": "acosh",
    "Atanh": "atanh",
    "Sigmoid": "sigmoid",
    "Relu": "relu",
    "Sign": "sign",
    "Add": "add",
    "Sub": "sub",
    "Mul": "mul",
    "Max": "maximum",
    "Min": "minimum",
    "MatMul": "matmul",
    "Pow": "pow",
    "Equal": "eq",
    "Greater": "gt",
    "GreaterOrEqual": "ge",
    "Less": "lt",
    "LessOrEqual": "le",
    "And": "logical_and",
    "Or": "logical_or",
    "Xor": "logical_xor",
    "Not": "logical_not",
}
"""Functions of torch that an operator is."""

_TABLE: dict[tuple[str, str], Callable[[Call], Compute]] = {
    ("lowbit", "Linear"): _linear,
    ("lowbit", "Convolution"): _convolution,
    ("lowbit", "Encode"): _encode,
    ("lowbit", "Decode"): _decode,
    ("lowbit", "FixedAdd"): _fixed_add,
    ("lowbit", "FixedLookup"): _lookup,
    **{("", name): _plain(function) for name, function in _FUNCTIONS.items()},
    **dict.fromkeys(operators_with(Trait.POOL), _pool),
    ("", "ReduceSum"): _reduction("sum"),
    ("", "ReduceMean"): _reduction("mean"),
    ("", "ReduceMax"): _reduction("amax"),
    ("", "ReduceMin"): _reduction("amin"),
    ("", "Cast"): _moved,
    ("", "Pad"): _moved,
    ("", "Range"): _moved,
    ("", "Shape"): _moved,
    ("", "Where"): _moved,
    ("", "BatchNormalization"): _normalization,
    ("", "Clip"): _clip,
    ("", "Conv"): _conv,
    ("", "Div"): _quotient,
    ("", "Gemm"): _gemm,
    ("", "LogSoftmax"): _along_axis("log_softmax"),
    ("", "Softmax"): _along_axis("softmax"),
    ("", "Sum"): _sum,
}
