"""Recurrent layers: one step for a whole sequence, and its parts."""

from math import prod
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lowbit.ir import Node
from lowbit.ir.infer import call_of
from lowbit.program.steps import Cell, Direction, Function, Gather, Recurrent

if TYPE_CHECKING:
    from lowbit.program.planner import Planner

Floats = npt.NDArray[np.float32]


def lower_recurrent(planner: "Planner", node: Node) -> None:
    """Add the step of an LSTM, a GRU or an RNN, and those that take its outputs apart."""
    call, inputs = call_of(planner.graph, node), [*node.inputs, *[""] * (8 - len(node.inputs))]
    source, weights, recurrent, bias, lengths, state, cell, peepholes = inputs
    if planner.batched:
        planner.refuse(node, "a recurrent layer whose first axis is the batch")
    length, batch, _ = planner.sample_shape(source)
    planner.axis(node, source, 0)
    matrices = [_constant(planner, node, name) for name in (weights, recurrent)]
    gate, candidate, output = _functions(planner, node)
    step = Recurrent(
        cell=CELLS[node.op],
        direction=DIRECTIONS[call.text("direction")],
        length=length,
        batch=batch,
        weights=matrices[0].reshape(-1, matrices[0].shape[-1]),
        recurrent=matrices[1].reshape(-1, matrices[1].shape[-1]),
        bias=_constant(planner, node, bias).reshape(-1),
        peepholes=_constant(planner, node, peepholes).reshape(-1),
        gate=gate,
        candidate=candidate,
        output=output,
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
    call = call_of(planner.graph, node)
    each, names = len(str(call.operator.attributes["activations"]).split()), call.text("activations").split()
    rows = {tuple(names[first : first + each]) for first in range(0, len(names), each)}
    if len(rows) != 1 or not set(names) <= set(_FUNCTIONS):
        planner.refuse(node, "a recurrent layer with these activations")
    gate, candidate, output = [*(_FUNCTIONS[name] for name in rows.pop()), "tanh", "tanh"][:3]
    return gate, candidate, output


DIRECTIONS: dict[str, Direction] = {
    "forward": "forward",
    "reverse": "reverse",
    "bidirectional": "bidirectional",
}
CELLS: dict[str, Cell] = {"RNN": "rnn", "GRU": "gru", "LSTM": "lstm"}
_FUNCTIONS: dict[str, Function] = {"Sigmoid": "sigmoid", "Tanh": "tanh", "Relu": "relu", "Elu": "elu"}
