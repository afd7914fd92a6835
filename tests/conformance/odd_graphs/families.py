"""The kinds of odd graphs, one part each, declared in `FAMILIES`.

A part takes the value drawn so far and returns the next one. `draw` puts it somewhere in a small network
of ordinary layers, and sometimes two kinds into one network, since faults like company.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
from onnx import ModelProto, shape_inference

from tests.conformance.odd_graphs import parts
from tests.conformance.odd_graphs.network import BATCH, Array, Network
from tests.conformance.odd_graphs.parts import (
    activation,
    convolution,
    flatten,
    layer,
    linear,
    normalization,
    padded,
)

Part = Callable[[Network, str], str]
SAMPLES = 24


@dataclass(frozen=True)
class Drawn:
    """One random network: the ONNX model, its kind, and samples for every input."""

    family: str
    seed: int
    model: ModelProto
    samples: dict[str, Array]


# Layers


def no_activation(net: Network, x: str) -> str:
    """Layer after layer, also through Flatten and normalization, with nothing between."""
    for _ in range(net.between(1, 2)):
        x = linear(net, x) if net.rank(x) == 2 else padded(net, x)
        x = normalization(net, x) if net.chance(0.3) else x
    return linear(net, flatten(net, x)) if net.chance(0.5) else x


def used_twice(net: Network, x: str) -> str:
    """A layer's output, or the input, read by several nodes or twice by one."""
    first = layer(net, x)
    forms: list[Callable[[], str]] = [
        lambda: net.node("Add", first, first),
        lambda: net.node("Mul", first, first),
        lambda: net.node("Sub", first, first),
        lambda: net.node("Add", activation(net, first), first),
        lambda: net.node("Concat", layer(net, first), layer(net, first), axis=1),
        lambda: net.node("Concat", layer(net, x), first, axis=1),
    ]
    return forms[net.between(0, len(forms) - 1)]()


def shared_weights(net: Network, x: str) -> str:
    """One initializer in two layers, as weights and as bias."""
    sample = net.sample(x)
    if net.rank(x) == 2:
        weights, bias = net.weights(sample[0], sample[0]), net.constant(net.random.normal(size=sample[0]))
        for _ in range(2):
            x = net.node("Gemm", x, weights, bias, transB=1)
            x = activation(net, x) if net.chance(0.7) else x
        return x
    weights = net.weights(sample[0], sample[0], *[3] * len(sample[1:]))
    for _ in range(2):
        x = net.node("Conv", x, weights, pads=[1] * 2 * len(sample[1:]))
        x = activation(net, x) if net.chance(0.7) else x
    return x


def gemm_forms(net: Network, x: str) -> str:
    """Products with factors, transposed constants, biases of other shapes, layers of one output."""
    (inputs,) = net.sample(x)
    outputs = net.pick(1, 1, 7, 33)
    weights = net.weights(outputs, inputs)
    bias = net.pick("", net.constant(0.5), net.constant([0.25]), net.constant([[0.5] * outputs]))
    alpha, beta = net.pick(1.0, -2.0, 0.0), net.pick(1.0, 0.0, 3.0)
    x = net.node("Gemm", x, weights, bias, transB=1, alpha=alpha, beta=beta)
    turned = net.node("Transpose", net.weights(5, outputs), perm=[1, 0])
    product = net.node("MatMul", activation(net, x), turned)
    shift = net.constant(net.random.normal(size=net.pick((5,), (1, 5), (1,), ())))
    return net.node("Add", *net.pick((product, shift), (shift, product)))


def zeros(net: Network, x: str) -> str:
    """Channels, inputs or whole layers of zeros, and channels that never fire."""
    channels, *size = net.sample(x)
    outputs = net.between(2, 9)
    weights = net.random.normal(size=(outputs, channels, *[min(3, length) for length in size]))
    weights[net.random.random(outputs) < 0.4] = 0
    weights[:, net.random.random(channels) < 0.2] = 0
    weights *= net.pick(1, 1, 1, 0)
    bias = net.random.normal(size=outputs)
    bias[net.random.random(outputs) < 0.3] = -100
    operands = (x, net.constant(weights), net.constant(bias * net.pick(1, 1, 0)))
    x = net.node("Conv", *operands) if size else net.node("Gemm", *operands, transB=1)
    return net.node("Relu", x) if net.chance(0.8) else x


def scales(net: Network, x: str) -> str:
    """Channels, biases and values of very different size."""
    channels, *size = net.sample(x)
    outputs = net.between(2, 9)
    if net.chance(0.3):
        x = net.node("Mul", x, net.constant(10.0 ** net.between(-20, 20)))
    weights = net.random.normal(size=(outputs, channels, *[1] * len(size)))
    factor = 10.0 ** net.random.integers(-12, net.pick(3, 12), outputs)
    weights *= factor.reshape(-1, *[1] * (weights.ndim - 1))
    bias = net.random.normal(size=outputs) * 10.0 ** net.random.integers(-12, 6, outputs)
    operands = (x, net.constant(weights), net.constant(bias))
    x = net.node("Conv", *operands) if size else net.node("Gemm", *operands, transB=1)
    return activation(net, x) if net.chance(0.8) else x


def grouped(net: Network, x: str) -> str:
    """Depthwise and grouped convolutions."""
    group = net.between(2, 5)
    x = activation(net, convolution(net, x, group * net.between(1, 3), (1,) * (net.rank(x) - 2)))
    channels, *lengths = net.sample(x)
    depthwise = net.chance(0.5)
    group = channels if depthwise else group
    pads = [1] * 2 * len(lengths)
    return convolution(net, x, group * net.between(1, 2), (3,) * len(lengths), group=group, pads=pads)


def windows(net: Network, x: str) -> str:
    """Dilated, strided and unevenly padded convolutions, also with ``auto_pad``."""
    axes = net.rank(x) - 2
    kernel = tuple(net.between(1, 3) for _ in range(axes))
    strides = [net.between(1, 3) for _ in range(axes)]
    if net.chance(0.3):
        automatic = net.pick("SAME_UPPER", "SAME_LOWER")
        return convolution(net, x, kernel=kernel, strides=strides, auto_pad=automatic, kernel_shape=kernel)
    pads = [net.between(0, 3) for _ in range(2 * axes)]
    dilations = [net.between(1, 3) if pads[axis] + pads[axis + axes] > 3 else 1 for axis in range(axes)]
    return convolution(net, x, kernel=kernel, strides=strides, pads=pads, dilations=dilations)


def pools(net: Network, x: str) -> str:
    """Pools with uneven pads, ceil mode, dilation and both ways to count pads."""
    axes = net.rank(x) - 2
    x = layer(net, x) if net.chance(0.7) else x
    kernel = [min(net.between(1, 3), length) for length in net.sample(x)[1:]]
    attributes: dict[str, Any] = {"kernel_shape": kernel, "strides": [net.between(1, 2) for _ in range(axes)]}
    if net.chance(0.6):
        attributes["pads"] = [net.between(0, extent - 1) for extent in (*kernel, *kernel)]
    if net.chance(0.3):
        attributes["ceil_mode"] = 1
    if net.chance(0.5):
        return net.node("AveragePool", x, count_include_pad=net.between(0, 1), **attributes)
    return net.node("MaxPool", x, **attributes)


# How values meet


def concat_twice(net: Network, x: str) -> str:
    """A value several times in one Concat, or alone in it."""
    first, other = layer(net, x), layer(net, x)
    inputs = net.pick((first, first), (first, other, first), (x, x), (first,), (first, x, first, x))
    return net.node("Concat", *inputs, axis=net.pick(1, 1 - net.rank(x)))


def dense(net: Network, x: str) -> str:
    """Every layer reads all before it."""
    for _ in range(net.between(1, 3)):
        made = (
            linear(net, x, 4)
            if net.rank(x) == 2
            else convolution(net, x, 3, (3,) * (net.rank(x) - 2), pads=[1] * 2 * (net.rank(x) - 2))
        )
        made = activation(net, made) if net.chance(0.8) else made
        x = net.node("Concat", *net.pick((x, made), (made, x)), axis=1)
    return x


def residual(net: Network, x: str) -> str:
    """Sums and differences over a layer or two, the shortcut plain, by a layer or by a constant."""
    for _ in range(net.between(1, 2)):
        channels = net.sample(x)[0]
        axes = net.rank(x) - 2

        def same(value: str, channels: int = channels, axes: int = axes) -> str:
            if not axes:
                return linear(net, value, channels)
            return convolution(net, value, channels, (3,) * axes, pads=[1] * 2 * axes)

        inner = same(x)
        inner = same(activation(net, inner)) if net.chance(0.5) else inner
        short = net.pick(x, x, same(x), activation(net, x))
        x = net.node(net.pick("Add", "Add", "Sub", "Sum"), *net.pick((inner, short), (short, inner)))
        x = net.node("Relu", x) if net.chance(0.6) else x
    return x


def fixed_sums(net: Network, x: str) -> str:
    """Sums, means and maxima between layers, which get a fixed-point type where they lie between codes."""
    axes, channels = net.rank(x) - 2, net.pick(1, 2, 3, 5, 33)

    def branch(value: str) -> str:
        return convolution(net, value, channels, (3,) * axes, pads=[1] * 2 * axes)

    x = branch(activation(net, x) if net.chance(0.5) else x)
    for _ in range(net.between(1, 3)):
        total = net.node("Add", *net.pick((branch(x), x), (x, branch(x)), (branch(x), branch(x))))
        x = _clipped(net, total) if net.chance(0.6) else total
        x = _windowed(net, x) if net.chance(0.5) else x
        x = net.node("Concat", x, x, axis=1) if net.chance(0.1) else x
        channels = net.sample(x)[0]
    x = net.node(net.pick("GlobalAveragePool", "GlobalMaxPool"), x) if net.chance(0.4) else x
    return layer(net, x)


def _clipped(net: Network, x: str) -> str:
    """Add an activation that clips: one that layers have, or one between other bounds."""
    low, high = net.pick((0.0, 6.0), (-1.0, 1.0), (-0.3, 2.0))
    return (
        net.node("Relu", x) if net.chance(0.5) else net.node("Clip", x, net.constant(low), net.constant(high))
    )


def _windowed(net: Network, x: str) -> str:
    """Add a pool whose every window sees the map, odd ones included."""
    kernel = [min(net.between(1, 4), length) for length in net.sample(x)[1:]]
    attributes: dict[str, Any] = {"kernel_shape": kernel, "strides": [net.between(1, 2) for _ in kernel]}
    if net.chance(0.6):
        attributes["pads"] = [net.between(0, extent - 1) for extent in (*kernel, *kernel)]
    if net.chance(0.3):
        return net.node("MaxPool", x, **attributes)
    return net.node("AveragePool", x, count_include_pad=net.between(0, 1), **attributes)


def constant_branch(net: Network, x: str) -> str:
    """A branch that reads no input at all."""
    sample = net.sample(x)
    base = net.constant(net.random.normal(size=(1, *sample)))
    made = base
    for _ in range(net.between(0, 2)):
        made = net.node(net.pick("Relu", "Tanh", "Identity", "Sigmoid"), made)
    if net.chance(0.3) and net.rank(x) > 2:
        made = convolution(net, made, sample[0], (1,) * (net.rank(x) - 2))
    if net.chance(0.2):
        net.outputs.append(net.node("Identity", base))
    return net.node(net.pick("Add", "Mul", "Sub"), *net.pick((x, made), (made, x)))


def broadcasts(net: Network, x: str) -> str:
    """Arithmetic with constants, some of which make the value larger or of a higher rank."""
    channels, *lengths = net.sample(x)
    shapes = [
        (),
        (1,),
        (1, channels, *[1] * len(lengths)),
        (channels, *[1] * len(lengths)),
        (1, channels, *lengths),
    ]
    if net.chance(0.3):
        narrow = net.node(
            "Relu", convolution(net, x, 1, (1,) * len(lengths)) if lengths else linear(net, x, 1)
        )
        x, shapes = (
            narrow,
            [(1, 5, *lengths), (5, *lengths), (1, 3, *[1] * len(lengths)), (1, 1, 1, *lengths, 2)],
        )
    shape = shapes[net.between(0, len(shapes) - 1)]
    size = net.random.uniform(0.5, 2, shape) * net.pick(1, -1)
    operands = net.constant(size), x
    x = net.node(
        net.pick("Add", "Mul", "Sub", "Div", "PRelu", "Max", "Min", "Pow"), *operands[:: net.pick(1, -1)]
    )
    return activation(net, x) if net.chance(0.5) else x


def excitation(net: Network, x: str) -> str:
    """Squeeze and excite: a map times one number per channel that it computes itself."""
    channels, axes = net.sample(x)[0], net.rank(x) - 2
    squeezed = net.node("GlobalAveragePool", x)
    inner = activation(net, convolution(net, squeezed, 3, (1,) * axes))
    gate = net.node(net.pick("Sigmoid", "HardSigmoid"), convolution(net, inner, channels, (1,) * axes))
    return net.node("Mul", *net.pick((x, gate), (gate, x)))


# Functions


def absent_inputs(net: Network, x: str) -> str:
    """Optional inputs that are left out, at the end or with something behind them."""
    x = layer(net, x)
    low, high = net.constant(-0.5), net.constant(0.7)
    bounds = [(), (low,), ("", high), (low, ""), ("", ""), (low, high), (high, low)]
    x = net.node("Clip", x, *bounds[net.between(0, len(bounds) - 1)])
    return net.node(
        "Dropout", x, *net.pick((), ("",), ("", ""), (net.constant(0.5),)), outputs=net.pick(1, 2)
    )


def functions(net: Network, x: str) -> str:
    """Every function of one value, one after another."""
    x = layer(net, x) if net.chance(0.7) else x
    choices: list[tuple[str, dict[str, Any]]] = [
        ("Elu", {"alpha": net.pick(1.0, 0.5)}),
        ("HardSigmoid", {"alpha": 0.25}),
        ("LeakyRelu", {"alpha": net.pick(0.1, -0.3, 2.0)}),
        *((name, {}) for name in ("HardSwish", "Softplus", "Sign", "Tanh", "Sigmoid", "Relu", "Identity")),
        *((name, {}) for name in ("Abs", "Neg", "Exp", "Sqrt", "Erf", "Softsign", "Selu", "Floor")),
    ]
    for _ in range(net.between(1, 3)):
        name, attributes = choices[net.between(0, len(choices) - 1)]
        if name == "HardSwish" and net.opset < 14:
            name = "Relu"
        x = net.node(name, net.node("Abs", x) if name == "Sqrt" else x, **attributes)
    slope = (net.sample(x)[0], *[1] * (net.rank(x) - 2))
    return (
        net.node("PRelu", x, net.constant(net.random.normal(size=net.pick(slope, (1,)))))
        if net.chance(0.3)
        else x
    )


def softmaxes(net: Network, x: str) -> str:
    """Softmax in the middle of a network and over other axes."""
    return net.node(net.pick("Softmax", "LogSoftmax"), layer(net, x), axis=net.between(-1, net.rank(x) - 1))


def normalizations(net: Network, x: str) -> str:
    """Batch normalization before, behind and between, with negative, zero and huge factors."""
    for _ in range(net.between(1, 3)):
        x = layer(net, x) if net.chance(0.5) else x
        x = normalization(net, x, net.pick((0.5, 1.5), (-1.5, 1.5), (0.0, 0.0), (1e3, 1e5)))
    if net.chance(0.3) and net.rank(x) == 4:
        x = net.node("MaxPool", x, kernel_shape=[1, min(2, net.sample(x)[2])])
    return x


# Shapes


def flattened(net: Network, x: str) -> str:
    """Flatten with any axis, and shapes that come and go."""
    rank, sample = net.rank(x), net.sample(x)
    x = layer(net, x) if net.chance(0.7) else x
    sample, features = net.sample(x), int(np.prod(net.sample(x), dtype=int))
    if rank > 2 and net.chance(0.5):
        return linear(net, parts.pooled(net, x))
    flat = flatten(net, x)
    forms: list[Callable[[], str]] = [
        lambda: net.node("Unsqueeze", flat, net.integers(net.pick(1, 2, -1))),
        lambda: net.node("Reshape", flat, net.integers(-1, *sample)),
        lambda: net.node("Reshape", flat, net.integers(0, 1, features, 1)),
        lambda: net.node("Reshape", flat, net.integers(0, features, 1, 1)),
        lambda: linear(net, flat),
        lambda: net.node("Flatten", flat, axis=net.pick(0, 2)),
    ]
    return forms[net.between(0, len(forms) - 1)]()


def transposed(net: Network, x: str) -> str:
    """Channels last, channels shuffled, and a transposition that is taken back."""
    rank = net.rank(x)
    last = [0, *range(2, rank), 1]
    first = [0, rank - 1, *range(1, rank - 1)]
    if net.chance(0.3):
        return net.node("Transpose", net.node("Relu", net.node("Transpose", x, perm=last)), perm=first)
    if net.chance(0.5):
        x = convolution(net, x, 4, (1,) * (rank - 2))
        _, *lengths = net.sample(x)
        parted = net.node("Reshape", x, net.integers(-1, 2, 2, *lengths))
        mixed = net.node("Transpose", parted, perm=[0, 2, 1, *range(3, rank + 1)])
        return padded(net, net.node("Reshape", mixed, net.integers(-1, 4, *lengths)))
    return net.node("Transpose", padded(net, x), perm=net.pick(last, [0, *reversed(range(1, rank))]))


def pads(net: Network, x: str) -> str:
    """Pads of zeros and of other numbers, some negative."""
    rank = net.rank(x)
    sizes = [0, 0, *[net.between(0, 2) for _ in range(rank - 2)]] * 2
    if net.chance(0.2):
        sizes[-1] = -1 if net.sample(x)[-1] > 2 else 0
    value = net.pick((), (net.constant(0.0),), (net.constant(1.5),), ("",))
    x = net.node(
        "Pad", x, net.integers(*sizes), *value, mode=net.pick("constant", "constant", "constant", "edge")
    )
    return layer(net, x) if net.chance(0.7) else x


def tiny(net: Network, x: str) -> str:
    """Maps of one pixel, maps of one channel, layers of one feature."""
    if net.rank(x) == 2:
        return linear(net, activation(net, linear(net, x, 1)), net.pick(1, 3))
    x = (
        net.node(net.pick("GlobalAveragePool", "GlobalMaxPool"), x)
        if net.chance(0.5)
        else convolution(net, x, net.pick(1, 5), net.sample(x)[1:])
    )
    axes = net.rank(x) - 2
    for _ in range(net.between(0, 2)):
        kernel = net.pick(1, 3)
        x = convolution(net, x, net.pick(1, 6), (kernel,) * axes, pads=[kernel // 2] * 2 * axes)
        x = activation(net, x) if net.chance(0.7) else x
    return x


def products(net: Network, x: str) -> str:
    """Products of computed values, and of values with more axes than two."""
    if net.rank(x) > 2:
        width = net.sample(x)[-1]
        return net.node("MatMul", x, net.constant(net.random.normal(size=(width, net.between(1, 5)))))
    left, right = linear(net, x, 4), linear(net, x, 4)
    column = net.node("Unsqueeze", left, net.integers(2))
    product = net.node("MatMul", column, net.node("Unsqueeze", right, net.integers(1)))
    return net.node("Flatten", product)


# What surrounds a network


def several_outputs(net: Network, x: str) -> str:
    """A hidden value, or the input, is an output as well."""
    first = layer(net, x)
    net.outputs.append(net.pick(first, first, x))
    second = layer(net, first)
    if net.chance(0.4):
        net.outputs.append(parts.head(net, second))
    return second


def unused_inputs(net: Network, x: str) -> str:
    """A second input that nothing reads, that a dead end reads, or that is really used."""
    other = net.input(BATCH, *net.sample(x))
    if net.chance(0.3):
        activation(net, other)
    return net.node("Add", x, other) if net.chance(0.3) else layer(net, x)


def dead_ends(net: Network, x: str) -> str:
    """Nodes and initializers that lead nowhere."""
    net.constant([1.0, 2.0])
    layer(net, layer(net, x))
    return layer(net, x)


def no_layers(net: Network, x: str) -> str:
    """Hardly a network: functions, pools and sums alone."""
    if net.rank(x) == 4 and net.chance(0.5):
        x = net.node(net.pick("MaxPool", "AveragePool"), x, kernel_shape=[1, 1])
    return net.node(net.pick("Identity", "Relu", "Tanh"), x)


@dataclass(frozen=True)
class Family:
    """A kind of graph: its part, and what it reads: ``maps``, ``features``, or either (empty)."""

    part: Part
    reads: str = ""


FAMILIES: dict[str, Family] = {
    "no activation": Family(no_activation),
    "used twice": Family(used_twice),
    "shared weights": Family(shared_weights),
    "forms of Gemm": Family(gemm_forms, "features"),
    "zero channels": Family(zeros),
    "scales": Family(scales),
    "grouped": Family(grouped, "maps"),
    "windows": Family(windows, "maps"),
    "pools": Family(pools, "maps"),
    "Concat twice": Family(concat_twice),
    "dense": Family(dense),
    "residual": Family(residual),
    "constant branch": Family(constant_branch),
    "broadcast": Family(broadcasts),
    "excitation": Family(excitation, "maps"),
    "absent inputs": Family(absent_inputs),
    "functions": Family(functions),
    "softmax": Family(softmaxes),
    "normalization": Family(normalizations),
    "flatten": Family(flattened),
    "transposed": Family(transposed, "maps"),
    "pads": Family(pads, "maps"),
    "tiny": Family(tiny),
    "products": Family(products),
    "several outputs": Family(several_outputs),
    "unused inputs": Family(unused_inputs),
    "dead ends": Family(dead_ends),
    "no layers": Family(no_layers),
    "input types": Family(layer),
    "open lengths": Family(layer, "maps"),
    "fixed sums": Family(fixed_sums, "maps"),
}


def draw(family: str, seed: int) -> Drawn:
    """Return a random network of a kind; equal arguments give equal networks.

    Parts do not ask whether they fit each other: what ONNX refuses is drawn again.
    """
    for attempt in count():
        try:
            return _attempt(Network(seed, attempt), family, seed)
        except (shape_inference.InferenceError, ValueError):
            continue
    raise AssertionError


def _attempt(net: Network, family: str, seed: int) -> Drawn:
    chosen = FAMILIES[family]
    reads = chosen.reads or net.pick("maps", "maps", "features")
    x = _input(net, family, reads)
    if family == "no layers":
        return _drawn(net, chosen.part(net, x), family, seed)
    for _ in range(net.pick(0, 1, 1)):
        x = parts.small(net, layer(net, x))
    x = parts.small(net, chosen.part(net, x))
    if net.chance(0.4):
        x = _company(net, x)
    x = layer(net, x) if net.rank(x) in (2, 4) and net.chance(0.3) else x
    return _drawn(net, parts.head(net, x), family, seed)


def _drawn(net: Network, last: str, family: str, seed: int) -> Drawn:
    samples, model = net.samples(SAMPLES), net.model(last, family)
    if family == "open lengths":
        for info in model.graph.input:
            for axis, length in enumerate(info.type.tensor_type.shape.dim):
                if axis > 1 and net.chance(0.7):
                    length.dim_param = net.pick("height", f"axis{axis}")
        del model.graph.value_info[:]
    return Drawn(family, seed, model, samples)


def _company(net: Network, x: str) -> str:
    """Add the part of another kind where it fits."""
    name = net.pick(*FAMILIES)
    reads = {2: ("", "features"), 4: ("", "maps")}.get(net.rank(x), ())
    return parts.small(net, FAMILIES[name].part(net, x)) if FAMILIES[name].reads in reads else x


def _input(net: Network, family: str, reads: str) -> str:
    batch = net.pick(BATCH, BATCH, BATCH, 1)
    kind = "float32"
    if family == "input types":
        kind = net.pick("float16", "float64", "uint8", "int8", "int32", "int64")
    axes = net.pick(2, 2, 2, 2, 2, 1, 3) if family in ("windows", "pools", "tiny", "flatten") else 2
    lengths = tuple(net.pick(1, 2, 3, 5, 6, 7, 8) for _ in range(axes))
    shape = (net.pick(1, 2, 3, 5), *lengths) if reads == "maps" else (net.pick(1, 3, 31, 32, 33, 64, 65),)
    if family == "open lengths":
        batch = net.pick(BATCH, 2, SAMPLES)
    x = net.input(batch, *shape, dtype=kind)
    return net.node("Cast", x, to=1) if kind != "float32" else x
