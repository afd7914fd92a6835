"""Choices by a condition, and rows by computed places."""

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from lowbit.ir import Node
from lowbit.ir.infer import call_of
from lowbit.program.movement import move
from lowbit.program.refusals import as_reals
from lowbit.program.steps import Select, TakeRows

if TYPE_CHECKING:
    from lowbit.program.planner import Planner


def lower_where(planner: "Planner", node: Node) -> None:
    """Add the step that takes from one value or another."""
    planner.put(node, Select(), tuple(_operand(planner, node, name) for name in node.inputs))


def _operand(planner: "Planner", node: Node, name: str) -> int:
    """Return the number of an operand; what has only leading axes of one is repeated by the step itself."""
    lengths = planner.sample_shape(node.outputs[0])
    if planner.computed(name):
        own = planner.sample_shape(name)
        while own and own[0] == 1:
            own = own[1:]
        same_rank = len(planner.shape(name)) == len(planner.shape(node.outputs[0]))
        if own == lengths[len(lengths) - len(own) :] and (same_rank or not planner.batched):
            return planner.flat(name)
    elif planner.graph.constant(name).size == 1:
        return planner.constant(planner.graph.constant(name), name)
    return planner.spread(node, name)


def lower_take(planner: "Planner", node: Node) -> None:
    """Add the step that takes rows along an axis: by computed places, or by constant ones as what moves."""
    source, places = node.inputs
    if not planner.computed(places):
        move(planner, node)
        return
    axis = call_of(planner.graph, node).integer("axis")
    if planner.computed(source):
        axis, shape = planner.axis(node, source, axis), planner.sample_shape(source)
        if planner.batched:
            planner.refuse(node, "rows of each sample by places of each sample")
        table, read = np.zeros(0, np.float32), (planner.flat(source), planner.flat(places))
    else:
        data = planner.graph.constant(source)
        axis, shape = axis % data.ndim, data.shape
        if planner.batched and axis != 0:
            planner.refuse(node, "what mixes samples")
        table = as_reals(data, f"{planner.graph.name}/{source}").reshape(-1)
        read = (planner.flat(places),)  # type: ignore[assignment]
    view = (prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :]))
    planner.put(node, TakeRows(*view, table), read)
