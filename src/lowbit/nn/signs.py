"""Signs that would always be the same, and what is done about them.

A layer whose input becomes one bit learns nothing of values that are never negative: a ReLU, a sigmoid or a
square before it makes every code +1. The values of all calls are known as intervals (`lowbit.nn.ranges`);
where that of a sign's input has one sign, the modules that make it so are replaced as the plan says, one
after the other until the sign lives: in this place alone, where a module is called in several. Where nothing
can be replaced, as behind a function or before other readers, the layer reads its input about its mean
instead: `lq:1:offset`, two levels o - a and o + a.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, fx, nn

from lowbit.nn.ranges import ANYTHING, Interval, gives_length, is_move, ranges, sources
from lowbit.nn.rprelu import RPReLU
from lowbit.plan import Plan

RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.Sigmoid, nn.Hardsigmoid, nn.Softplus, nn.Hardtanh)
"""Modules that may be replaced: they rise with their input, and the others' sign does not depend on it."""

ABOUT_THE_MEAN = "lq:1:offset"

_LEARNED: dict[str, Callable[[int], nn.Module]] = {"prelu": nn.PReLU, "rprelu": RPReLU}

Intervals = Mapping[fx.Node, Interval]


class Places(nn.Module):
    """A function that is another one in every place where it is called.

    Args:
        functions: in the order of the calls.
    """

    def __init__(self, functions: list[nn.Module]) -> None:
        super().__init__()
        self.functions = nn.ModuleList(functions)
        self._place = 0

    def extra_repr(self) -> str:
        """Return the functions in the order of the calls."""
        return ", ".join(type(each).__name__ for each in self.functions)

    def begin(self) -> None:
        """Say that the next call is the first one of the network."""
        self._place = 0

    def forward(self, x: Tensor) -> Tensor:
        """Return what the function of this place gives."""
        self._place = (self._place + 1) % len(self.functions)
        made: Tensor = self.functions[self._place - 1](x)
        return made


@dataclass
class Signs:
    """What is done about signs.

    Attributes:
        functions: what replaces modules, by name.
        about_mean: layers that read their input about its mean, and why.
        dead: layers that nothing helps, and why.
    """

    functions: dict[str, nn.Module] = field(default_factory=dict)
    about_mean: dict[str, str] = field(default_factory=dict)
    dead: dict[str, str] = field(default_factory=dict)


def takes_sign(plan: Plan) -> bool:
    """Return whether a layer of this plan reads the sign of its input alone."""
    form = plan.input_form
    return form.bits == 1 and not form.offset


def functions_before_signs(
    model: nn.Module,
    calls: fx.Graph,
    layers: Mapping[str, Sequence[fx.Node]],
    plans: Mapping[str, Plan],
    inputs: Interval = ANYTHING,
) -> Signs:
    """Return what is done about signs that would always be the same.

    Args:
        model: it is not changed.
        calls: of the model.
        layers: the calls of low-bit layers, by name.
        plans: of them.
        inputs: the values that the network's input can have.
    """
    signed = {name: plan for name, plan in plans.items() if takes_sign(plan)}
    instead: dict[fx.Node, nn.Module] = {}
    found, names = Signs(), {call: name for name, uses in layers.items() for call in uses}
    while signed:
        values = ranges(calls, model, instead, inputs)
        reads = [call for call in calls.nodes if names.get(call) in signed]
        dead = [call for call in reads if _is_dead(sources(call)[0], model, values)]
        for call in dead:
            name = names[call]
            culprit = _culprit(sources(call)[0], model, values)
            if culprit.op == "placeholder":
                found.dead[name] = f"its sign is always the same: {_NEVER_NEGATIVE}"
            elif reason := _why_not(culprit, model, names, signed, signed[name]):
                found.about_mean[name] = reason
            elif culprit not in instead:
                function = _function(signed[name].before_sign, culprit, model)
                instead[culprit] = function.to(device_of(model))
        signed = {name: plan for name, plan in signed.items() if name not in found.about_mean}
        if not dead or found.dead:
            break
    found.functions = _by_name(instead, calls, model)
    return found


def _by_name(instead: Mapping[fx.Node, nn.Module], calls: fx.Graph, model: nn.Module) -> dict[str, nn.Module]:
    """Return what stands in the place of modules, one function for each call of those called in several."""
    found: dict[str, nn.Module] = {}
    for name in dict.fromkeys(str(call.target) for call in instead):
        uses = [call for call in calls.nodes if call.op == "call_module" and call.target == name]
        own = model.get_submodule(name)
        functions = [instead.get(call, own) for call in uses]
        found[name] = functions[0] if len(functions) == 1 else Places(functions)
    return found


def _is_dead(call: fx.Node, model: nn.Module, values: Intervals) -> bool:
    """Return whether values of a call have one sign; of joined parts, whether those of one of them have."""
    if is_move(call, model):
        return any(_is_dead(source, model, values) for source in sources(call))
    least, most = values[call]
    return least >= 0 or most < 0


def _culprit(call: fx.Node, model: nn.Module, values: Intervals) -> fx.Node:
    """Return the call that has one sign and reads nothing that has; a ReLU before others."""
    read = sources(call) if is_move(call, model) else call.all_input_nodes
    dead = [source for source in read if _is_dead(source, model, values) and source.op != "get_attr"]
    if not dead:
        return call
    found = [_culprit(source, model, values) for source in dead]
    return next((each for each in found if _is_kind(each, model, nn.ReLU)), found[0])


_NEVER_NEGATIVE = (
    "the network's input is never negative; subtract its mean, or leave this layer's input float"
)


def _why_not(
    call: fx.Node, model: nn.Module, names: Mapping[fx.Node, str], signed: Mapping[str, Plan], plan: Plan
) -> str:
    """Return why a call cannot be replaced for a sign, or nothing where it can."""
    if not _is_kind(call, model, *RECTIFIERS):
        return f"{call.target if call.op == 'call_module' else call.name} is never negative"
    for reader in _readers(call, model, names):
        other = signed.get(names.get(reader, ""))
        if other is None or other.before_sign != plan.before_sign:
            return (
                f"{call.target} is read by {reader.target if reader.op == 'call_module' else reader.name} too"
            )
    return ""


def _readers(call: fx.Node, model: nn.Module, names: Mapping[fx.Node, str]) -> Iterator[fx.Node]:
    """Yield the layers that read a call, past functions; a sum is a stream of reals of any sign."""
    for user in call.users:
        if user.op == "output" or user in names or _has_parameters(user, model):
            yield user
        elif not gives_length(user) and not _is_sum(user):
            yield from _readers(user, model, names)


def _has_parameters(call: fx.Node, model: nn.Module) -> bool:
    return call.op == "call_module" and any(True for _ in model.get_submodule(str(call.target)).parameters())


def _is_sum(call: fx.Node) -> bool:
    name = str(getattr(call.target, "__name__", call.target))
    return name in ("add", "iadd", "add_") and len(call.all_input_nodes) > 1


def _is_kind(call: fx.Node, model: nn.Module, *kinds: type[nn.Module]) -> bool:
    return call.op == "call_module" and type(model.get_submodule(str(call.target))) in kinds


def _function(name: str, call: fx.Node, model: nn.Module) -> nn.Module:
    if name == "hardtanh":
        return nn.Hardtanh()
    if name in _LEARNED:
        return _LEARNED[name](_channels(call, model))
    return nn.Identity()


def device_of(layer: nn.Module) -> torch.device:
    """Return where a layer's parameters lie."""
    return next(layer.parameters()).device


def _channels(call: fx.Node, model: nn.Module) -> int:
    """Return how many channels a call has, as the module says that makes them; 1 where none does."""
    source, shape = sources(call)[0], call.meta.get("shape")
    if shape is not None and source.op == "call_module":
        found = _width(source, model)
        return found if len(shape) > 1 and shape[1] == found else 1
    return _width(source, model)


def _width(source: fx.Node, model: nn.Module) -> int:
    if source.op != "call_module":
        return 1
    module = model.get_submodule(str(source.target))
    for key in ("num_features", "out_channels", "out_features"):
        if isinstance(width := getattr(module, key, None), int):
            return width
    keeps = is_move(source, model) and not isinstance(module, nn.Flatten | nn.Unflatten | nn.PixelShuffle)
    return _width(sources(source)[0], model) if keeps else 1
