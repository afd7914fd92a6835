"""A trainable torch module from a description of `lowbit.zoo`.

The module's state has the names of `lowbit.zoo.parameters`, so weights go into a graph as they are.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from lowbit.zoo import Architecture, Placed, flat, place
from lowbit.zoo import architecture as zoo

ACTIVATIONS = {"relu": functional.relu, "tanh": torch.tanh}


class Network(nn.Module):
    """The network of a description."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.placed = place(architecture)
        for item in flat(self.placed):
            module = _module(item)
            if module is not None:
                self.add_module(item.name, module)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `[n, classes]` of samples `[n, …]`."""
        return self._run(self.placed, x)

    def _run(self, placed: tuple[Placed, ...], x: Tensor) -> Tensor:
        for item in placed:
            x = self._layer(item, x)
        return x

    def _layer(self, item: Placed, x: Tensor) -> Tensor:
        match item.layer:
            case zoo.Residual():
                return self._run(item.body, x) + self._run(item.shortcut, x)
            case zoo.Dense():
                return torch.cat([x, self._run(item.body, x)], 1)
            case zoo.Activation(kind):
                return ACTIVATIONS[kind](x)
            case zoo.Pool("max", kernel, stride):
                return functional.max_pool2d(x, kernel, stride)
            case zoo.Pool("average", kernel, stride):
                return functional.avg_pool2d(x, kernel, stride)
            case zoo.GlobalAverage():
                return x.mean((2, 3))
            case zoo.Flatten():
                return x.flatten(1)
        return self.get_submodule(item.name)(x)


def _module(item: Placed) -> nn.Module | None:
    match item.layer:
        case zoo.Convolution(channels, kernel, stride, padding, bias):
            return nn.Conv2d(item.source[0], channels, kernel, stride, padding, bias=bias)
        case zoo.Linear(features, bias):
            return nn.Linear(item.source[0], features, bias)
        case zoo.BatchNormalization(epsilon):
            norm = nn.BatchNorm1d if len(item.source) == 1 else nn.BatchNorm2d
            return norm(item.source[0], epsilon)
    return None
