"""What networks are drawn from: layers, activations, ways to flatten, heads; each takes and gives a value."""

import numpy as np

from tests.conformance.odd_graphs.network import Network

LARGEST = 600  # features of a sample: what grows further is left as it is


def convolution(
    net: Network, x: str, outputs: int = 0, kernel: tuple[int, ...] = (), **attributes: object
) -> str:
    """Add a convolution, with or without a bias."""
    channels, *size = net.sample(x)
    group = int(attributes.get("group", 1))  # type: ignore[call-overload]
    outputs = outputs or net.between(1, 9)
    kernel = kernel or tuple(net.between(1, min(3, length)) for length in size)
    weights = net.weights(outputs, channels // group, *kernel)
    bias = net.pick((), (net.constant(net.random.normal(size=outputs) * 0.3),), ("",))
    if net.chance(0.7):
        attributes["kernel_shape"] = kernel
    return net.node("Conv", x, weights, *bias, **attributes)


def padded(net: Network, x: str) -> str:
    """Add a 3x3 convolution that keeps the size of its map."""
    return convolution(net, x, kernel=(3,) * (net.rank(x) - 2), pads=(1,) * 2 * (net.rank(x) - 2))


def linear(net: Network, x: str, outputs: int = 0) -> str:
    """Add a fully connected layer in one of the forms that exporters write."""
    (inputs,) = net.sample(x)
    outputs = outputs or net.between(1, 40)
    bias = net.constant(net.random.normal(size=outputs) * 0.3)
    form = net.between(0, 4)
    if form == 0:
        return net.node("Gemm", x, net.weights(outputs, inputs), bias, transB=1)
    if form == 1:
        weights = net.constant(net.random.normal(size=(inputs, outputs)) / np.sqrt(max(inputs, 1)))
        return net.node("Gemm", x, weights, bias, alpha=net.pick(1.0, 0.5), beta=net.pick(1.0, 2.0))
    weights = net.constant(net.random.normal(size=(inputs, outputs)) / np.sqrt(max(inputs, 1)))
    if form == 2:
        return net.node("Gemm", x, weights)
    product = net.node("MatMul", x, weights)
    if form == 3:
        return product
    return net.node("Add", *net.pick((product, bias), (bias, product)))


def activation(net: Network, x: str) -> str:
    """Add one of the activations that every target has."""
    return net.node(net.pick("Relu", "Relu", "Relu", "Tanh", "Sigmoid"), x)


def layer(net: Network, x: str) -> str:
    """Add a layer and mostly an activation."""
    made = linear(net, x) if net.rank(x) == 2 else padded(net, x)
    return activation(net, made) if net.chance(0.7) else made


def flatten(net: Network, x: str) -> str:
    """Lay a value flat in one of the forms that exporters write."""
    rank, features = net.rank(x), int(np.prod(net.sample(x), dtype=int))
    if rank == 2:
        return x
    forms = [
        lambda: net.node("Flatten", x),
        lambda: net.node("Flatten", x, axis=1 - rank),
        lambda: net.node("Reshape", x, net.integers(0, -1)),
        lambda: net.node("Reshape", x, net.integers(-1, features)),
        lambda: net.node("Reshape", x, net.integers(0, features)),
    ]
    return str(forms[net.between(0, len(forms) - 1)]())


def pooled(net: Network, x: str) -> str:
    """Reduce a map to its channels in one of the forms that exporters write."""
    axes = list(range(2, net.rank(x)))
    by_input = net.opset >= 18
    pool = net.pick("GlobalAveragePool", "GlobalMaxPool")
    forms = [
        lambda: net.node("Flatten", net.node(pool, x)),
        lambda: net.node("Squeeze", net.node(pool, x), net.integers(*axes)),
        lambda: net.node("Reshape", net.node(pool, x), net.integers(0, 0)),
        lambda: (
            net.node("ReduceMean", x, net.integers(*axes), keepdims=0)
            if by_input
            else net.node("ReduceMean", x, axes=axes, keepdims=0)
        ),
        lambda: net.node("Flatten", net.node("AveragePool", x, kernel_shape=net.sample(x)[1:])),
        lambda: net.node("Flatten", net.node("MaxPool", x, kernel_shape=net.sample(x)[1:])),
    ]
    return str(forms[net.between(0, len(forms) - 1)]())


def head(net: Network, x: str) -> str:
    """Lay a value flat and classify it."""
    flat = pooled(net, x) if net.rank(x) > 2 and net.chance(0.3) else flatten(net, x)
    if net.chance(0.4):
        flat = activation(net, linear(net, flat))
    scores = linear(net, flat, net.between(2, 5)) if net.chance(0.9) else flat
    return net.node("Softmax", scores, axis=net.pick(-1, 1)) if net.chance(0.2) else scores


def normalization(net: Network, x: str, scale: tuple[float, float] = (0.5, 1.5)) -> str:
    """Add a batch normalization."""
    channels = net.sample(x)[0]
    draws = (scale, (-0.5, 0.5), (-0.5, 0.5), (0.1, 2.0))
    constants = [net.constant(net.random.uniform(*ends, channels)) for ends in draws]
    return net.node("BatchNormalization", x, *constants)


def small(net: Network, x: str) -> str:
    """Reduce a map that grew too large by a pool, and features by a layer."""
    if np.prod(net.sample(x), dtype=int) <= LARGEST:
        return x
    if net.rank(x) == 2:
        return linear(net, x, 20)
    lengths = net.sample(x)[1:]
    kernel = [min(2, length) for length in lengths]
    return net.node(
        "MaxPool", convolution(net, x, 4, (1,) * len(lengths)), kernel_shape=kernel, strides=kernel
    )
