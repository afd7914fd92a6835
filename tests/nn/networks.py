"""Small networks as people write them, drawn from a seed: twelve families, many ways of saying the same.

A network is a module, samples of its inputs, and the family that it is of. Widths, depths, activations and
the way of writing them are drawn; `draw(family, seed)` gives the same one again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

Random = np.random.Generator


@dataclass
class Drawn:
    """A network, and what it reads."""

    module: nn.Module
    inputs: tuple[Tensor, ...]


def _one(random: Random, *choices: Any) -> Any:
    return choices[random.integers(len(choices))]


def _activation(random: Random) -> nn.Module:
    kinds = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.GELU, nn.Hardswish, nn.LeakyReLU, nn.ELU, nn.Tanh, nn.PReLU)
    kind = _one(random, *kinds)
    return kind(inplace=True) if kind in (nn.ReLU, nn.SiLU) and random.random() < 0.5 else kind()


def _norm(random: Random, channels: int) -> nn.Module:
    kind = random.integers(4)
    if kind == 0:
        return nn.GroupNorm(2, channels)
    return nn.Identity() if kind == 1 else nn.BatchNorm2d(channels)


def _maps(random: Random, channels: int = 3, size: int = 0) -> Tensor:
    size = size or int(_one(random, 8, 12, 16))
    return torch.randn(16, channels, size, size)


class Plain(nn.Module):
    """Blocks in a Sequential, pools of all kinds, a classifier behind a view or a flatten."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        width, channels, blocks = 3, int(_one(random, 8, 12)), []
        for _ in range(random.integers(2, 4)):
            same = random.random() < 0.4
            convolution = nn.Conv2d(
                width, channels, 3, padding="same" if same else 1, bias=random.random() < 0.5
            )
            blocks += [convolution, _norm(random, channels), _activation(random)]
            blocks.append(
                _one(random, nn.MaxPool2d(2), nn.AvgPool2d(2), nn.MaxPool2d(3, 2, 1), nn.Identity())
            )
            blocks += [nn.Dropout2d(0.1)] if random.random() < 0.3 else []
            width, channels = channels, channels + 4
        self.features = nn.Sequential(*blocks)
        self.pool, self.how = nn.AdaptiveAvgPool2d(_one(random, 1, 2)), int(random.integers(4))
        self.classifier = nn.Linear(width * self.pool.output_size**2, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.features(x))
        match self.how:
            case 0:
                x = x.view(x.size(0), -1)
            case 1:
                x = torch.flatten(x, 1)
            case 2:
                x = x.reshape(x.shape[0], x.shape[1] * x.shape[2] * x.shape[3])
            case _:
                x = x.flatten(start_dim=1)
        return self.classifier(x)


class Functional(nn.Module):
    """Functions instead of modules, weights that are parameters of the network's own."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        width = int(_one(random, 8, 12))
        self.conv1, self.bn = nn.Conv2d(3, width, 3, 1, 1), nn.BatchNorm2d(width)
        self.weight = nn.Parameter(torch.randn(width, width, 3, 3) * 0.1)
        self.offset = nn.Parameter(torch.zeros(width))
        self.fc1, self.fc2 = nn.Linear(width, 16), nn.Linear(16, 4)
        self.functions = [
            _one(random, functional.relu, torch.relu, functional.gelu, functional.silu, Tensor.relu,
                 torch.tanh, lambda x: functional.relu(x, inplace=True), lambda x: x.clamp(0, 4),
                 functional.hardswish, lambda x: functional.leaky_relu(x, 0.1),
                 lambda x: x * torch.sigmoid(x))
            for _ in range(3)
        ]  # fmt: skip
        self.own = bool(random.random() < 0.6)
        self.mean = _one(random, lambda x: x.mean((2, 3)), lambda x: x.mean(dim=[-2, -1]),
                         lambda x: functional.adaptive_avg_pool2d(x, 1).squeeze(-1).squeeze(-1),
                         lambda x: torch.amax(x, (2, 3)))  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        x = self.functions[0](self.bn(self.conv1(x)))
        x = functional.max_pool2d(x, 2)
        if self.own:
            x = x + functional.conv2d(self.functions[1](x), self.weight, self.offset, padding=1)
        x = functional.dropout(self.mean(x), 0.1, self.training)
        return self.fc2(self.functions[2](self.fc1(x)))


class _Block(nn.Module):
    def __init__(self, random: Random, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.relu = _one(random, nn.ReLU(inplace=True), nn.ReLU(), nn.LeakyReLU(0.2))
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.down = None
        if stride != 1 or inputs != outputs:
            self.down = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        self.before = bool(random.random() < 0.3)

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.down is None else self.down(x)
        x = self.relu(x) if self.before else x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        return out if self.before else self.relu(out)


class Residual(nn.Module):
    """torchvision's idiom: one ReLU for all places, a shortcut that may be None."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        width = int(_one(random, 8, 12))
        self.stem = nn.Conv2d(3, width, 3, 1, 1)
        self.layers = nn.ModuleList(
            _Block(random, width if n == 0 else 2 * width, 2 * width, 2 - n % 2)
            for n in range(random.integers(1, 3))
        )
        self.head = nn.Linear(2 * width, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for layer in self.layers:
            x = layer(x)
        return self.head(x.mean([2, 3]))


class _Squeeze(nn.Module):
    def __init__(self, random: Random, channels: int) -> None:
        super().__init__()
        self.linear = bool(random.random() < 0.3)
        made = nn.Linear if self.linear else lambda a, b: nn.Conv2d(a, b, 1)
        self.reduce, self.expand = made(channels, 4), made(4, channels)
        self.act, self.gate = nn.SiLU(), _one(random, nn.Sigmoid(), nn.Hardsigmoid())

    def forward(self, x: Tensor) -> Tensor:
        if self.linear:
            scale = self.gate(self.expand(self.act(self.reduce(x.mean((2, 3))))))
            return x * scale[:, :, None, None]
        return x * self.gate(self.expand(self.act(self.reduce(x.mean((2, 3), keepdim=True)))))


class Mobile(nn.Module):
    """Inverted bottlenecks: depthwise convolutions, squeeze and excite, SiLU and Hardswish."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        width = 8
        act = _one(random, nn.SiLU, nn.Hardswish, nn.ReLU6, nn.Mish)
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), act())
        self.blocks = nn.ModuleList()
        for _ in range(random.integers(1, 3)):
            hidden, kernel = 2 * width, int(_one(random, 3, 5))
            self.blocks.append(
                nn.Sequential(
                    nn.Conv2d(width, hidden, 1, bias=False),
                    nn.BatchNorm2d(hidden),
                    act(),
                    nn.Conv2d(hidden, hidden, kernel, 1, kernel // 2, groups=hidden, bias=False),
                    nn.BatchNorm2d(hidden),
                    act(),
                    _Squeeze(random, hidden) if random.random() < 0.7 else nn.Identity(),
                    nn.Conv2d(hidden, width, 1, bias=False),
                    nn.BatchNorm2d(width),
                )
            )
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(width, 4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)


class Dense(nn.Module):
    """Joined and split maps, a shuffle of channels, layers in a dict and in a plain list."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        width = 8
        self.paths = nn.ModuleDict(
            {
                "a": nn.Conv2d(3, width, 1),
                "b": nn.Conv2d(3, width, 3, padding=1),
                "c": nn.Conv2d(3, width, 5, padding=2),
            }
        )
        self.norm, self.relu = nn.BatchNorm2d(3 * width), nn.ReLU()
        self.grouped = nn.Conv2d(3 * width, 2 * width, 3, padding=1, groups=int(_one(random, 2, 4)))
        self.shuffle, self.last = bool(random.random() < 0.5), nn.Conv2d(4 * width, 5, 1)
        self.split = _one(random, lambda x: x.chunk(2, 1), lambda x: torch.split(x, 12, dim=1),
                          lambda x: (x[:, :12], x[:, 12:]))  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([path(x) for path in self.paths.values()], dim=1)
        x = self.relu(self.norm(x))
        if self.shuffle:
            n, c, h, w = x.shape
            x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        first, second = self.split(x)
        y = self.grouped(torch.cat((second, first), 1))
        y = torch.cat([y, first, second[:, :4]], 1)
        return functional.adaptive_avg_pool2d(self.last(y), (1, 1)).flatten(1)


class Lines(nn.Module):
    """Sensors: one-dimensional convolutions, dilated ones, pools, sometimes behind a transposition."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        width, self.turned = int(_one(random, 8, 12)), bool(random.random() < 0.4)
        padding = _one(random, "same", 2)
        self.net = nn.Sequential(
            nn.Conv1d(6, width, 5, padding=padding),
            nn.BatchNorm1d(width),
            _activation(random),
            _one(random, nn.MaxPool1d(2), nn.AvgPool1d(2), nn.Identity()),
            nn.Conv1d(width, 16, 3, dilation=2, groups=int(_one(random, 1, 2))),
            _activation(random),
            _one(random, nn.AdaptiveAvgPool1d(1), nn.AdaptiveMaxPool1d(1)),
            nn.Flatten(),
            nn.Linear(16, 4),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.transpose(1, 2) if self.turned else x)


class UNet(nn.Module):
    """Down and up again: transposed convolutions or interpolation, joined with what was before."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        width = int(_one(random, 6, 8))
        self.down1, self.down2 = nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, 2 * width, 3, padding=1)
        self.bn1, self.bn2 = nn.BatchNorm2d(width), nn.BatchNorm2d(2 * width)
        self.pool, self.act = nn.MaxPool2d(2), _activation(random)
        self.up: nn.Module = _one(
            random,
            nn.ConvTranspose2d(2 * width, width, 2, 2),
            nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False),
            nn.ConvTranspose2d(2 * width, width, 3, 2, 1, output_padding=1, groups=2),
            nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(2 * width, width, 3, padding=1)),
        )
        self.out = nn.Conv2d(2 * width, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        first = self.act(self.bn1(self.down1(x)))
        second = self.act(self.bn2(self.down2(self.pool(first))))
        return self.out(torch.cat([self.up(second), first], 1))


class Mlp(nn.Module):
    """Rows: norms, wrappers that are lambdas, a skip, two inputs or two outputs."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        width = int(_one(random, 16, 24))
        norms = (nn.BatchNorm1d(width), nn.LayerNorm(width), nn.Identity())
        self.first, self.second = nn.Linear(10, width), nn.Linear(width, width)
        self.norm, self.act, self.third = _one(random, *norms), _activation(random), nn.Linear(width, 3)
        self.wrapped = (lambda layer: lambda x: layer(x))(self.second)
        if random.random() < 0.3:
            weight_norm(self.second)
        self.kind = int(random.integers(4))
        self.register_buffer("mean", torch.full((10,), 0.1))

    def forward(self, x: Tensor, other: Tensor | None = None) -> Any:
        x = x - self.mean if other is None else torch.minimum(x, other) + 0.5 * other
        x = self.act(self.norm(self.first(x)))
        x = x + self.act(self.wrapped(x))
        if self.kind == 1:
            return self.third(x), x.sum(1)
        return {"logits": self.third(x)} if self.kind == 2 else self.third(x)


class Mixer(nn.Module):
    """Patches, and layers over tokens and over channels in turn."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        width = int(_one(random, 8, 16))
        self.patch = nn.Conv2d(3, width, 4, 4)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.tokens = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 4))
        self.channels = nn.Sequential(
            nn.Linear(width, 2 * width), _activation(random), nn.Linear(2 * width, width)
        )
        self.head, self.rounds = nn.Linear(width, 4), int(random.integers(1, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        for _ in range(self.rounds):
            x = x + self.tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
            x = x + self.channels(self.norm2(x))
        return self.head(x.mean(1))


class Attention(nn.Module):
    """Transformers: attention of torch, or written by hand, over embedded words or patches."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        width, self.kind = int(_one(random, 8, 16)), int(random.integers(4))
        self.words = bool(random.random() < 0.5)
        self.embedding = nn.Embedding(11, width) if self.words else nn.Linear(6, width)
        self.place = nn.Parameter(torch.randn(1, 7, width) * 0.1)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 3)
        if self.kind == 0:
            self.block = nn.TransformerEncoderLayer(width, 2, 2 * width, 0.1, batch_first=True,
                                                    norm_first=bool(random.random() < 0.5))  # fmt: skip
        elif self.kind == 1:
            self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        elif self.kind == 2:
            self.attention = nn.MultiheadAttention(width, 2)
        else:
            self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embedding(x) + self.place
        y = self.norm(x)
        if self.kind == 0:
            x = self.block(x)
        elif self.kind == 1:
            x = x + self.attention(y, y, y, need_weights=False)[0]
        elif self.kind == 2:
            y = y.transpose(0, 1)
            x = x + self.attention(y, y, y)[0].transpose(0, 1)
        else:
            n, t, c = y.shape
            q, k, v = self.qkv(y).reshape(n, t, 3, 2, c // 2).permute(2, 0, 3, 1, 4)
            weights = (q @ k.transpose(-2, -1) / (c // 2) ** 0.5).softmax(-1)
            x = x + self.project((weights @ v).transpose(1, 2).reshape(n, t, c))
        return self.head(x[:, 0])


class Recurrent(nn.Module):
    """Sequences: LSTM, GRU, RNN; of several layers or both ways; the last step or a mean of all."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        kind, both = _one(random, nn.LSTM, nn.GRU, nn.RNN), bool(random.random() < 0.3)
        self.first = bool(random.random() < 0.8)
        layers, width = int(random.integers(1, 3)), 8
        self.rnn = kind(5, width, layers, batch_first=self.first, bidirectional=both)
        self.fc, self.mean = nn.Linear(2 * width if both else width, 4), bool(random.random() < 0.5)

    def forward(self, x: Tensor) -> Tensor:
        x, _ = self.rnn(x if self.first else x.transpose(0, 1))
        x = x if self.first else x.transpose(0, 1)
        return self.fc(x.mean(1) if self.mean else x[:, -1])


class Shared(nn.Module):
    """Layers in two places, two inputs, subclasses of layers, padding that is no zeros."""

    def __init__(self, random: Random) -> None:
        super().__init__()

        class Padded(nn.Conv2d):
            def forward(self, x: Tensor) -> Tensor:
                return super().forward(functional.pad(x, (1, 1, 1, 1)))

        class Standardized(nn.Conv2d):
            def forward(self, x: Tensor) -> Tensor:
                weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
                weight = weight / (weight.std((1, 2, 3), keepdim=True) + 1e-5)
                return self._conv_forward(x, weight, self.bias)

        class Named(nn.Conv2d):
            """A name of its own."""

        self.stem = nn.Conv2d(
            3, 8, 3, padding=1, padding_mode=_one(random, "reflect", "replicate", "circular")
        )
        self.twice = _one(
            random, Padded(8, 8, 3), Standardized(8, 8, 3, padding=1), Named(8, 8, 3, padding=1)
        )
        self.norms = [nn.BatchNorm2d(8), nn.BatchNorm2d(8)]
        self.norm1, self.norm2 = self.norms
        self.act, self.head = _activation(random), nn.Linear(8, 3)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        first, second = self.stem(left), self.stem(right)
        for norm in self.norms:
            first = self.act(norm(self.twice(first)))
        return self.head((first * 0.5 + second).amax((2, 3)))


FAMILIES: dict[str, Callable[[Random], nn.Module]] = {
    "plain": Plain,
    "functional": Functional,
    "residual": Residual,
    "mobile": Mobile,
    "dense": Dense,
    "lines": Lines,
    "unet": UNet,
    "mlp": Mlp,
    "mixer": Mixer,
    "attention": Attention,
    "recurrent": Recurrent,
    "shared": Shared,
}


def draw(family: str, seed: int) -> Drawn:
    """Return the network of a seed; torch's generator is seeded, too."""
    random = np.random.default_rng([seed, list(FAMILIES).index(family)])
    torch.manual_seed(seed)
    module = FAMILIES[family](random)
    return Drawn(module, _inputs(module, random))


def _inputs(module: nn.Module, random: Random) -> tuple[Tensor, ...]:
    match module:
        case Lines():
            return (torch.randn(16, 24, 6) if module.turned else torch.randn(16, 6, 24),)
        case Mlp():
            return (
                (torch.randn(32, 10),) * 1 if module.kind != 3 else (torch.randn(32, 10), torch.randn(32, 10))
            )
        case Mixer():
            return (_maps(random, size=8),)
        case Attention():
            return (torch.randint(0, 11, (16, 7)) if module.words else torch.randn(16, 7, 6),)
        case Recurrent():
            return (torch.randn(16, 6, 5),)
        case Shared():
            return _maps(random, size=8), _maps(random, size=8)
        case UNet():
            return (_maps(random, size=8),)
    return (_maps(random),)
