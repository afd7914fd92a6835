"""Steps along axes: reductions, softmax, running sums, extremes; on maps as they lie where possible."""

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from lowbit.ir import Node
from lowbit.ir.infer import call_of
from lowbit.ir.operators.reductions import reduced_axes
from lowbit.ir.operators.resizing import taps_of
from lowbit.program.steps import (
    Accumulate,
    FindExtreme,
    Gather,
    Reduce,
    Reduction,
    Resample,
    Softmax,
    SortExtremes,
)

if TYPE_CHECKING:
    from lowbit.program.planner import Planner


@dataclass(frozen=True)
class View:
    """A value seen as ``[outer, axis, inner]``.

    Attributes:
        number: of the value as it lies.
        lengths: the three.
        on_map: whether it lies as a map.
    """

    number: int
    lengths: tuple[int, int, int]
    on_map: bool


def view_of(planner: "Planner", name: str, first: int, last: int) -> View:
    """Return a value laid flat, its axes from `first` to `last` of a sample taken as one."""
    lengths = planner.sample_shape(name)
    parts = (lengths[:first], lengths[first : last + 1], lengths[last + 1 :])
    outer, axis, inner = (prod(part) for part in parts)
    return View(planner.flat(name), (outer, axis, inner), on_map=False)


def map_view(planner: "Planner", name: str, axes: tuple[int, ...]) -> View | None:
    """Return a map as it lies, channels innermost, where these axes of a sample follow each other there."""
    lengths = planner.sample_shape(name)
    if name not in planner.maps or planner.lengths[name] != lengths[-3:] or len(lengths) < 3:
        return None
    channels, height, width = lengths[-3:]
    ordered, rank = (height, width, channels), len(lengths)
    places = sorted({rank - 3: 2, rank - 2: 0, rank - 1: 1}.get(axis, -1) for axis in axes)
    places = [place for place in places if place >= 0]  # what is before a map has length one
    if not places or places != list(range(places[0], places[-1] + 1)):
        return None
    parts = (ordered[: places[0]], ordered[places[0] : places[-1] + 1], ordered[places[-1] + 1 :])
    outer, axis, inner = (prod(part) for part in parts)
    return View(planner.maps[name], (outer, axis, inner), on_map=True)


def lower_softmax(planner: "Planner", node: Node) -> None:
    """Add the step of a softmax, or of its logarithm."""
    source = node.inputs[0]
    axis = planner.axis(node, source, call_of(planner.graph, node).integer("axis"))
    view = map_view(planner, source, (axis,)) or view_of(planner, source, axis, axis)
    planner.put(node, Softmax(*view.lengths, node.op == "LogSoftmax"), (view.number,), on_map=view.on_map)


def lower_reduction(planner: "Planner", node: Node) -> None:
    """Add the steps of a reduction: one for each run of axes that follow each other, from the last on."""
    source, shape = node.inputs[0], planner.sample_shape(node.inputs[0])
    axes = [planner.axis(node, source, axis) for axis in reduced_axes(call_of(planner.graph, node))]
    if not axes:
        planner.alias(node)
        return
    reduction = REDUCTIONS[node.op]
    view = map_view(planner, source, tuple(axes))
    if view is not None and _order_stays(shape, axes):
        planner.put(node, Reduce(*view.lengths, reduction), (view.number,))
        return
    number, left = planner.flat(source), list(shape)
    for run in reversed(_runs(axes)):
        outer, axis, inner = (
            prod(part) for part in (left[: run[0]], left[run[0] : run[-1] + 1], left[run[-1] + 1 :])
        )
        left[run[0] : run[-1] + 1] = [1] * len(run)
        step = Reduce(outer, axis, inner, reduction)
        if run == _runs(axes)[0]:
            planner.put(node, step, (number,))
        else:
            number = planner.inner(step, (number,))
        reduction = _AGAIN.get(reduction, reduction)


def _order_stays(shape: tuple[int, ...], axes: list[int]) -> bool:
    """Return whether what a reduction leaves of a map lies in the order of its shape."""
    rank = len(shape)
    channels, pixels = rank - 3 in axes, {rank - 2, rank - 1} <= set(axes)
    return channels or pixels or shape[rank - 3] == 1


def _runs(axes: list[int]) -> list[list[int]]:
    runs: list[list[int]] = []
    for axis in sorted(axes):
        if runs and runs[-1][-1] == axis - 1:
            runs[-1].append(axis)
        else:
            runs.append([axis])
    return runs


def lower_place(planner: "Planner", node: Node) -> None:
    """Add the step that finds an extreme."""
    call, source = call_of(planner.graph, node), node.inputs[0]
    axis = planner.axis(node, source, call.integer("axis"))
    view = view_of(planner, source, axis, axis)
    last = bool(call.integer("select_last_index"))
    planner.put(node, FindExtreme(*view.lengths, node.op == "ArgMax", last), (view.number,))


def lower_top(planner: "Planner", node: Node) -> None:
    """Add the steps of the largest or smallest elements and their places."""
    call, source = call_of(planner.graph, node), node.inputs[0]
    axis = planner.axis(node, source, call.integer("axis"))
    view = view_of(planner, source, axis, axis)
    count = int(np.asarray(planner.graph.constant(node.inputs[1])).reshape(-1)[0])
    step = SortExtremes(*view.lengths, count, bool(call.integer("largest")))
    number, size = planner.inner(step, (view.number,)), view.lengths[0] * count * view.lengths[2]
    for index, name in enumerate(node.outputs):
        if name:
            planner.put(node, _part(index * size, size), (number,), output=index)


def _part(first: int, count: int) -> Gather:
    return Gather(np.arange(first, first + count, dtype=np.uint32), count)


def lower_running_sum(planner: "Planner", node: Node) -> None:
    """Add the step of a cumulative sum."""
    call, source = call_of(planner.graph, node), node.inputs[0]
    given = int(np.asarray(planner.graph.constant(node.inputs[1])).reshape(-1)[0])
    axis = planner.axis(node, source, given)
    view = view_of(planner, source, axis, axis)
    exclusive, backwards = bool(call.integer("exclusive")), bool(call.integer("reverse"))
    planner.put(node, Accumulate(*view.lengths, exclusive, backwards), (view.number,))


def lower_resize(planner: "Planner", node: Node) -> None:
    """Add a step for each axis that is resized; a map stays one."""
    call, source = call_of(planner.graph, node), node.inputs[0]
    taps = taps_of(call)
    if not taps:
        planner.alias(node)
        return
    on_map = source in planner.maps and planner.lengths[source] == planner.sample_shape(source)[-3:]
    number = planner.maps[source] if on_map else planner.flat(source)
    lengths = list(planner.sample_shape(source))
    for tap in taps:
        axis = planner.axis(node, source, tap.axis)
        after = [*lengths[:axis], tap.places.shape[1], *lengths[axis + 1 :]]
        order = _as_it_lies(len(lengths)) if on_map else list(range(len(lengths)))
        at = order.index(axis)
        view = (
            prod(lengths[n] for n in order[:at]),
            lengths[axis],
            prod(lengths[n] for n in order[at + 1 :]),
        )
        size = tuple(after[-3:]) if on_map else (prod(after),)
        step = Resample(*view, tap.places.T.astype(np.uint32), tap.weights.T.astype(np.float32), *size)
        lengths = after
        if tap is taps[-1]:
            planner.put(node, step, (number,), on_map=on_map)
        else:
            number = planner.inner(step, (number,))


def _as_it_lies(rank: int) -> list[int]:
    """Return the axes of a sample in the order in which a map has them, channels innermost."""
    return [*range(rank - 3), rank - 2, rank - 1, rank - 3]


REDUCTIONS: dict[str, Reduction] = {
    "ReduceSum": "sum",
    "ReduceMean": "mean",
    "ReduceMax": "maximum",
    "ReduceMin": "minimum",
    "ReduceProd": "product",
    "ReduceSumSquare": "sum_of_squares",
    "ReduceL1": "absolute_sum",
}

# What joins the results of one step in the next.
_AGAIN: dict[Reduction, Reduction] = {"sum_of_squares": "sum", "absolute_sum": "sum"}
