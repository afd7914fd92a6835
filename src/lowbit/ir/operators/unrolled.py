"""What a recurrent layer of a fixed number of steps is made of: products, sums and functions, step by step.

    all     = X W^T + bW                         of all steps at once, [n, steps, gates h]
    h[t]    = cell(all[:, t], h[t-1] R^T + bR)    see `lowbit.ir.operators.recurrent`

The products by ``R`` are fully connected layers that share one constant, so whoever knows layers knows them:
low bits come to the matrices of a recurrent layer in this form, and formats without such layers carry it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from lowbit.ir.graph import Graph
from lowbit.ir.operators.registry import Call, Parts, carried, has
from lowbit.ir.operators.traits import Trait

Floats = npt.NDArray[np.float32]
State = tuple[str | None, str | None]
"""Hidden state and cell state, ``[n, h]``; None is zeros."""

MOST = 1024
"""Steps of all directions that are written out: beyond, there would be tens of thousands of nodes."""


def why_whole(call: Call) -> str:
    """Return why a recurrent layer cannot be written out, or "" where it can."""
    steps, ways = call.input(0).shape[0], call.input(1).shape[0]
    if not isinstance(steps, int):
        return f"its steps, {steps}, are not a fixed number"
    if not 1 <= steps * int(ways) <= MOST:
        return f"it has {steps * int(ways)} steps, more than {MOST}"
    given = [call.optional(index) for index in (1, 2, 3, 7)]
    if any(value is not None and value.data is None for value in given):
        return "its weights are computed"
    return ""


@dataclass
class Direction:
    """One direction of a layer, and what adds its nodes.

    Attributes:
        add: adds nodes.
        recurrent: ``[gates, h, h]``.
        bias: of the state's products, ``[gates, h]``.
        peepholes: ``[3, h]``, or None.
        functions: operators of the gates, in ONNX's order f, g, h.
        clip: what goes into an activation; 0 for no bound.
        call: for attributes of one operator alone.
        stem: of what the direction's layers are called.
        matrices: names of weights and bias of the gates that were multiplied before.
    """

    add: Parts
    recurrent: Floats
    bias: Floats
    peepholes: Floats | None
    functions: list[str]
    clip: float
    call: Call
    stem: str
    matrices: dict[range, tuple[str, str]] = field(default_factory=dict)

    def recalled(self, state: str | None, gates: range) -> str:
        """Return what the state gives to some gates, with its bias: ``[n, gates h]``, or a constant."""
        if gates not in self.matrices:
            weights = self.recurrent[gates.start : gates.stop].reshape(-1, self.recurrent.shape[2])
            bias = self.bias[gates.start : gates.stop].reshape(-1)
            self.matrices[gates] = self.add.constant(weights), self.add.constant(bias)
        weights_name, bias_name = self.matrices[gates]
        if state is None:
            return bias_name
        called = f"{self.stem}{'candidate' if gates.start else 'recurrent'}"
        return self.add.node("Gemm", state, weights_name, bias_name, called=called, transB=1)

    def gates(self, values: str, gates: range) -> str:
        """Return some gates of ``[n, gates h]``."""
        width = self.recurrent.shape[2]
        ends = ([gates.start * width], [gates.stop * width], [1])
        return self.add.node("Slice", values, *(self.add.constant(end, "int64") for end in ends))

    def activated(self, which: int, gate: str) -> str:
        """Return a gate behind its activation."""
        if self.clip:
            ends = (self.add.constant(np.float32(sign * self.clip)) for sign in (-1, 1))
            gate = self.add.node("Clip", gate, *ends)
        return self.add.node(self.functions[which], gate)

    def looked(self, gate: str, memory: str | None, which: int) -> str:
        """Return a gate that sees the cell state through a peephole, where there is one."""
        if self.peepholes is None or memory is None:
            return gate
        return self.add.node("Add", gate, self.product(memory, self.add.constant(self.peepholes[which])))

    def product(self, left: str, right: str) -> str:
        """Return the product of two values, element by element."""
        return self.add.node("Mul", left, right)

    def rest(self, gate: str) -> str:
        """Return what a gate leaves."""
        return self.add.node("Sub", self.add.constant(np.float32(1)), gate)


Step = Callable[[Direction, str, State], State]


def rnn(way: Direction, x: str, state: State) -> State:
    """Return the states behind one step of an RNN."""
    return way.activated(0, way.add.node("Add", x, way.recalled(state[0], range(1)))), None


def gru(way: Direction, x: str, state: State) -> State:
    """Return the states behind one step of a GRU."""
    hidden, both, last = state[0], range(2), range(2, 3)
    sums = way.add.node("Add", way.gates(x, both), way.recalled(hidden, both))
    update, reset = (way.activated(0, way.gates(sums, range(gate, gate + 1))) for gate in both)
    if way.call.integer("linear_before_reset"):
        recalled = way.product(reset, way.recalled(hidden, last))
    else:
        recalled = way.recalled(None if hidden is None else way.product(reset, hidden), last)
    new = way.activated(1, way.add.node("Add", way.gates(x, last), recalled))
    made = way.product(way.rest(update), new)
    return made if hidden is None else way.add.node("Add", made, way.product(update, hidden)), None


def lstm(way: Direction, x: str, state: State) -> State:
    """Return the states behind one step of an LSTM."""
    hidden, memory = state
    sums = way.add.node("Add", x, way.recalled(hidden, range(4)))
    taken, given, kept, new = (way.gates(sums, range(gate, gate + 1)) for gate in range(4))
    taken = way.activated(0, way.looked(taken, memory, 0))
    made = way.product(taken, way.activated(1, new))
    if memory is not None:
        coupled = way.call.integer("input_forget")
        kept = way.rest(taken) if coupled else way.activated(0, way.looked(kept, memory, 2))
        made = way.add.node("Add", way.product(kept, memory), made)
    given = way.activated(0, way.looked(given, made, 1))
    return way.product(given, way.add.node(way.functions[2], made)), made


def unrolled(gates: int, step: Step, functions: Callable[[Call], list[str]]) -> Callable[[Call, Parts], str]:
    """Return what writes out a recurrent layer: the outputs that the node has, joined by a space.

    Args:
        gates: of the cell.
        step: one step of it.
        functions: returns the names of the activations of all directions.
    """

    def parts(call: Call, add: Parts) -> str:
        source = _samples_first(call, add)
        names, ways = functions(call), int(call.input(1).shape[0])
        each = len(names) // ways
        runs = [
            _run(call, add, source, at, gates, step, names[at * each : (at + 1) * each]) for at in range(ways)
        ]
        made = [_all_steps(add, [run[0] for run in runs])] if call.node.outputs[0] else [""]
        for which, name in enumerate(call.node.outputs[1:]):
            made.append(_last(add, [run[1][which] for run in runs]) if name else "")
        return " ".join(made)

    return parts


def _samples_first(call: Call, add: Parts) -> str:
    """Return the input ``[n, steps, inputs]``, as it was where an exporter turned it round for the layer."""
    order, name = (1, 0, 2), call.node.inputs[0]
    maker = call.graph.producer(name)
    if maker is not None and maker.op == "Transpose" and maker.attributes.get("perm") == order:
        return maker.inputs[0]
    return add.node("Transpose", name, perm=order)


def _run(
    call: Call, add: Parts, source: str, at: int, gates: int, step: Step, functions: list[str]
) -> tuple[list[str], State]:
    """Write one direction; return the hidden states of all steps, in order of time, and the last states."""
    (steps, *_), (*_, hidden) = call.input(0).shape, call.input(2).shape
    assert isinstance(steps, int) and isinstance(hidden, int)
    bias = _given(call, 3, at, (2, gates, hidden))
    bias = np.zeros((2, gates, hidden), np.float32) if bias is None else bias
    weights = np.ascontiguousarray(call.graph.constant(call.node.inputs[1])[at].T, np.float32)
    stem = "reverse/" if at else ""
    product = add.node("MatMul", source, add.constant(weights), called=f"{stem}input")
    inputs = add.node("Add", product, add.constant(bias[0].reshape(-1)))
    recurrent = np.asarray(call.graph.constant(call.node.inputs[2])[at], np.float32)
    way = Direction(
        add,
        recurrent.reshape(gates, hidden, hidden),
        bias[1],
        _given(call, 7, at, (3, hidden)),
        functions,
        call.real("clip"),
        call,
        stem,
    )
    state, lengths, given = (_first(call, add, 5, at), _first(call, add, 6, at)), _lengths(call, add), {}
    backwards = call.text("direction") == "reverse" or at == 1
    for time in range(steps)[:: -1 if backwards else 1]:
        x = add.node("Gather", inputs, add.constant(time, "int64"), axis=1)
        new = step(way, x, state)
        if lengths:
            now = add.constant(time, call.graph.value(call.node.inputs[4]).dtype)
            runs = add.node("Greater", lengths, now)
            state = (_chosen(add, runs, new[0], state[0]), _chosen(add, runs, new[1], state[1]))
            given[time] = str(_chosen(add, runs, new[0], None))
        else:
            state, given[time] = new, str(new[0])
    return [given[time] for time in range(steps)], state


def _chosen(add: Parts, runs: str, new: str | None, old: str | None) -> str | None:
    if new is None:
        return old
    return add.node("Where", runs, new, add.constant(np.float32(0)) if old is None else old)


def _given(call: Call, index: int, at: int, shape: tuple[int, ...]) -> Floats | None:
    value = call.optional(index)
    return None if value is None or value.data is None else value.data[at].reshape(shape).astype(np.float32)


def _first(call: Call, add: Parts, index: int, at: int) -> str | None:
    """Return the state before the first step, or None where it is zeros."""
    value = call.optional(index)
    if value is None or is_zero(call.graph, value.name):
        return None
    return add.node("Gather", value.name, add.constant(at, "int64"), axis=0)


def _lengths(call: Call, add: Parts) -> str:
    """Return the lengths of samples as a column, or "" where all have all steps."""
    value, steps = call.optional(4), call.input(0).shape[0]
    if value is None or (value.data is not None and set(value.data.tolist()) == {steps}):
        return ""
    return add.node("Unsqueeze", value.name, add.constant([1], "int64"))


def _all_steps(add: Parts, ways: list[list[str]]) -> str:
    """Return ``[steps, directions, n, h]``."""
    joined = [_stacked(add, states, 1) for states in ways]
    return add.node("Transpose", _stacked(add, joined, 2), perm=(1, 2, 0, 3))


def _last(add: Parts, states: list[str | None]) -> str:
    """Return ``[directions, n, h]``."""
    return add.node("Transpose", _stacked(add, [str(state) for state in states], 1), perm=(1, 0, 2))


def _stacked(add: Parts, values: list[str], axis: int) -> str:
    """Return values side by side along a new axis."""
    places = add.constant([axis], "int64")
    rows = [add.node("Unsqueeze", value, places) for value in values]
    return rows[0] if len(rows) == 1 else add.node("Concat", *rows, axis=axis)


def is_zero(graph: Graph, name: str) -> bool:
    """Return whether a value is known to be zeros, as exporters write states that nobody gives."""
    value, node = graph.value(name), graph.producer(name)
    if value.data is not None:
        return not value.data.any()
    return (
        node is not None and has(node, Trait.CARRIES) and all(is_zero(graph, each) for each in carried(node))
    )
