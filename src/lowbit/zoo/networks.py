"""The networks, each declared once.

Sizes are those of 32×32 colour pictures with ten classes; the ``-fashion`` ones take 28×28 grey pictures.
``-half`` and ``-quarter`` have that part of every layer's channels, and ``-fashion`` is narrow too, so that
a CPU can train them. Pixels are in [0, 1]; the output is logits.
"""

import difflib

from lowbit.errors import PlanError
from lowbit.zoo.architecture import (
    Activation,
    Architecture,
    BatchNormalization,
    Convolution,
    Dense,
    Flatten,
    GlobalAverage,
    Layer,
    Linear,
    Pool,
    Residual,
    SeparableTransform,
)

_COLOUR, _GREY, _CLASSES = (3, 32, 32), (1, 28, 28), 10


def _conv(channels: int, kernel: int = 3, stride: int = 1, padding: int = 1) -> tuple[Layer, ...]:
    """Return convolution, batch normalization, ReLU."""
    convolution = Convolution(channels, kernel, stride, padding)
    return (convolution, BatchNormalization(), Activation())


def _fc(features: int) -> tuple[Layer, ...]:
    """Return fully connected, batch normalization, ReLU."""
    return (Linear(features, bias=False), BatchNormalization(), Activation())


def _plain(plan: str, padding: int = 1, part: int = 1) -> tuple[Layer, ...]:
    """Return 3×3 convolutions by their channels, divided by ``part``, and 2×2 max-pools (``M``)."""
    steps = [(Pool(),) if step == "M" else _conv(int(step) // part, padding=padding) for step in plan.split()]
    return sum(steps, ())


def _head(*features: int) -> tuple[Layer, ...]:
    """Return flatten, hidden layers, logits."""
    return (Flatten(), *sum(map(_fc, features), ()), Linear(_CLASSES))


def _mlp(*hidden: int) -> tuple[Layer, ...]:
    """Return flatten and fully connected layers with ReLU between."""
    layers = (part for features in hidden for part in (Linear(features), Activation()))
    return (Flatten(), *layers, Linear(_CLASSES))


def _lst(*blocks: Layer) -> tuple[Layer, ...]:
    """Return blocks of 28×28 and the classifier."""
    return (*blocks, Flatten(), Linear(_CLASSES))


def _lenet() -> tuple[Layer, ...]:
    """LeNet-5 (LeCun et al. 1998) as taught today: max-pool, ReLU, biases, no normalization."""
    features = (
        *(Convolution(6, 5, padding=2, bias=True), Activation(), Pool()),
        *(Convolution(16, 5, bias=True), Activation(), Pool(), Flatten()),
    )
    return (*features, Linear(120), Activation(), Linear(84), Activation(), Linear(_CLASSES))


def _alexnet(width: int, hidden: int) -> tuple[Layer, ...]:
    """AlexNet (Krizhevsky et al. 2012) for small pictures: its five convolutions and overlapping pools."""
    pool = (Pool("max", 3, 2),)
    return (
        *(*_conv(width, 5, padding=2), *pool, *_conv(3 * width, 5, padding=2), *pool),
        *(*_conv(6 * width), *_conv(4 * width), *_conv(4 * width), *pool),
        *_head(hidden, hidden),
    )


def _basic_block(source: int, channels: int, stride: int) -> tuple[Layer, ...]:
    """Return the two-convolution residual block of He et al. 2015, 1×1 shortcut where shapes change."""
    body = (*_conv(channels, stride=stride), Convolution(channels, padding=1), BatchNormalization())
    shortcut = (Convolution(channels, 1, stride), BatchNormalization())
    return (Residual(body, () if (source, stride) == (channels, 1) else shortcut), Activation())


def _resnet(width: int, stages: int, blocks: int) -> tuple[Layer, ...]:
    """Return a CIFAR residual network; every stage halves the picture and doubles the channels."""
    layers, source = _conv(width), width
    for stage in range(stages):
        for block in range(blocks):
            channels = width << stage
            layers += _basic_block(source, channels, stride=2 if stage and not block else 1)
            source = channels
    return (*layers, GlobalAverage(), Linear(_CLASSES))


def _densenet(growth: int, depth: int) -> tuple[Layer, ...]:
    """DenseNet (Huang et al. 2017) for CIFAR: three blocks of ``depth`` layers, 1×1 transitions."""
    unit = Dense((BatchNormalization(), Activation(), Convolution(growth, padding=1)))
    channels = 2 * growth
    layers: tuple[Layer, ...] = (Convolution(channels, padding=1),)
    for block in range(3):
        layers += (unit,) * depth + (BatchNormalization(), Activation())
        channels += growth * depth
        if block < 2:
            layers += (Convolution(channels, 1), Pool("average"))
    return (*layers, GlobalAverage(), Linear(_CLASSES))


def _strided(first: int, second: int, third: int) -> tuple[Layer, ...]:
    """Return three convolutions of halved maps, 12×12, 5×5 and 3×3 of 28×28: no pool needs a larger one."""
    maps = (
        *_conv(first, 5, stride=2, padding=0),
        *_conv(second, stride=2, padding=0),
        *_conv(third, padding=0),
    )
    return (*maps, Flatten(), Linear(_CLASSES))


def _depthwise(first: int, second: int, third: int) -> tuple[Layer, ...]:
    """Return those maps, of which the last two are made by a depthwise layer and a pointwise one each."""
    return (
        *_conv(first, 5, stride=2, padding=0),
        *_separable(first, second, stride=2),
        *_separable(second, third, stride=1),
        *(Flatten(), Linear(_CLASSES)),
    )


def _separable(source: int, channels: int, stride: int) -> tuple[Layer, ...]:
    """Return a depthwise 3×3 and a 1×1 convolution (MobileNet, Howard et al. 2017)."""
    depthwise = Convolution(source, 3, stride, groups=source)
    return (depthwise, BatchNormalization(), Activation(), *_conv(channels, 1, padding=0))


def _teacher() -> tuple[Layer, ...]:
    """Return LeNet's maps, wider and with normalization."""
    maps = (*_conv(16, 5, padding=2), Pool(), *_conv(32, 5, padding=0), Pool())
    return (*maps, *_head(128))


def _halved(*hidden: int) -> tuple[Layer, ...]:
    """Return an average over 2×2 pixels and fully connected layers with normalization."""
    return (Pool("average"), *_head(*hidden))


_VGG16 = "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M"
_VGG_SMALL = "128 128 M 256 256 M 512 512 M"  # of LQ-Nets, IR-Net and others; no hidden layer behind
_CNV = "64 64 M 128 128 M 256 256"

_LST = SeparableTransform(28)

_ALL = (
    Architecture("lst1", _GREY, _lst(_LST), "LST-1: one learned separable transform"),
    Architecture("lst2", _GREY, _lst(_LST, _LST), "LST-2: two"),
    Architecture("reslst", _GREY, _lst(*(Residual((_LST,)),) * 3), "ResLST-3: three with shortcuts"),
    Architecture("mlp-784-10", _GREY, _mlp(), "a single layer"),
    Architecture("mlp-784-12-10", _GREY, _mlp(12), "perceptron of Westby et al. 2021"),
    Architecture("mlp-784-40-10", _GREY, _mlp(40), "one hidden layer of 40"),
    Architecture("mlp-784-40-40-40-10", _GREY, _mlp(40, 40, 40), "perceptron of Huynh 2017"),
    Architecture("mlp-784-126-126-10", _GREY, _mlp(126, 126), "perceptron of Huynh 2017"),
    Architecture("mlp-784-512-512-10", _GREY, _mlp(512, 512), "perceptron of Samragh et al. 2017"),
    Architecture("mlp-784-600-600-10", _GREY, _mlp(600, 600), "perceptron of Medus et al. 2019"),
    Architecture(
        "digits", (64,), (Linear(128), Activation(), Linear(_CLASSES)), "64-128-10, trained on the digits"
    ),
    Architecture("mlp", (784,), (Linear(680), Activation("tanh"), Linear(_CLASSES)), "784-680-10, tanh"),
    Architecture("lenet", _GREY, _lenet(), "LeNet-5, 28×28"),
    Architecture("mcu-fc-4", _GREY, _halved(88, 56, 32), "for microcontrollers: 24,288 weights"),
    Architecture("mcu-conv-small", _GREY, _strided(8, 24, 24), "for microcontrollers: 9,272 weights"),
    Architecture("mcu-conv", _GREY, _strided(12, 32, 48), "for microcontrollers: 21,900 weights"),
    Architecture("mcu-depthwise", _GREY, _depthwise(12, 32, 48), "for microcontrollers: 6,936 weights"),
    Architecture("mcu-teacher", _GREY, _teacher(), "teaches those for microcontrollers, float"),
    Architecture("vgg-fashion", _GREY, (*_plain("32 32 M 64 64 M 128 128 M"), *_head()), "plain, 28×28"),
    Architecture("vgg16", _COLOUR, (*_plain(_VGG16), *_head(1024)), "VGG16 for 32×32, head 512-1024-10"),
    Architecture("vgg16-half", _COLOUR, (*_plain(_VGG16, part=2), *_head(512)), "VGG16, half as wide"),
    Architecture("vgg-small", _COLOUR, (*_plain(_VGG_SMALL), *_head()), "VGG-small: six convolutions"),
    Architecture(
        "vgg-small-half", _COLOUR, (*_plain(_VGG_SMALL, part=2), *_head()), "VGG-small, half as wide"
    ),
    Architecture(
        "vgg-small-quarter", _COLOUR, (*_plain(_VGG_SMALL, part=4), *_head()), "VGG-small, a quarter as wide"
    ),
    Architecture("cnv", _COLOUR, (*_plain(_CNV, padding=0), *_head(512, 512)), "CNV, head 512-512-10"),
    Architecture("cnv-half", _COLOUR, (*_plain(_CNV, 0, part=2), *_head(256, 256)), "CNV, half as wide"),
    Architecture("alexnet", _COLOUR, _alexnet(64, 1024), "AlexNet, CIFAR size"),
    Architecture("alexnet-quarter", _COLOUR, _alexnet(16, 256), "AlexNet, a quarter as wide"),
    Architecture("alexnet-fashion", _GREY, _alexnet(16, 256), "AlexNet, a quarter as wide, 28×28"),
    Architecture("resnet18", _COLOUR, _resnet(64, 4, 2), "ResNet-18, CIFAR size"),
    Architecture("resnet20", _COLOUR, _resnet(16, 3, 3), "ResNet-20"),
    Architecture("resnet20-half", _COLOUR, _resnet(8, 3, 3), "ResNet-20, half as wide"),
    Architecture("resnet20-fashion", _GREY, _resnet(8, 3, 3), "ResNet-20, half as wide, 28×28"),
    Architecture("densenet", _COLOUR, _densenet(12, 12), "DenseNet-40, growth 12"),
    Architecture("densenet-22", _COLOUR, _densenet(8, 6), "DenseNet-22, growth 8"),
    Architecture("densenet-fashion", _GREY, _densenet(8, 3), "DenseNet-13, growth 8, 28×28"),
)

NETWORKS = {architecture.name: architecture for architecture in _ALL}
"""Every network by name."""


def network(name: str) -> Architecture:
    """Return a network by name.

    Raises:
        PlanError: there is none; near names are listed.
    """
    if name in NETWORKS:
        return NETWORKS[name]
    near = difflib.get_close_matches(name, NETWORKS, n=3) or NETWORKS
    raise PlanError("the zoo has no such network", expected=" or ".join(near), found=repr(name))
