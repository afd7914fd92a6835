"""Steps of operators that only move elements: what one does to the places of elements says what it does.

An operator is evaluated once on the places of its elements, as numbers. Whatever it moves, repeats, leaves
out or fills so becomes one `Gather` for each of its outputs.
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lowbit.ir import Node
from lowbit.ir.graph import Array
from lowbit.ir.infer import call_of
from lowbit.ir.operators import Call
from lowbit.ir.reference import evaluate_node

if TYPE_CHECKING:
    from lowbit.program.planner import Planner

Places = npt.NDArray[np.int64]

_LOOKED_AT = 2  # samples, of an open batch
_FILLS = "constant_value?"  # how operators that fill call what they fill with


def move(planner: "Planner", node: Node) -> None:
    """Add the steps of an operator that moves elements to places that its constants say."""
    call = call_of(planner.graph, node)
    data = node.inputs if call.operator.inputs[0].endswith("*") else node.inputs[:1]
    constants = dict.fromkeys(filter(None, node.inputs[len(data) :]))
    if any(planner.computed(name) for name in constants):
        planner.refuse(node, "places that are computed")
    filler = _filler(call)
    arrays = {name: planner.graph.constant(name) for name in constants}
    fill = float(arrays[filler].reshape(-1)[0]) if filler else 0.0
    if filler:
        arrays[filler] = np.zeros_like(arrays[filler], np.int64)
    sources = tuple(dict.fromkeys(data))
    number, places = planner.placed(node, sources)
    for output, moved in enumerate(_moved(planner, node, arrays, dict(zip(sources, places, strict=True)))):
        planner.add_gathered(node, number, moved, output=output, fill=fill)


def _filler(call: Call) -> str:
    """Return the input with the number that an operator fills with, if it has one."""
    names = call.operator.inputs
    if _FILLS not in names or len(call.node.inputs) <= names.index(_FILLS):
        return ""
    return call.node.inputs[names.index(_FILLS)]


def _moved(
    planner: "Planner", node: Node, constants: dict[str, Array], sources: dict[str, Places]
) -> list[Places]:
    """Return where the elements of one row of every output come from; -1 is what is filled."""
    if not planner.batched:
        given = {name: places + 1 for name, places in sources.items()}  # zero is what is filled
        return [
            np.asarray(array, np.int64) - 1
            for array in evaluate_node(planner.graph, node, {**constants, **given})
        ]
    batch = planner.shape(next(iter(sources)))[0]
    rows = range(batch if isinstance(batch, int) else _LOOKED_AT)
    total = sum(places.size for places in sources.values())
    given = {name: np.stack([places + 1 + row * total for row in rows]) for name, places in sources.items()}
    made = evaluate_node(planner.graph, node, {**constants, **given})
    return [_of_first(planner, node, np.asarray(array, np.int64), total) - 1 for array in made]


def _of_first(planner: "Planner", node: Node, array: Places, total: int) -> Places:
    """Return the places of the first sample, if every sample does the same with its own elements."""
    first: Places = array[0]
    for row, places in enumerate(array):
        if (first > total).any() or not np.array_equal(places, np.where(first > 0, first + row * total, 0)):
            planner.refuse(node, "what mixes samples")
    return first
