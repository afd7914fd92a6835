"""`LSTM`, `GRU` and `RNN` with quantized weights and inputs: of every layer and direction, two parts.

    ih    reads all steps of the sequence at once
    hh    reads the state, step by step, with one quantizer for all steps

They are unrolled, as quantization after training unrolls them, so the engine runs them by layers.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from lowbit.errors import UnsupportedError
from lowbit.nn.opaque import is_new, outside
from lowbit.nn.parts import Parts, Step

State = tuple[Tensor, ...]


class _Recurrent(Parts, nn.RNNBase):
    states = 1

    def rows(self) -> dict[str, Tensor]:
        """Return the weights of every part by its name."""
        if self.proj_size:
            raise UnsupportedError("a projection of the state has no low-bit form", expected="proj_size=0")
        return {
            f"{kind}{end}": getattr(self, f"weight_{kind}{end}")
            for end in self._ends()
            for kind in ("ih_", "hh_")
        }

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        """Return all outputs and the last state, as the module of torch does.

        Raises:
            UnsupportedError: a packed sequence.
        """
        if not isinstance(input, Tensor):
            raise UnsupportedError("low-bit recurrent layers take tensors", found=type(input).__name__)
        single = input.ndim == 2
        x = input[None] if single else input if self.batch_first else input.transpose(0, 1)
        given = self._given(hx, single)
        place, last = self.next_place(), list[State]()
        for layer in range(self.num_layers):
            ends = self._ends_of(layer)
            made = []
            for number, end in enumerate(ends):
                begin = tuple(each[layer * len(ends) + number] for each in given) if given else None
                out, state = self._run(x, end, number == 1, begin, place)
                made.append(out)
                last.append(state)
            x = made[0] if len(made) == 1 else torch.cat(made, 2)
            if self.dropout and layer + 1 < self.num_layers:
                x = nn.functional.dropout(x, self.dropout, self.training)
        outputs = x[0] if single else x if self.batch_first else x.transpose(0, 1)
        states = tuple(torch.stack(each) for each in zip(*last, strict=True))
        states = tuple(each[:, 0] for each in states) if single else states
        return outputs, states if len(states) > 1 else states[0]

    def cell(self, x: Tensor, hidden: Tensor, state: State) -> State:
        """Return the state behind a step, of both sums of the gates."""
        raise NotImplementedError

    def _ends(self) -> Iterator[str]:
        return (end for layer in range(self.num_layers) for end in self._ends_of(layer))

    def _ends_of(self, layer: int) -> list[str]:
        return [f"l{layer}", f"l{layer}_reverse"] if self.bidirectional else [f"l{layer}"]

    def _given(self, hx: Any, single: bool) -> State:
        given = () if hx is None else hx if isinstance(hx, tuple) else (hx,)
        return tuple(each[:, None] for each in given) if single else given

    def _product(self, kind: str, end: str, place: int) -> Step:
        bias = getattr(self, f"bias_{kind}_{end}") if self.bias else None
        return self.part(f"{kind}_{end}", getattr(self, f"weight_{kind}_{end}"), bias, place)

    def _run(
        self, x: Tensor, end: str, backwards: bool, begin: State | None, place: int
    ) -> tuple[Tensor, State]:
        """Return outputs ``[n, t, h]`` of one direction, and the last state."""
        steps = [*range(x.shape[1])][:: -1 if backwards else 1]
        sums = self._product("ih", end, place)(x)
        # The first states are small: a quantizer that began with them would cut off the others.
        self.begin_with(f"hh_{end}", place, lambda: self._states(sums, end, steps, begin))
        product = self._product("hh", end, place)
        state, made = begin, list[Tensor]()
        for step in steps:
            if state is None:
                state = (x.new_zeros(1, self.hidden_size),) * self.states
                with outside():  # what a state of zeros gives is a constant
                    hidden = product(state[0])
            else:
                hidden = product(state[0])
            state = self.cell(sums[:, step], hidden, state)
            made.append(state[0])
        assert state is not None
        return torch.stack(made[::-1] if backwards else made, 1), state

    def _states(self, sums: Tensor, end: str, steps: list[int], begin: State | None) -> Tensor:
        """Return all states ``[n t, h]`` of a direction, computed in floats."""
        weight, made = getattr(self, f"weight_hh_{end}"), list[Tensor]()
        bias = getattr(self, f"bias_hh_{end}") if self.bias else None
        state = begin or (sums.new_zeros(len(sums), self.hidden_size),) * self.states
        for step in steps:
            state = self.cell(sums[:, step], nn.functional.linear(state[0], weight, bias), state)
            made.append(state[0])
        return torch.cat(made)


class _Cell(Parts, nn.RNNCellBase):
    """One step, with two parts: `ih` reads the input, `hh` the state."""

    states = 1

    def rows(self) -> dict[str, Tensor]:
        """Return the weights of every part by its name."""
        return {"ih": self.weight_ih, "hh": self.weight_hh}

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        """Return the state behind a step, as the module of torch does."""
        single, place = input.ndim == 1, self.next_place()
        x = input[None] if single else input
        given = hx if isinstance(hx, tuple) else None if hx is None else (hx,)
        state = given or (x.new_zeros(1, self.hidden_size),) * self.states
        state = tuple(each[None] if each.ndim == 1 else each for each in state)
        # A state of zeros that nothing of the network has computed becomes a value of it.
        state = tuple(each + 0 * x[:, :1] if is_new(each) or len(each) != len(x) else each for each in state)
        sums = self.part("ih", self.weight_ih, self.bias_ih, place)(x)
        # The first states are small; that of most cells is within one, and any of them may come.
        self.begin_with("hh", place, lambda: torch.linspace(-1, 1, 64, device=x.device).expand(2, 64))
        hidden = self.part("hh", self.weight_hh, self.bias_hh, place)(state[0])
        made = self.cell(sums, hidden, state)
        made = tuple(each[0] for each in made) if single else made
        return made if len(made) > 1 else made[0]

    def cell(self, x: Tensor, hidden: Tensor, state: State) -> State:
        """Return the state behind a step, of both sums of the gates."""
        raise NotImplementedError


class LSTM(_Recurrent, nn.LSTM):  # type: ignore[misc]
    """`torch.nn.LSTM` with quantized weights and inputs."""

    states = 2

    def cell(self, x: Tensor, hidden: Tensor, state: State) -> State:
        """Return state and memory behind a step."""
        enter, forget, new, leave = (x + hidden).chunk(4, 1)
        memory = torch.sigmoid(forget) * state[1] + torch.sigmoid(enter) * torch.tanh(new)
        return torch.sigmoid(leave) * torch.tanh(memory), memory


class GRU(_Recurrent, nn.GRU):  # type: ignore[misc]
    """`torch.nn.GRU` with quantized weights and inputs."""

    def cell(self, x: Tensor, hidden: Tensor, state: State) -> State:
        """Return the state behind a step."""
        reset, update, new = x.chunk(3, 1)
        of_reset, of_update, of_new = hidden.chunk(3, 1)
        kept = torch.sigmoid(update + of_update)
        candidate = torch.tanh(new + torch.sigmoid(reset + of_reset) * of_new)
        return ((1 - kept) * candidate + kept * state[0],)


class RNN(_Recurrent, nn.RNN):  # type: ignore[misc]
    """`torch.nn.RNN` with quantized weights and inputs."""

    def cell(self, x: Tensor, hidden: Tensor, state: State) -> State:
        """Return the state behind a step."""
        function = torch.tanh if self.nonlinearity == "tanh" else torch.relu
        return (function(x + hidden),)


class LSTMCell(_Cell, nn.LSTMCell):
    """`torch.nn.LSTMCell` with quantized weights and inputs."""

    states = 2
    cell = LSTM.cell


class GRUCell(_Cell, nn.GRUCell):
    """`torch.nn.GRUCell` with quantized weights and inputs."""

    cell = GRU.cell


class RNNCell(_Cell, nn.RNNCell):
    """`torch.nn.RNNCell` with quantized weights and inputs."""

    cell = RNN.cell
