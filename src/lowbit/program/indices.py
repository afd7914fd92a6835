"""Elements that are taken from, and written to, places that are computed."""

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lowbit.ir import Node
from lowbit.ir.infer import call_of
from lowbit.program.movement import move
from lowbit.program.steps import PutElements, TakeElements, Writing

if TYPE_CHECKING:
    from lowbit.program.planner import Planner

Numbers = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class _Runs:
    """Where runs of elements begin: see `TakeElements`."""

    first: Numbers
    lengths: Numbers
    strides: Numbers
    inner: int


def lower_take_elements(planner: "Planner", node: Node) -> None:
    """Add the step that takes one element for each index along an axis, at the index' own other places."""
    if not planner.computed(node.inputs[1]):
        move(planner, node)
        return
    runs = _along_axis(planner, node)
    planner.put(node, TakeElements(runs.first, runs.lengths, runs.strides, runs.inner), _read(planner, node))


def lower_take_parts(planner: "Planner", node: Node) -> None:
    """Add the step that takes the part behind the first axes that each row of indices names."""
    if not planner.computed(node.inputs[1]):
        move(planner, node)
        return
    runs = _by_rows(planner, node, call_of(planner.graph, node).integer("batch_dims"))
    planner.put(node, TakeElements(runs.first, runs.lengths, runs.strides, runs.inner), _read(planner, node))


def lower_put_elements(planner: "Planner", node: Node) -> None:
    """Add the step that writes one element for each index along an axis."""
    _put(planner, node, _along_axis(planner, node))


def lower_put_parts(planner: "Planner", node: Node) -> None:
    """Add the step that writes the part that each row of indices names."""
    _put(planner, node, _by_rows(planner, node, 0))


def _put(planner: "Planner", node: Node, runs: _Runs) -> None:
    writing = _WRITINGS[str(call_of(planner.graph, node).attribute("reduction"))]
    step = PutElements(runs.first, runs.lengths, runs.strides, runs.inner, writing)
    planner.put(node, step, _read(planner, node))


def _read(planner: "Planner", node: Node) -> tuple[int, ...]:
    return tuple(planner.operand(node, name) for name in node.inputs)


def _along_axis(planner: "Planner", node: Node) -> _Runs:
    axis = planner.axis(node, node.inputs[0], call_of(planner.graph, node).integer("axis"))
    shape, index = (planner.sample_shape(name) for name in node.inputs[:2])
    strides = _strides(shape)
    places = np.indices(index, sparse=True)
    others = (place * strides[n] for n, place in enumerate(places) if n != axis)
    first = np.broadcast_to(sum(others, np.zeros((), np.intp)), index)
    return _runs(first, [shape[axis]], [strides[axis]], 1)


def _by_rows(planner: "Planner", node: Node, batch: int) -> _Runs:
    """Return the runs of indices ``[batches, ..., depth]`` into ``[batches, lengths, inner]``."""
    index = planner.sample_shape(node.inputs[1])
    depth = index[-1]
    axes = [planner.axis(node, node.inputs[0], batch + k) for k in range(depth)]
    shape = planner.sample_shape(node.inputs[0])
    strides, behind = _strides(shape), axes[-1] + 1
    places = np.indices(index[: axes[0]], sparse=True)
    rows = sum((place * strides[n] for n, place in enumerate(places)), np.zeros((), np.intp))
    first = np.broadcast_to(rows.reshape(rows.shape + (1,) * (len(index) - 1 - rows.ndim)), index[:-1])
    return _runs(
        first, [shape[axis] for axis in axes], [strides[axis] for axis in axes], prod(shape[behind:])
    )


def _runs(first: npt.NDArray[np.intp], lengths: list[int], strides: list[int], inner: int) -> _Runs:
    flat = np.ascontiguousarray(first.reshape(-1), np.uint32)
    return _Runs(flat, np.array(lengths, np.uint32), np.array(strides, np.uint32), inner)


def _strides(shape: tuple[int, ...]) -> list[int]:
    return [prod(shape[axis + 1 :]) for axis in range(len(shape))]


_WRITINGS: dict[str, Writing] = {
    "none": "replace",
    "add": "add",
    "mul": "multiply",
    "max": "maximum",
    "min": "minimum",
}
