"""Layers whose products are parts of a module of torch: attention and recurrent ones.

A part is a fully connected layer that is given its weights, rows of what the module holds; so the module's
state and names stay those of torch, and quantizers are the parts' own.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lowbit.nn.layers import Linear
from lowbit.nn.low_bit import LowBit, Text

Step = Callable[[Tensor], Tensor]


class GivenTo(LowBit):
    """A layer whose weights are given with every call; it stands before a low-bit layer.

    Args:
        like: weights that it will be given, outputs first, for their shape and place.
        settings: of `LowBit.quantize`.
    """

    _tensors: tuple[Tensor, Tensor | None]

    def __init__(self, like: Tensor, *settings: Any, **named: Any) -> None:
        nn.Module.__init__(self)
        self.padding_mode, self._sizes = "zeros", None
        self._give(like, None)
        self.quantize(*settings, **named)
        for quantizer in self.quantizers():
            quantizer.to(like.device)

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """The weights of this call."""
        return self._tensors[0]

    @property
    def bias(self) -> Tensor | None:  # type: ignore[override]
        """The bias of this call."""
        return self._tensors[1]

    def called(self, x: Tensor, weight: Tensor, bias: Tensor | None, window: Mapping[str, Any]) -> Tensor:
        """Return what the layer gives with these weights and this window."""
        rank = weight.ndim - 2
        for name, value in window.items():
            whole = name == "groups" or isinstance(value, str)
            each = value if whole else (value,) * rank if isinstance(value, int) else tuple(value)
            self.__dict__[name] = each
        self.kernel_size = tuple(map(int, weight.shape[2:]))
        self._give(weight, bias)
        try:
            return self.low_bit(x, self.product)
        finally:
            self._give(weight.detach(), None)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"weight={self.weight_specification}, activation={self.activation}"

    def _give(self, weight: Tensor, bias: Tensor | None) -> None:
        object.__setattr__(self, "_tensors", (weight, bias))  # torch would register parameters


class Given(GivenTo, Linear):  # type: ignore[misc, override]
    """A fully connected layer whose weights are given."""

    def steps(self, weight: Tensor, bias: Tensor | None, place: int = 0) -> Step:
        """Return the layer with weights that are quantized once, however often it is called."""
        self._give(weight.detach(), None if bias is None else bias.detach())
        inputs, has, self.kept = self.inputs(), self.weight_quantizer, None
        reads = inputs[place] if inputs else None
        if not self.training:
            self.kept = {}
            return lambda x: self.low_bit(x, self.product, reads)
        levels = weight if has is None else has(weight)
        offset = bias if has is None or bias is None else has.bias(bias)
        return lambda x: functional.linear(x if reads is None else reads(x), levels, offset)


class Parts(nn.Module):
    """A module of torch whose products are parts; it stands before that among the bases of a class.

    Attributes:
        part_names: of the parts.
    """

    part_names: tuple[str, ...] = ()
    _place = 0
    _places = 1

    def quantize(self, weight: Text, activation: Text, *, places: int = 1, **named: Any) -> None:
        """Say what the parts are to be; errors are those of `LowBit.quantize`."""
        made = {
            name: Given(rows, weight, activation, places=places, **named)
            for name, rows in self.rows().items()
        }
        for name, part in made.items():
            self._modules[name] = part
        self.part_names, self._places = tuple(made), places

    def rows(self) -> dict[str, Tensor]:
        """Return the weights of every part by its name."""
        raise NotImplementedError

    def quantizers(self) -> Iterator[nn.Module]:
        """Yield those that the parts have."""
        for name in self.part_names:
            part = self._modules[name]
            assert isinstance(part, LowBit)
            yield from part.quantizers()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        """Load a state; parts begin again where weights come without theirs, as from a float model."""
        if any(f"{prefix}{name}" in state_dict for name in self._parameters):
            for name in self.part_names:
                if not any(key.startswith(f"{prefix}{name}.") for key in state_dict):
                    for quantizer in self._modules[name].quantizers():  # type: ignore[union-attr, operator]
                        quantizer.forget()
        super()._load_from_state_dict(state_dict, prefix, *others)

    def begin(self) -> None:
        """Say that the next call is the first one of the network."""
        self._place = 0

    def next_place(self) -> int:
        """Return the place of this call."""
        self._place = (self._place + 1) % self._places
        return (self._place - 1) % self._places

    def begin_with(self, name: str, place: int, values: Callable[[], Tensor]) -> None:
        """Let the input of a part begin with values, where it is trained and has seen none."""
        found = self._modules[name]
        assert isinstance(found, Given)
        inputs = found.inputs()
        if self.training and inputs and _awaits(inputs[place]):
            with torch.no_grad():
                inputs[place](values())

    def part(self, name: str, weight: Tensor, bias: Tensor | None, place: int) -> Step:
        """Return a part with its weights."""
        found = self._modules[name]
        assert isinstance(found, Given)
        return found.steps(weight, bias, place)


def _awaits(quantizer: nn.Module) -> bool:
    """Return whether a quantizer begins with the next values."""
    return any(name.endswith("ready") and not bool(each) for name, each in quantizer.named_buffers())
