"""Recurrent layers of TFLite, as those of the graph.

    UNIDIRECTIONAL_SEQUENCE_LSTM   x, weights of the gates i f c o, recurrent ones, peepholes i f o, biases
                                   i f c o, projection and its bias, hidden and cell state, …
    UNIDIRECTIONAL_SEQUENCE_RNN    x, weights, recurrent weights, bias, hidden state

The states are variables: TFLite keeps them from call to call until they are reset. Here every run begins with
zeros, as the first one there does, and a note says so. Without weights of the input gate it is one less the
forget gate: sigmoid(-z) = 1 - sigmoid(z).
"""

import numpy as np
import numpy.typing as npt

from lowbit.formats.circle.file_tensors import unsupported
from lowbit.formats.circle.foreign_options import SequenceRNNOptions, UnidirectionalSequenceLSTMOptions
from lowbit.formats.circle.functions import operand
from lowbit.formats.circle.importer import Importer, options_of
from lowbit.formats.circle.schema import Operator
from lowbit.formats.circle.structure import require
from lowbit.ir.graph import Attribute

_FUNCTIONS = {1: "Relu", 4: "Tanh", 6: "Sigmoid"}
"""Activations of gates by their number in the format."""

_ORDER = (0, 3, 1, 2)
"""Where the gates i o f c of the graph are among those of the file, i f c o."""

_NOTE = "states of recurrent layers begin at zero in every run; TFLite keeps them until they are reset"

Floats = npt.NDArray[np.float32]


def lstm(importer: Importer, operator: Operator, place: str) -> None:
    """UNIDIRECTIONAL_SEQUENCE_LSTM."""
    options = options_of(operator, UnidirectionalSequenceLSTMOptions())
    inputs = (*operator.inputs, *[-1] * (24 - len(operator.inputs)))
    more = [at for at in (16, 17, *range(20, 24)) if inputs[at] >= 0]
    if more or options.cell_clip or options.proj_clip or options.diagonal_recurrent_tensors:
        found = "projection or layer normalization" if more else "a clip or diagonal weights"
        raise unsupported("an LSTM of this kind", place, "no projection, normalization and clips", found)
    weights, recurrent, biases = (
        [_known(importer, inputs[first + gate], place) for gate in range(4)] for first in (1, 5, 12)
    )
    hidden = (recurrent[1] if recurrent[1] is not None else np.zeros((0, 0), np.float32)).shape[0]
    w, r = _gates(weights, place), _gates(recurrent, place)
    b = _gates([np.zeros(hidden, np.float32) if g is None and k else g for k, g in enumerate(biases)], place)
    rows = [np.concatenate([rows[gate] for gate in _ORDER])[None] for rows in (w, r, b)]
    rows[2] = np.concatenate([rows[2], np.zeros_like(rows[2])], axis=1)
    stem = importer.name(operator.outputs[0])
    operands = [importer.add_constant(f"{stem}_{what}", row) for what, row in zip("WRB", rows, strict=True)]
    peepholes = [_known(importer, index, place) for index in inputs[9:12]]
    if any(each is not None for each in peepholes):
        taken, kept, out = (np.zeros(hidden, np.float32) if p is None else p for p in peepholes)
        if inputs[1] < 0:
            taken = -kept
        whole = np.concatenate([taken, out, kept])[None]
        operands += ["", "", "", importer.add_constant(f"{stem}_P", whole)]
    names = " ".join(("Sigmoid", *[_function(options.fused_activation_function, place)] * 2))
    attributes: dict[str, Attribute] = {"hidden_size": hidden, "activations": names}
    _append(importer, operator, "LSTM", operands, attributes, options.time_major, place)


def rnn(importer: Importer, operator: Operator, place: str) -> None:
    """UNIDIRECTIONAL_SEQUENCE_RNN."""
    options = options_of(operator, SequenceRNNOptions())
    w, r, b = (_known(importer, index, place) for index in operator.inputs[1:4])
    if w is None or r is None or b is None:
        raise unsupported("weights are computed", place, "constants", "tensors")
    require(b.ndim == 1 and w.ndim == r.ndim == 2, "weights have the wrong rank", place, "2", w.shape)
    bias = np.concatenate([b, np.zeros_like(b)])[None]
    stem = importer.name(operator.outputs[0])
    operands = [
        importer.add_constant(f"{stem}_{what}", row)
        for what, row in zip("WRB", (w[None], r[None], bias), strict=True)
    ]
    attributes: dict[str, Attribute] = {
        "hidden_size": len(b),
        "activations": _function(options.fused_activation_function, place),
    }
    _append(importer, operator, "RNN", operands, attributes, options.time_major, place)


def _append(
    importer: Importer,
    operator: Operator,
    op: str,
    operands: list[str],
    attributes: dict[str, Attribute],
    time_major: bool,
    place: str,
) -> None:
    """Append a layer over [steps, n, inputs] and what gives its hidden states in the file's order of axes."""
    source, stem = operand(importer, operator.inputs[0], False, place), importer.name(operator.outputs[0])
    if not time_major:
        source = importer.insert("Transpose", (source,), stem, perm=(1, 0, 2))
    states = importer.insert(op, (source, *operands), stem, attributes=attributes)
    row = importer.integers([1], f"{stem}_axis")
    states = importer.insert("Squeeze", (states, row), stem)
    if time_major:
        importer.compute("Identity", (states,), operator.outputs[0])
    else:
        importer.compute("Transpose", (states,), operator.outputs[0], attributes={"perm": (1, 0, 2)})
    importer.note(_NOTE)


def _known(importer: Importer, index: int, place: str) -> Floats | None:
    """Return a constant as floats, None where it is absent."""
    if index < 0:
        return None
    if importer.constant(index) is None:
        raise unsupported("weights are computed", place, "constants", importer.tensor(index).name[:80])
    return importer.decoded(index)


def _gates(gates: list[Floats | None], place: str) -> list[Floats]:
    """Return rows of all four gates; an input gate that is absent is the forget gate turned round."""
    forget = gates[1]
    if forget is None:
        raise unsupported("gates of an LSTM are absent", place, "weights of at least three gates", "none")
    made = [-forget if gate is None and at == 0 else gate for at, gate in enumerate(gates)]
    rows = [gate for gate in made if gate is not None and gate.shape == forget.shape]
    require(len(rows) == 4, "gates do not fit each other", place, forget.shape, len(rows))
    return rows


def _function(code: int, place: str) -> str:
    if code not in _FUNCTIONS:
        raise unsupported("an activation of gates", place, ", ".join(_FUNCTIONS.values()), f"code {code}")
    return _FUNCTIONS[code]
