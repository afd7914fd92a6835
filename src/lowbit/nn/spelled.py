"""Functions that torch's exporter lacks, spelled by others while a module is exported."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

SPELLED: dict[str, Callable[..., Tensor]] = {
    "mT": lambda x: x.transpose(-2, -1),
    "adjoint": lambda x: x.transpose(-2, -1),
    "movedim": lambda x, source, destination: x.permute(_moved(x.ndim, source, destination)),
    "rms_norm": lambda x, shape, weight=None, eps=None: _rms_norm(x, shape, weight, eps),
    "channel_shuffle": lambda x, groups: x.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2),
    "square": lambda x: x * x,
    "rsqrt": lambda x: 1 / torch.sqrt(x),
    "addcmul": lambda x, first, second, value=1: x + value * first * second,
    "swish": lambda x: x * torch.sigmoid(x),
    "logsumexp": lambda x, dim, keepdim=False: torch.log(torch.exp(x).sum(dim, keepdim)),
}
"""By what torch calls the function, method or attribute."""

SPELLED |= {"moveaxis": SPELLED["movedim"]}


class Spelled(TorchFunctionMode):
    """Calls others in the place of functions of the table."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(function, "__name__", "")
        if name == "__get__":
            name = getattr(getattr(function, "__self__", None), "__name__", "")
        return SPELLED.get(name, function)(*args, **(kwargs or {}))


def _moved(rank: int, source: Any, destination: Any) -> list[int]:
    """Return the order of axes after some have moved."""
    pair = [(each,) if isinstance(each, int) else tuple(each) for each in (source, destination)]
    froms, to = ([axis % rank for axis in axes] for axes in pair)
    order = [axis for axis in range(rank) if axis not in froms]
    for place, axis in sorted(zip(to, froms, strict=True)):
        order.insert(place, axis)
    return order


def _rms_norm(x: Tensor, shape: Any, weight: Tensor | None, eps: float | None) -> Tensor:
    axes = tuple(range(-len(shape), 0))
    least = torch.finfo(x.dtype).eps if eps is None else eps
    made = x / torch.sqrt((x * x).mean(axes, keepdim=True) + least)
    return made if weight is None else made * weight
