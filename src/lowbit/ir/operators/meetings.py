"""Along which axes elements of a value meet: where an operator combines, chooses or repeats them.

Along all other axes an operator does the same to every row, whatever the other rows are. So a network that is
known for one sample computes the same for any number of them if elements meet nowhere along the batch
(`lowbit.formats.batch`). What has no row here and no trait that says it may let any elements meet.
"""

from collections.abc import Callable, Collection
from math import prod

from lowbit.ir.operators.contents import axes_of, integers, numbers
from lowbit.ir.operators.reductions import reduced_axes
from lowbit.ir.operators.registry import Call, has
from lowbit.ir.operators.resizing import taps_of
from lowbit.ir.operators.traits import Trait

Axes = Collection[int]
Meets = Callable[[Call, int], Axes]
"""Axes of an input, given by its index, along which its elements meet."""


def meet(call: Call, index: int, axis: int) -> bool:
    """Return whether elements of an input may meet along an axis."""
    node, shape = call.node, call.input(index).shape
    rule = _RULES.get(node.op) if not node.domain else None
    if rule is not None:
        return axis in rule(call, index)
    if has(node, Trait.ELEMENTWISE) or has(node, Trait.BROADCASTS):
        return False
    if has(node, Trait.REGROUPS):  # rows stay rows behind axes that stay, and behind none longer than one
        alone = prod(length for length in shape[:axis] if isinstance(length, int)) == 1
        return not alone and shape[: axis + 1] != call.output().shape[: axis + 1]
    if has(node, Trait.MOVES):
        return False
    if has(node, Trait.WINDOW) or has(node, Trait.POOL):
        return axis != 0
    return not node.domain or (has(node, Trait.LAYER) and axis == len(shape) - 1)


def _rank(call: Call, index: int) -> int:
    return len(call.input(index).shape)


def _every(call: Call, index: int) -> Axes:
    return range(_rank(call, index))


def _but_first(call: Call, index: int) -> Axes:
    return range(1, _rank(call, index)) if index == 0 else _every(call, index)


def _nowhere(_: Call, __: int) -> Axes:
    return ()


def _of_axis(call: Call, index: int) -> Axes:
    return (call.integer("axis") % _rank(call, index),)


def _gathered(call: Call, index: int) -> Axes:
    return _of_axis(call, 0) if index == 0 else ()


def _gathered_elements(call: Call, _: int) -> Axes:
    return _of_axis(call, 0)


def _cut(call: Call, index: int) -> Axes:
    if index:
        return _every(call, index)
    axes = integers(call, 3) if call.optional(3) else range(len(numbers(call, 1)))
    return axes_of(call, list(axes), _rank(call, 0))


def _tiled(call: Call, index: int) -> Axes:
    if index:
        return _every(call, index)
    return [axis for axis, times in enumerate(numbers(call, 1)) if times != 1]


def _expanded(call: Call, index: int) -> Axes:
    return () if index == 0 else _every(call, index)


def _reduced(call: Call, index: int) -> Axes:
    return reduced_axes(call) if index == 0 else _every(call, index)


def _padded(call: Call, index: int) -> Axes:
    if index:
        return _every(call, index)
    pads, rank = integers(call, 1), _rank(call, 0)
    return [axis for axis in range(rank) if pads[axis] or pads[rank + axis]]


def _summed(call: Call, index: int) -> Axes:
    axis = call.graph.constant(call.node.inputs[1])
    return axes_of(call, [int(axis.reshape(-1)[0])], _rank(call, 0)) if index == 0 else _every(call, index)


def _product(call: Call, index: int) -> Axes:
    rank = _rank(call, index)
    return (rank - 1,) if index == 0 else range(max(rank - 2, 0), rank)


def _gemm(call: Call, index: int) -> Axes:
    if index:
        return _every(call, index)
    return (0,) if call.integer("transA") else (1,)


def _normalized(call: Call, index: int) -> Axes:
    rank = _rank(call, index)
    return range(call.integer("axis") % rank, rank) if index == 0 else _every(call, index)


def _resized(call: Call, index: int) -> Axes:
    return [taps.axis for taps in taps_of(call)] if index == 0 else _every(call, index)


def _recurrent(call: Call, index: int) -> Axes:
    """Samples are the second axis of the input and the states; lengths have them alone."""
    if index == 4:
        return ()
    return (0, 2) if index in (0, 5, 6) else _every(call, index)


_RULES: dict[str, Meets] = {
    **dict.fromkeys(("ArgMax", "ArgMin", "Concat", "LogSoftmax", "Softmax", "TopK"), _of_axis),
    **dict.fromkeys(("BatchNormalization", "ConvTranspose", "InstanceNormalization", "LRN"), _but_first),
    **dict.fromkeys(("Cast", "IsInf", "IsNaN", "Not"), _nowhere),
    **dict.fromkeys(("GRU", "LSTM", "RNN"), _recurrent),
    **dict.fromkeys(("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum"), _reduced),
    "CumSum": _summed,
    "Expand": _expanded,
    "Gather": _gathered,
    "GatherElements": _gathered_elements,
    "Gemm": _gemm,
    "LayerNormalization": _normalized,
    "MatMul": _product,
    "Pad": _padded,
    "Resize": _resized,
    "Slice": _cut,
    "Tile": _tiled,
}
