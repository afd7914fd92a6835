"""Layers that are functions: a forward that calls `functional.linear` or a convolution with its own weights.

So are subclasses of layers of torch whose forward is their own. Such a module gets a part (`lowbit.nn.parts`)
for every call with weights, and while its forward runs, a mode of torch hands those calls to the parts. A
call is known by the parameter that it reads, or, in a layer whose weights are computed, by its turn.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from lowbit.nn import layers
from lowbit.nn.low_bit import Text
from lowbit.nn.parts import Given, GivenTo, Parts

Window = dict[str, Any]


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> tuple[Any, ...]:
    return input, weight, bias, {}


def _product(input: Tensor, other: Tensor) -> tuple[Any, ...]:
    return input, other.t(), None, {}


def _convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> tuple[Any, ...]:
    return input, weight, bias, {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}


def _transposed(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> tuple[Any, ...]:
    window = {"stride": stride, "padding": padding, "dilation": dilation, "output_padding": output_padding}
    return input, weight, bias, window | {"groups": groups}


@dataclass(frozen=True)
class Form:
    """A function with weights.

    Attributes:
        read: gives input, weights with outputs first, bias and window of a call.
        weight: the name of its argument.
        kind: the layer that it is.
    """

    read: Callable[..., tuple[Any, ...]]
    weight: str
    kind: type[GivenTo]


class _Conv1d(GivenTo, layers.Conv1d):  # type: ignore[misc, override]
    pass


class _Conv2d(GivenTo, layers.Conv2d):  # type: ignore[misc, override]
    pass


class _ConvTranspose1d(GivenTo, layers.ConvTranspose1d):  # type: ignore[misc, override]
    pass


class _ConvTranspose2d(GivenTo, layers.ConvTranspose2d):  # type: ignore[misc, override]
    pass


FORMS: dict[Any, Form] = {
    functional.linear: Form(_linear, "weight", Given),
    **{each: Form(_product, "other", Given) for each in (torch.matmul, Tensor.matmul, Tensor.__matmul__)},
    functional.conv1d: Form(_convolution, "weight", _Conv1d),
    functional.conv2d: Form(_convolution, "weight", _Conv2d),
    functional.conv_transpose1d: Form(_transposed, "weight", _ConvTranspose1d),
    functional.conv_transpose2d: Form(_transposed, "weight", _ConvTranspose2d),
}
"""Every function that is a layer where its weights are a module's own."""


@dataclass
class Site:
    """A layer that is a function.

    Attributes:
        owner: the module whose forward calls it, by name.
        parameter: what it reads of the owner; "" where its weights are computed.
        form: of the function.
        weight: as it was read first, outputs first.
        calls: of one forward of the network.
        runs: how often the owner runs in that.
    """

    owner: str
    parameter: str
    form: Form
    weight: Tensor
    calls: list[fx.Node]
    runs: int


def sites_of(model: nn.Module, calls: fx.Graph) -> dict[str, Site]:
    """Return the functions with weights of a model's own that were recorded, by the names that plans use."""
    found: dict[str, Site] = {}
    for call in calls.nodes:
        if (made := _site(model, call)) is None:
            continue
        name, site = made
        known = found.setdefault(name, site)
        if known.owner == site.owner:
            known.calls.append(call)
    return found


def _site(model: nn.Module, call: fx.Node) -> tuple[str, Site] | None:
    form = FORMS.get(call.meta.get("function"))
    if form is None:
        return None
    owner, runs = call.meta["scope"]
    bound = signature(form.read).bind(*call.args, **call.kwargs).arguments[form.weight]
    if not isinstance(bound, fx.Node) or bound.meta.get("depends"):
        return None
    args, named = call.meta["values"]
    if signature(form.read).bind(*args, **named).arguments[form.weight].ndim != _RANKS[form.kind]:
        return None
    read = form.read(*args, **named)
    while is_turn(bound) and isinstance(bound.args[0], fx.Node):
        bound = bound.args[0]
    inside, module = f"{owner}." if owner else "", model.get_submodule(owner)
    parameter = str(bound.target) if bound.op == "get_attr" else ""
    if parameter.startswith(inside) and parameter in dict(model.named_parameters()):
        name = parameter.removesuffix(".weight")
        return name, Site(owner, parameter.removeprefix(inside), form, read[1], [], runs)
    if isinstance(module, nn.Linear | nn.modules.conv._ConvNd) and bound.op != "get_attr":
        return owner, Site(owner, "", form, read[1], [], runs)
    return None


def is_turn(call: fx.Node) -> bool:
    """Return whether a call turns a matrix."""
    attribute = call.args[1] if call.target is getattr and len(call.args) > 1 else call.target
    return getattr(attribute, "__name__", attribute) in _TURNS


_TURNS = ("T", "mT", "t", "transpose", "swapaxes", "permute")

_RANKS: dict[type[GivenTo], int] = {
    Given: 2,
    _Conv1d: 3,
    _ConvTranspose1d: 3,
    _Conv2d: 4,
    _ConvTranspose2d: 4,
}


class Calling(Parts):
    """A module whose forward calls layers that are functions; it stands before the user's class."""

    _sites: dict[str, tuple[str, list[str]]]
    _turns: Counter[str]

    def add_site(self, name: str, site: Site, *settings: Text, **named: Any) -> None:
        """Add a layer, with a quantizer of its input for every call of one forward of the network.

        Args:
            name: that plans use.
            site: what was recorded.
            settings: of `LowBit.quantize`.
            named: of the same.
        """
        own = f"low_bit_{len(self.part_names)}"
        part = site.form.kind(site.weight, *settings, places=len(site.calls), **named)
        self._modules[own] = part
        self.part_names = (*self.part_names, own)
        self._sites = self._sites | {site.parameter: (own, [name])}

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """Return what the user's forward gives, with its layers of low bits."""
        with _Hands(self):
            return super().forward(*inputs, **named)

    def begin(self) -> None:
        """Say that the next call is the first one of the network."""
        for part in map(self._modules.get, self.part_names):
            part.begin()  # type: ignore[union-attr, operator]

    def part_of(self, weight: Tensor) -> GivenTo | None:
        """Return the part that has weights, or None."""
        for parameter, (own, _) in self._sites.items():
            if weight is (self._parameter(parameter) if parameter else weight):
                part = self._modules[own]
                assert isinstance(part, GivenTo)
                return part
        return None

    def _parameter(self, path: str) -> Any:
        above, _, last = path.rpartition(".")
        return getattr(self.get_submodule(above), last)


class _Hands(TorchFunctionMode):
    """Hands calls with weights of a module to its parts."""

    def __init__(self, owner: Calling) -> None:
        super().__init__()
        self._owner = owner
        self._turned: dict[int, tuple[Tensor, Tensor]] = {}  # parameters by their turned forms, both kept

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        form = FORMS.get(function)
        if form is not None:
            weight = signature(form.read).bind(*args, **named).arguments[form.weight]
            _, read = self._turned.get(id(weight), (weight, weight))
            part = self._owner.part_of(read)
            if part is not None:
                x, weight, bias, window = form.read(*args, **named)
                return part.called(x, weight, bias, window)
        given = function(*args, **named)
        if args and _name(function) in _TURNS and isinstance(given, Tensor):
            _, read = self._turned.get(id(args[0]), (args[0], args[0]))
            self._turned[id(given)] = given, read
        return given


def _name(function: Any) -> str:
    """Return what torch calls a function, or an attribute that is read."""
    name = getattr(function, "__name__", "")
    return (
        str(getattr(getattr(function, "__self__", None), "__name__", "")) if name == "__get__" else str(name)
    )


def calling(module: nn.Module) -> type[Calling]:
    """Return the class of a module whose functions are layers."""
    kind = type(module)
    return type(kind.__name__, (Calling, kind), {"__module__": kind.__module__, "__doc__": kind.__doc__})
