"""Recurrent layers over ``X`` [steps, n, inputs]: RNN, GRU and LSTM, in one or both directions.

    RNN    h' = f(x W + h R + b)
    GRU    z = f(x Wz + h Rz + bz)     r = f(x Wr + h Rr + br)
           c = g(x Wc + r (h Rc + bRc) + bWc), before ``linear_before_reset`` g(x Wc + (r h) Rc + bRc + bWc)
           h' = (1 - z) c + z h
    LSTM   i = f(x Wi + h Ri + pi C + bi)     F = f(x Wf + h Rf + pf C + bf), or 1 - i with ``input_forget``
           C' = F C + i g(x Wc + h Rc + bc)
           o = f(x Wo + h Ro + po C' + bo)    h' = o k(C')
    (Cho et al. 2014; Hochreiter, Schmidhuber 1997, with the peepholes of Gers, Schmidhuber 2000)

Rows of ``W`` [directions, gates h, inputs] and ``R`` [directions, gates h, h] stand in the order z r c, and
i o f c; ``B`` holds the biases of W, then those of R, ``P`` peepholes in the order i o f. What goes into an
activation is clipped to ±``clip`` where that is not 0. A sample whose length in ``sequence_lens`` is over
keeps its state and gives zeros. In float64, rounded once: Y [steps, directions, n, h], Y_h and Y_c
[directions, n, h].
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.ir.activations import ACTIVATIONS
from lowbit.ir.graph import Array, Node
from lowbit.ir.operators import unrolled
from lowbit.ir.operators.registry import Call, TensorType, register, require_float

Floats = npt.NDArray[np.float64]

FUNCTIONS: dict[str, Callable[[Floats], Floats]] = {
    "Relu": ACTIVATIONS["relu"].function,
    "Sigmoid": ACTIVATIONS["sigmoid"].function,
    "Softplus": ACTIVATIONS["softplus"].function,
    "Softsign": lambda x: x / (1 + np.abs(x)),
    "Tanh": ACTIVATIONS["tanh"].function,
    "HardSigmoid": lambda x: np.clip(0.2 * x + 0.5, 0, 1),
    "LeakyRelu": lambda x: np.where(x < 0, 0.01 * x, x),
    "Elu": lambda x: np.where(x < 0, np.expm1(np.minimum(x, 0)), x),
}
"""Activations of gates, with the parameters that ONNX gives them where a node says none."""

_NAMES: set[str] = set()


def is_recurrent(node: Node) -> bool:
    """Return whether a node is a recurrent layer."""
    return not node.domain and node.op in _NAMES


DIRECTIONS = ("forward", "reverse", "bidirectional")


@dataclass(frozen=True)
class Cell:
    """One direction of a layer, its weights for one step.

    Attributes:
        weights, recurrent: ``[gates, h, inputs]`` and ``[gates, h, h]``.
        bias: of the inputs and of the state, ``[2, gates, h]``.
        peepholes: ``[3, h]``, zeros where there are none.
        functions: of the gates, in ONNX's order f, g, h.
        clip: what goes into an activation; infinity for no bound.
        call: for attributes of one operator alone.
    """

    weights: Floats
    recurrent: Floats
    bias: Floats
    peepholes: Floats
    functions: tuple[Callable[[Floats], Floats], ...]
    clip: float
    call: Call

    def activated(self, which: int, gate: Floats) -> Floats:
        """Return a gate behind its activation."""
        return self.functions[which](np.clip(gate, -self.clip, self.clip))

    def read(self, x: Floats, gate: int) -> Floats:
        """Return what the input gives to a gate, with its bias."""
        return np.asarray(x @ self.weights[gate].T + self.bias[0, gate])

    def recalled(self, state: Floats, gate: int) -> Floats:
        """Return what the state gives to a gate, with its bias."""
        return np.asarray(state @ self.recurrent[gate].T + self.bias[1, gate])


Step = Callable[[Cell, Floats, Floats, Floats], tuple[Floats, Floats]]
"""From a cell, an input, a hidden state and a cell state to the next two."""


def _rnn(cell: Cell, x: Floats, state: Floats, memory: Floats) -> tuple[Floats, Floats]:
    return cell.activated(0, cell.read(x, 0) + cell.recalled(state, 0)), memory


def _gru(cell: Cell, x: Floats, state: Floats, memory: Floats) -> tuple[Floats, Floats]:
    update, reset = (cell.activated(0, cell.read(x, gate) + cell.recalled(state, gate)) for gate in (0, 1))
    if cell.call.integer("linear_before_reset"):
        new = cell.read(x, 2) + reset * cell.recalled(state, 2)
    else:
        new = cell.read(x, 2) + cell.recalled(reset * state, 2)
    return (1 - update) * cell.activated(1, new) + update * state, memory


def _lstm(cell: Cell, x: Floats, state: Floats, memory: Floats) -> tuple[Floats, Floats]:
    gates = [cell.read(x, gate) + cell.recalled(state, gate) for gate in range(4)]
    taken = cell.activated(0, gates[0] + cell.peepholes[0] * memory)
    kept = cell.activated(0, gates[2] + cell.peepholes[2] * memory)
    kept = 1 - taken if cell.call.integer("input_forget") else kept
    memory = kept * memory + taken * cell.activated(1, gates[3])
    given = cell.activated(0, gates[1] + cell.peepholes[1] * memory)
    return given * cell.functions[2](memory), memory


def _register(
    name: str,
    gates: int,
    step: Step,
    written: unrolled.Step,
    activations: str,
    inputs: str,
    **attributes: int,
) -> None:
    """Declare a recurrent layer by its gates, what one step does, how that is written, and activations."""
    states = 2 if gates == 4 else 1
    _NAMES.add(name)

    def infer(call: Call) -> list[TensorType]:
        require_float(call, 0, 1, 2, 3, *range(5, len(call.node.inputs)))
        _check(call, gates)
        steps, samples, _ = call.input(0).shape
        hidden, ways = call.input(2).shape[2], call.input(1).shape[0]
        last = TensorType("float32", (ways, samples, hidden))
        return [TensorType("float32", (steps, ways, samples, hidden)), *[last] * states]

    def evaluate(call: Call, x: Array, w: Array, r: Array, *rest: Array | None) -> list[Array]:
        cells = _cells(call, gates, w, r, rest)
        exact, lengths = x.astype(np.float64), _lengths(x, rest)
        firsts = [_given(rest, 2 + which, (len(cells), x.shape[1], r.shape[2])) for which in range(2)]
        runs = [
            _run(cell, step, exact, lengths, firsts[0][at], firsts[1][at], backwards=_backwards(call, at))
            for at, cell in enumerate(cells)
        ]
        outputs = [np.stack([run[0] for run in runs], axis=1)]
        outputs += [np.stack([run[1 + which] for run in runs]) for which in range(states)]
        return [array.astype(np.float32) for array in outputs]

    register(
        name,
        inputs,
        infer=infer,
        evaluate=evaluate,
        parts=unrolled.unrolled(gates, written, _functions),
        whole=unrolled.why_whole,
        hidden_size=0,
        direction="forward",
        activations=activations,
        clip=0.0,
        **attributes,  # type: ignore[arg-type]
    )


def _run(
    cell: Cell,
    step: Step,
    x: Floats,
    lengths: npt.NDArray[np.int64],
    state: Floats,
    memory: Floats,
    *,
    backwards: bool,
) -> tuple[Floats, Floats, Floats]:
    """Run one direction over all steps; a sample takes part in those below its length."""
    given = np.zeros((x.shape[0], *state.shape))
    for at in range(x.shape[0])[:: -1 if backwards else 1]:
        runs = (at < lengths)[:, None]
        new_state, new_memory = step(cell, x[at], state, memory)
        state, memory = np.where(runs, new_state, state), np.where(runs, new_memory, memory)
        given[at] = np.where(runs, new_state, 0)
    return given, state, memory


def _check(call: Call, gates: int) -> None:
    x, w, r = (call.input(index) for index in range(3))
    call.require(
        call.text("direction") in DIRECTIONS, "direction", ", ".join(DIRECTIONS), call.text("direction")
    )
    ways = 2 if call.text("direction") == "bidirectional" else 1
    fits = len(x.shape) == len(w.shape) == len(r.shape) == 3 and isinstance(r.shape[2], int)
    hidden = r.shape[2] if fits else 0
    assert isinstance(hidden, int)
    wanted = ((ways, gates * hidden, x.shape[-1]), (ways, gates * hidden, hidden))
    if not fits or (w.shape, r.shape) != wanted:
        call.fail("weights", f"{wanted} for {call.described(0)}", f"{w.shape}, {r.shape}")
    shapes = {3: (ways, 2 * gates * hidden), 4: (x.shape[1],), 5: (ways, x.shape[1], hidden)}
    shapes |= {6: (ways, x.shape[1], hidden), 7: (ways, 3 * hidden)}
    for index, shape in shapes.items():
        value = call.optional(index)
        if value is not None and value.shape != shape:
            call.fail(call.operator.inputs[index], str(shape), call.described(index))
    _functions(call)


def _functions(call: Call) -> list[str]:
    """Return the names of the activations of all directions."""
    default = str(call.operator.attributes["activations"]).split()
    ways = 2 if call.text("direction") == "bidirectional" else 1
    names = call.text("activations").split()
    names = names * ways if len(names) == len(default) else names
    unknown = [name for name in names if name not in FUNCTIONS]
    if unknown or len(names) != ways * len(default):
        call.refuse("activations", f"{len(default)} of {', '.join(FUNCTIONS)}", " ".join(names))
    return names


def _cells(call: Call, gates: int, w: Array, r: Array, rest: Sequence[Array | None]) -> list[Cell]:
    hidden, names, each = r.shape[2], _functions(call), len(_functions(call)) // len(w)
    bias = _given(rest, 0, (len(w), 2 * gates * hidden))
    peepholes = _given(rest, 4, (len(w), 3 * hidden))
    return [
        Cell(
            np.asarray(w[at], np.float64).reshape(gates, hidden, -1),
            np.asarray(r[at], np.float64).reshape(gates, hidden, hidden),
            bias[at].reshape(2, gates, hidden),
            peepholes[at].reshape(3, hidden),
            tuple(FUNCTIONS[name] for name in names[at * each : (at + 1) * each]),
            call.real("clip") or np.inf,
            call,
        )
        for at in range(len(w))
    ]


def _given(rest: Sequence[Array | None], index: int, shape: tuple[int, ...]) -> Floats:
    """Return an optional input behind the weights, or zeros."""
    array: Any = rest[index] if index < len(rest) else None
    return np.zeros(shape) if array is None else array.astype(np.float64)


def _lengths(x: Array, rest: Sequence[Array | None]) -> npt.NDArray[np.int64]:
    given = rest[1] if len(rest) > 1 else None
    return np.full(x.shape[1], x.shape[0]) if given is None else given.astype(np.int64)


def _backwards(call: Call, at: int) -> bool:
    return call.text("direction") == "reverse" or at == 1


_INPUTS = "X W R B? sequence_lens? initial_h?"
_register("RNN", 1, _rnn, unrolled.rnn, "Tanh", _INPUTS)
_register("GRU", 3, _gru, unrolled.gru, "Sigmoid Tanh", _INPUTS, linear_before_reset=0)
_register("LSTM", 4, _lstm, unrolled.lstm, "Sigmoid Tanh Tanh", f"{_INPUTS} initial_c? P?", input_forget=0)
