"""A trainable module from a description of `lowbit.zoo`.

The module's state has the names of `lowbit.zoo.parameters`, so weights go into a graph as they are.
"""

from torch import Tensor, cat, nn

from lowbit.nn.prepare import prepare
from lowbit.plan import Plan
from lowbit.zoo import Architecture, Placed, flat, place
from lowbit.zoo import architecture as zoo


class Network(nn.Module):
    """The network of a description, from samples `[n, …]` to logits `[n, classes]`.

    Args:
        architecture: what to build; weights are drawn by torch's own rules.
        plan: which layers are trained at low bits; all are float without one.
    """

    def __init__(self, architecture: Architecture, plan: Plan | None = None) -> None:
        super().__init__()
        self.architecture = architecture
        self.placed = place(architecture)
        self.grid: nn.Module = nn.Identity()  # of a fixed-point network, for its input and residual sums
        for item in flat(self.placed):
            module = _module(item)
            if module is not None:
                self.add_module(item.name, module)
        if plan is not None:
            prepare(self, plan)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `[n, classes]` of samples `[n, …]`."""
        return self._run(self.placed, self.grid(x))

    def _run(self, placed: tuple[Placed, ...], x: Tensor) -> Tensor:
        for item in placed:
            x = self._layer(item, x)
        return x

    def _layer(self, item: Placed, x: Tensor) -> Tensor:
        match item.layer:
            case zoo.SeparableTransform():
                return self._run(item.body, x)
            case zoo.Residual():
                total: Tensor = self.grid(self._run(item.body, x) + self._run(item.shortcut, x))
                return total
            case zoo.Dense():
                return cat([x, self._run(item.body, x)], 1)
            case zoo.Transpose():
                return x.mT
            case zoo.GlobalAverage():
                return x.mean((2, 3))
        result: Tensor = self.get_submodule(item.name)(x)
        return result


def _module(item: Placed) -> nn.Module | None:
    """Return what computes a layer, or None where `Network` itself does."""
    match item.layer:
        case zoo.Convolution(channels, kernel, stride, padding, bias, groups):
            return nn.Conv2d(item.source[0], channels, kernel, stride, padding, groups=groups, bias=bias)
        case zoo.Linear(features, bias):
            return nn.Linear(item.source[-1], features, bias)
        case zoo.BatchNormalization(epsilon):
            norm = nn.BatchNorm1d if len(item.source) == 1 else nn.BatchNorm2d
            return norm(item.source[0], epsilon)
        case zoo.Activation(kind):
            return _ACTIVATIONS[kind]()
        case zoo.Pool(kind, kernel, stride):
            return _POOLS[kind](kernel, stride)
        case zoo.Flatten():
            return nn.Flatten()
    return None


_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh}
_POOLS: dict[str, type[nn.MaxPool2d | nn.AvgPool2d]] = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}
