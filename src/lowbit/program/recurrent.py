"""Recurrent layers: one step for a whole sequence, and its parts."""

from math import prod
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lowbit.ir import Node
from lowbit.ir.infer import call_of
from lowbit.program.steps import Cell, Function, Gather, Recurrent

if TYPE_CHECKING:
    from lowbit.program.planner import Planner

Floats = npt.NDArray[np.float32]


def lower_recurrent(planner: "Planner", node: Node) -> None:
    """Add the step of an LSTM, a GRU or an RNN, and those that take its outputs apart."""
    call, inputs = call_of(planner.graph, node), [*node.inputs, *[""] * (8 - len(node.inputs))]
    source, weights, recurrent, bias, lengths, state, cell, peepholes = inputs
    planner.axis(node, source, 0)
    length, batch, _ = planner.sample_shape(source)
    if planner.batched or call.integer("layout"):
        planner.refuse(node, "a recurrent layer whose first axis is the batch")
    matrices = [_constant(planner, node, name) for name in (weights, recurrent)]
    functions = _functions(planner, node)
    step = Recurrent(
        _CELLS[node.op],
        call.text("direction"),  # type: ignore[arg-type]
        length,
        batch,
        *(matrix.reshape(-1, matrix.shape[-1]) for matrix in matrices),
        *(_constant(planner, node, name).reshape(-1) for name in (bias, peepholes)),
        *functions,
        bound=call.real("clip"),
        coupled=node.op == "LSTM" and bool(call.integer("input_forget")),
        reset_after=node.op == "GRU" and bool(call.integer("linear_before_reset")),
        has_lengths=bool(lengths),
        has_state=bool(state),
        has_cell=bool(cell),
    )
    read = [planner.flat(name) for name in (source, lengths, state, cell) if name]
    number, first = planner.inner(step, tuple(read)), 0
    states = prod(matrices[0].shape[:1]) * batch * matrices[1].shape[-1]
    for index, count in enumerate((length * states, states, states)[: len(node.outputs)]):
        if node.outputs[index]:
            places = np.arange(first, first + count, dtype=np.uint32)
            planner.put(node, Gather(places, count), (number,), output=index)
        first += count


def _constant(planner: "Planner", node: Node, name: str) -> Floats:
    if not name:
        return np.zeros(0, np.float32)
    if planner.computed(name):
        planner.refuse(node, "a recurrent layer by computed weights")
    return np.asarray(planner.graph.constant(name), np.float32)


def _functions(planner: "Planner", node: Node) -> tuple[Function, Function, Function]:
    """Return those of gates, candidates and outputs, alike for both directions."""
    from lowbit.ir.operators.recurrent import activations_of

    call = call_of(planner.graph, node)
    rows = {tuple(name.lower() for name in row) for row in activations_of(call)}
    known = {name for row in rows for name in row} <= set(_FUNCTIONS)
    if len(rows) != 1 or not known:
        planner.refuse(node, "a recurrent layer with these activations")
    names = [_FUNCTIONS[name] for name in rows.pop()]
    return tuple([*names, "tanh", "tanh"][:3])  # type: ignore[return-value]


_CELLS: dict[str, Cell] = {"RNN": "rnn", "GRU": "gru", "LSTM": "lstm"}
_FUNCTIONS: dict[str, Function] = {"sigmoid": "sigmoid", "tanh": "tanh", "relu": "relu"}
