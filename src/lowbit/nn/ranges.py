"""What values every call of a traced module can have, as intervals, without a sample of the user's.

What moves elements keeps an interval; a layer, a normalization and a parameter can give anything. Any other
function is asked: it runs on numbers drawn from the intervals of its inputs, from one end to the other and
with magnitudes from 1e-6 to 1e6, and the interval is that of what it gives. So a function needs no entry
here, and `relu(x) ** 2 + 1`, however it is written, is found to be 1 or more.
"""

import copy
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

Interval = tuple[float, float]
"""The least and the largest value, infinite where there is none."""

ANYTHING: Interval = (-inf, inf)
_LENGTH: Interval = (1.0, inf)


@dataclass(frozen=True, eq=False)
class Values:
    """What a call gives: an interval, and numbers of it that belong together with those of other calls."""

    interval: Interval
    numbers: Tensor


def ranges(
    calls: fx.Graph, model: nn.Module, instead: Mapping[fx.Node, nn.Module], inputs: Interval = ANYTHING
) -> dict[fx.Node, Interval]:
    """Return the interval of every call.

    Args:
        calls: of the model.
        model: it is not changed, and random generators are left as they were.
        instead: modules that stand in the place of the model's, by call.
        inputs: of the network.
    """
    found: dict[fx.Node, Values] = {}
    with torch.random.fork_rng(devices=[]), torch.no_grad(), torch.device("cpu"):
        for seed, call in enumerate(calls.nodes):
            torch.manual_seed(seed)
            made = _values(call, model, instead, found, inputs)
            found[call] = made if isinstance(made, Values) else Values(made, _drawn(made, seed))
    return {call: values.interval for call, values in found.items()}


def is_move(call: fx.Node, model: nn.Module) -> bool:
    """Return whether a call keeps, drops, joins or averages elements, so that their interval stays."""
    if call.op == "call_module":
        return isinstance(model.get_submodule(str(call.target)), _MOVERS)
    name = _name(call)
    return name in _MOVES or (name.endswith(_POOLS) and not name.startswith("lp_"))


def gives_length(call: fx.Node) -> bool:
    """Return whether a call gives lengths of axes, not elements."""
    if call.target is getattr:
        return call.args[1] in ("shape", "ndim")
    if call.target is operator.getitem and isinstance(call.args[0], fx.Node):
        return gives_length(call.args[0])
    return call.op == "call_method" and call.target in ("size", "dim", "numel", "nelement")


def sources(call: fx.Node) -> list[fx.Node]:
    """Return what a move takes its elements from."""
    first = call.args[0] if call.args else next(iter(call.kwargs.values()), None)
    parts = first if isinstance(first, list | tuple) else [first]
    return [part for part in parts if isinstance(part, fx.Node)]


def _values(
    call: fx.Node,
    model: nn.Module,
    instead: Mapping[fx.Node, nn.Module],
    found: Mapping[fx.Node, Values],
    inputs: Interval,
) -> Values | Interval:
    if call.op == "placeholder":
        return inputs
    if call.op == "get_attr" and (constant := call.meta.get("constant")) is not None:
        return Values(_interval(constant), constant.cpu())
    if call.op in ("get_attr", "output"):
        return ANYTHING
    if gives_length(call):
        return _LENGTH
    if call.op == "call_module":
        return _of_module(instead.get(call, model.get_submodule(str(call.target))), call, found)
    if is_move(call, model):
        return _hull(found[source].interval for source in sources(call))
    function = _function(call)
    return ANYTHING if function is None else _asked(function, call, found)


def _of_module(module: nn.Module, call: fx.Node, found: Mapping[fx.Node, Values]) -> Values | Interval:
    if isinstance(module, nn.PReLU):
        least, most = found[sources(call)[0]].interval
        return least if least >= 0 else -inf, most
    if isinstance(module, _MOVERS):
        return _hull(found[source].interval for source in sources(call))
    if next(module.parameters(), None) is not None or next(module.buffers(), None) is not None:
        return ANYTHING
    return _asked(copy.copy(module).eval().forward, call, found)


def _function(call: fx.Node) -> Callable[..., Any] | None:
    """Return what a call runs; None for what is not torch's or Python's own."""
    if call.op == "call_method":
        name = str(call.target)
        return lambda first, *others, **named: getattr(first, name)(*others, **named)
    place = getattr(call.target, "__module__", None) or "torch"
    own = place.split(".")[0] in ("torch", "_operator", "operator", "math", "builtins")
    return call.target if own and callable(call.target) else None


def _asked(function: Callable[..., Any], call: fx.Node, found: Mapping[fx.Node, Values]) -> Values | Interval:
    """Return what a function gives for the numbers of its inputs, whatever number of axes it takes."""
    for shape in _SHAPES:
        numbers = {source: _shaped(found[source].numbers, shape) for source in call.all_input_nodes}
        try:
            args = fx.node.map_arg(call.args, numbers.__getitem__)
            given = function(*args, **fx.node.map_arg(call.kwargs, numbers.__getitem__))
        except Exception:  # noqa: S112 - axes that it does not take; nothing of the user's runs here
            continue
        if isinstance(given, Tensor) and given.shape == shape:
            return Values(_interval(given), given)
        return _interval(given)
    return ANYTHING


def _shaped(numbers: Tensor, shape: tuple[int, ...]) -> Tensor:
    return numbers.reshape(shape).clone() if numbers.numel() == _SAMPLES * _ELEMENTS else numbers.clone()


def _drawn(interval: Interval, seed: int) -> Tensor:
    """Return numbers of an interval; half of the samples have one number each."""
    random, points = np.random.default_rng(seed), _points(interval)
    whole = random.choice(points, (_SAMPLES // 2, 1)).repeat(_ELEMENTS, 1)
    mixed = random.choice(points, (_SAMPLES - len(whole), _ELEMENTS))
    mixed[0, : len(points)] = points
    rows = np.concatenate([whole, mixed])[random.permutation(_SAMPLES)]
    return torch.from_numpy(rows.astype(np.float32)).reshape(_SHAPES[0])


def _points(interval: Interval) -> np.ndarray[Any, np.dtype[np.float64]]:
    least, most = interval
    if least > -inf and most < inf:
        return np.linspace(least, most, 33)
    if least > -inf:
        return least + np.concatenate([[0.0], _STEPS])
    if most < inf:
        return most - np.concatenate([[0.0], _STEPS])
    return np.concatenate([-_STEPS, [0.0], _STEPS])


def _interval(given: object) -> Interval:
    tensors = given if isinstance(given, tuple | list) else [given]
    reals = [each for each in tensors if isinstance(each, Tensor) and each.is_floating_point()]
    known = [each[~each.isnan()] for each in reals]
    if not known or not all(each.numel() for each in known):
        return ANYTHING
    least, most = float(min(each.min() for each in known)), float(max(each.max() for each in known))
    return (least if least > -_FAR else -inf), (most if most < _FAR else inf)


def _hull(intervals: Iterable[Interval]) -> Interval:
    known = list(intervals) or [ANYTHING]
    return min(least for least, _ in known), max(most for _, most in known)


def _name(call: fx.Node) -> str:
    """Return what torch calls a function or method: `flatten`, `max_pool2d`; of an attribute, its own."""
    if call.target is getattr:
        return str(call.args[1])
    return str(getattr(call.target, "__name__", call.target))


_SAMPLES, _ELEMENTS = 512, 64
_SHAPES = ((_SAMPLES, 4, 4, 4), (_SAMPLES, 4, 16), (_SAMPLES, _ELEMENTS))
_STEPS = np.array([1e-6, 1e-3, 0.1, 0.25, 0.5, 1, 1.5, 2, 3, 5, 8, 20, 100, 1e4, 1e6])
_FAR = 1e3
"""Beyond it an interval has no end."""

_POOLS = ("pool1d", "pool2d", "pool3d")
_MOVES = frozenset(
    {
        *(
            "reshape",
            "reshape_as",
            "view",
            "view_as",
            "flatten",
            "unflatten",
            "ravel",
            "squeeze",
            "unsqueeze",
        ),
        *("permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "t", "T", "mT"),
        *("expand", "expand_as", "repeat", "tile", "contiguous", "clone", "detach", "to", "float", "type"),
        *("cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack"),
        *("split", "chunk", "tensor_split", "unbind", "getitem", "narrow", "select", "index_select"),
        *("roll", "flip", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "interpolate"),
        *("dropout", "dropout1d", "dropout2d", "dropout3d"),
    }
)
_MOVERS = (
    *(
        nn.Identity,
        nn.Flatten,
        nn.Unflatten,
        nn.PixelShuffle,
        nn.PixelUnshuffle,
        nn.ChannelShuffle,
        nn.Upsample,
    ),
    *(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d),
    *(
        nn.AvgPool1d,
        nn.AvgPool2d,
        nn.AvgPool3d,
        nn.AdaptiveAvgPool1d,
        nn.AdaptiveAvgPool2d,
        nn.AdaptiveAvgPool3d,
    ),
    *(nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d, nn.FractionalMaxPool2d),
)
