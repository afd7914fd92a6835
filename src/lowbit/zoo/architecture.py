"""What a network is, as plain data: a sequence of layers, declared once.

A description holds no weights and knows no framework. `place` gives every layer its name and its
shapes; a graph, a trainable module and a table of parameters are each one walk over the result.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from lowbit.errors import GraphError

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Convolution:
    """A square kernel, zeros around, and no bias where a batch normalization follows.

    As many groups as channels make it depthwise: each channel is filtered alone.
    """

    channels: int
    kernel: int = 3
    stride: int = 1
    padding: int = 0
    bias: bool = False
    groups: int = 1


@dataclass(frozen=True)
class Linear:
    """A fully connected layer of flat samples, or one that all rows of a map share."""

    features: int
    bias: bool = True
    rows: bool = False


@dataclass(frozen=True)
class BatchNormalization:
    """``weight * (x - mean) / sqrt(variance + epsilon) + bias`` per channel."""

    epsilon: float = 1e-5


@dataclass(frozen=True)
class Activation:
    """An elementwise function; a binary network has the sign in its place."""

    kind: str = "relu"


@dataclass(frozen=True)
class Pool:
    """The largest value, or the average, of every window; no padding."""

    kind: str = "max"
    kernel: int = 2
    stride: int = 2


@dataclass(frozen=True)
class GlobalAverage:
    """One number per channel, flattened."""


@dataclass(frozen=True)
class Flatten:
    """All axes but the batch become one."""


@dataclass(frozen=True)
class Transpose:
    """Rows become columns: the last two axes change places."""


@dataclass(frozen=True)
class SeparableTransform:
    """The learned two-dimensional separable transform: ``y = f(W2 f(W1 x^T + b1)^T + b2)``.

    One fully connected layer works on all rows, a second one on all columns of what the first gives; a map
    ``[h, w]`` becomes ``[features, features]`` (Vashkevich and Krivalcevich 2025).
    """

    features: int
    activation: str = "tanh"

    @property
    def layers(self) -> "tuple[Layer, ...]":
        """What it is made of."""
        return (Linear(self.features, rows=True), Activation(self.activation), Transpose()) * 2


@dataclass(frozen=True)
class Residual:
    """``body(x) + shortcut(x)``; an empty shortcut is the identity."""

    body: "tuple[Layer, ...]"
    shortcut: "tuple[Layer, ...]" = ()


@dataclass(frozen=True)
class Dense:
    """``[x, body(x)]`` along the channels."""

    body: "tuple[Layer, ...]"


Layer = (
    Convolution
    | Linear
    | BatchNormalization
    | Activation
    | Pool
    | GlobalAverage
    | Flatten
    | Transpose
    | SeparableTransform
    | Residual
    | Dense
)


@dataclass(frozen=True)
class Architecture:
    """A network without weights.

    Attributes:
        name: what to call it.
        input_shape: of one sample, ``(c, h, w)`` or ``(features,)``.
        layers: in order; the last gives the logits.
        about: one line for lists.
    """

    name: str
    input_shape: Shape
    layers: tuple[Layer, ...]
    about: str = ""


@dataclass(frozen=True)
class Placed:
    """A layer at its place.

    Attributes:
        layer: the description.
        name: unique in the network: ``conv1``, ``norm1``, ``fc1``, …
        source, target: shapes of one sample before and after.
        body, shortcut: of a layer that holds others.
    """

    layer: Layer
    name: str
    source: Shape
    target: Shape
    body: "tuple[Placed, ...]" = ()
    shortcut: "tuple[Placed, ...]" = ()


def place(architecture: Architecture) -> tuple[Placed, ...]:
    """Return the layers with names and shapes.

    Raises:
        GraphError: a layer does not fit the shape before it.
    """
    placed, _ = _place(architecture.layers, architecture.input_shape, Counter(), architecture.name)
    return placed


def flat(placed: tuple[Placed, ...]) -> Iterator[Placed]:
    """Yield every layer in order of computation, those inside others before their holder."""
    for item in placed:
        yield from flat(item.body)
        yield from flat(item.shortcut)
        yield item


def parameters(architecture: Architecture) -> dict[str, Shape]:
    """Return the shape of every weight and statistic by name (``conv1.weight``, as torch calls them)."""
    return {
        f"{item.name}.{name}": shape
        for item in flat(place(architecture))
        for name, shape in _parameters(item).items()
    }


def parameter_count(architecture: Architecture) -> int:
    """Return how many numbers training decides: all parameters but the running statistics."""
    shapes = parameters(architecture)
    return sum(prod(shape) for name, shape in shapes.items() if ".running_" not in name)


_STEMS: dict[type[Layer], str] = {
    Convolution: "conv",
    Linear: "fc",
    BatchNormalization: "norm",
    Activation: "act",
    Pool: "pool",
    GlobalAverage: "average",
    Flatten: "flatten",
    Transpose: "transpose",
    SeparableTransform: "lst",
    Residual: "residual",
    Dense: "dense",
}


def _place(
    layers: tuple[Layer, ...], shape: Shape, counts: "Counter[str]", where: str
) -> tuple[tuple[Placed, ...], Shape]:
    result = []
    for layer in layers:
        stem = _STEMS[type(layer)]
        counts[stem] += 1
        name = f"{stem}{counts[stem]}"
        item = _place_one(layer, name, shape, counts, f"{where}/{name}")
        result.append(item)
        shape = item.target
    return tuple(result), shape


def _place_one(layer: Layer, name: str, shape: Shape, counts: "Counter[str]", where: str) -> Placed:
    if isinstance(layer, Residual):
        body, target = _place(layer.body, shape, counts, where)
        shortcut, other = _place(layer.shortcut, shape, counts, where)
        _require(target == other, where, f"a shortcut that gives {target}", other)
        return Placed(layer, name, shape, target, body, shortcut)
    if isinstance(layer, SeparableTransform):
        body, target = _place(layer.layers, shape, counts, where)
        return Placed(layer, name, shape, target, body)
    if isinstance(layer, Dense):
        body, target = _place(layer.body, shape, counts, where)
        _require(target[1:] == shape[1:], where, f"a body that keeps {shape[1:]}", target)
        return Placed(layer, name, shape, (shape[0] + target[0], *shape[1:]), body)
    return Placed(layer, name, shape, _target(layer, shape, where))


def _target(layer: Layer, shape: Shape, where: str) -> Shape:
    """Return the shape after a layer that holds no others."""
    if isinstance(layer, Convolution | Pool):
        _require(len(shape) == 3, where, "pictures (c, h, w)", shape)
        padding = layer.padding if isinstance(layer, Convolution) else 0
        lengths = [(length + 2 * padding - layer.kernel) // layer.stride + 1 for length in shape[1:]]
        if isinstance(layer, Convolution):
            divided = shape[0] % layer.groups == layer.channels % layer.groups == 0
            _require(divided, where, f"channels in {layer.groups} groups", (shape[0], layer.channels))
        _require(min(lengths) > 0, where, f"at least {layer.kernel - 2 * padding} pixels", shape)
        return (layer.channels if isinstance(layer, Convolution) else shape[0], *lengths)
    if isinstance(layer, Linear):
        _require((len(shape) > 1) == layer.rows, where, "maps" if layer.rows else "flat samples", shape)
        return (*shape[:-1], layer.features)
    if isinstance(layer, Transpose):
        _require(len(shape) > 1, where, "maps", shape)
        return (*shape[:-2], shape[-1], shape[-2])
    if isinstance(layer, GlobalAverage):
        return shape[:1]
    return (prod(shape),) if isinstance(layer, Flatten) else shape


def _require(holds: bool, where: str, expected: str, found: Shape) -> None:
    if not holds:
        raise GraphError("layers do not fit each other", where=where, expected=expected, found=str(found))


def _parameters(item: Placed) -> dict[str, Shape]:
    layer, channels = item.layer, item.target[-1:] if isinstance(item.layer, Linear) else item.target[:1]
    if isinstance(layer, Convolution):
        weight: Shape = (*channels, item.source[0] // layer.groups, layer.kernel, layer.kernel)
    elif isinstance(layer, Linear):
        weight = (*channels, *item.source[-1:])
    elif isinstance(layer, BatchNormalization):
        return dict.fromkeys(("weight", "bias", "running_mean", "running_var"), channels)
    else:
        return {}
    return {"weight": weight, "bias": channels} if layer.bias else {"weight": weight}
