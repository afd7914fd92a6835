"""Networks of many kinds in torch, with seeded weights, as people write and export them."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Exporter = Literal["legacy", "dynamo"]
EXPORTERS: tuple[Exporter, ...] = ("legacy", "dynamo")


@dataclass(frozen=True)
class TorchNetwork:
    """A network and the shapes of its inputs.

    Attributes:
        make: makes it.
        shapes: of its inputs, a sample each.
    """

    make: Callable[[], nn.Module]
    shapes: tuple[tuple[int, ...], ...]


def seeded(network: TorchNetwork, seed: int = 0) -> nn.Module:
    """Return a network in eval mode; its batch normalizations have seen something."""
    torch.manual_seed(seed)
    module = network.make().eval()
    for each in module.modules():
        if isinstance(each, nn.BatchNorm1d | nn.BatchNorm2d):
            assert each.running_mean is not None and each.running_var is not None
            each.running_mean.normal_(0, 0.1)
            each.running_var.uniform_(0.5, 1.5)
    return module


def export(network: TorchNetwork, path: Path, exporter: Exporter, seed: int = 0) -> None:
    """Write a network's ``.onnx`` with the exporter's default options."""
    module = seeded(network, seed)
    samples = tuple(torch.randn(shape) for shape in network.shapes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, samples, str(path), dynamo=exporter == "dynamo")


def _normed(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


def _separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(_normed(inputs, inputs, 3, stride, inputs), _normed(inputs, outputs, 1))


class UNet(nn.Module):
    """Two levels down and up, with skips; `up` is transposed, nearest or bilinear."""

    def __init__(self, up: str, width: int = 16, classes: int = 2) -> None:
        super().__init__()
        self.up = up
        self.first, self.second, self.third = (
            _normed(3, width, 3),
            _normed(width, 2 * width, 3),
            _normed(2 * width, 4 * width, 3),
        )
        lift = self._transposed if up == "transposed" else self._resized
        self.lift_second, self.lift_first = lift(4 * width), lift(2 * width)
        self.back_second, self.back_first = _normed(4 * width, 2 * width, 3), _normed(2 * width, width, 3)
        self.head = nn.Conv2d(width, classes, 1)

    @staticmethod
    def _transposed(inputs: int) -> nn.Module:
        return nn.ConvTranspose2d(inputs, inputs // 2, 2, 2)

    def _resized(self, inputs: int) -> nn.Module:
        aligned = None if self.up == "nearest" else False
        return nn.Sequential(
            nn.Upsample(scale_factor=2, mode=self.up, align_corners=aligned),
            nn.Conv2d(inputs, inputs // 2, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return scores of the classes for each pixel."""
        first = self.first(x)
        second = self.second(functional.max_pool2d(first, 2))
        third = self.third(functional.max_pool2d(second, 2))
        back = self.back_second(torch.cat([self.lift_second(third), second], 1))
        return self.head(self.back_first(torch.cat([self.lift_first(back), first], 1)))  # type: ignore[no-any-return]


class KeywordNet(nn.Module):
    """The DS-CNN of key word spotting: one convolution, four separable ones, a mean."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        first = nn.Conv2d(1, width, (10, 4), 2, (5, 1), bias=False)
        body = [_separable(width, width) for _ in range(4)]
        self.body = nn.Sequential(first, nn.BatchNorm2d(width), nn.ReLU(), *body)
        self.head = nn.Linear(width, 12)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores."""
        return self.head(self.body(x).mean((2, 3)))  # type: ignore[no-any-return]


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = _normed(inputs, outputs, 3, stride)
        self.second = nn.Sequential(nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs))
        self.short: nn.Module = nn.Conv2d(inputs, outputs, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.second(self.first(x)) + self.short(x))


class ResNet8(nn.Module):
    """The residual network of MLPerf Tiny."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        blocks = [_Block(width, width, 1), _Block(width, 2 * width, 2), _Block(2 * width, 4 * width, 2)]
        self.body, self.head = nn.Sequential(_normed(3, width, 3), *blocks), nn.Linear(4 * width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores."""
        return self.head(functional.adaptive_avg_pool2d(self.body(x), 1).flatten(1))  # type: ignore[no-any-return]


class MobileNetV1(nn.Module):
    """A quarter as wide, for 96 x 96 pixels as in MLPerf Tiny; with stride 1, for 32 x 32."""

    def __init__(self, classes: int = 2, stride: int = 2) -> None:
        super().__init__()
        widths = [8, 16, 32, 32, 64, 64, 128, 128, 128, 128, 128, 128, 256, 256]
        strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]
        pairs = zip(widths, widths[1:], strides, strict=False)
        self.body = nn.Sequential(_normed(3, 8, 3, stride), *(_separable(*each) for each in pairs))
        self.head = nn.Linear(256, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores."""
        return self.head(functional.adaptive_avg_pool2d(self.body(x), 1).flatten(1))  # type: ignore[no-any-return]


def _silu(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.SiLU())


class Yolo(nn.Module):
    """Two scales of boxes: raw maps, or decoded to rows of numbers."""

    anchors: Tensor

    def __init__(self, *, decoded: bool) -> None:
        super().__init__()
        self.decoded = decoded
        self.fine = nn.Sequential(_silu(3, 16, 3, 2), _silu(16, 32, 3, 2), _silu(32, 32))
        self.coarse = nn.Sequential(_silu(32, 64, 3, 2), _silu(64, 64))
        self.lift, self.joined = nn.Upsample(scale_factor=2), _silu(96, 32, 1)
        self.heads = nn.ModuleList([nn.Conv2d(32, 45, 1), nn.Conv2d(64, 45, 1)])
        self.register_buffer("anchors", torch.rand(2, 3, 2) * 50)

    def forward(self, x: Tensor) -> tuple[Tensor, ...] | Tensor:
        """Return two maps, or all boxes ``[n, boxes, 15]``."""
        fine = self.fine(x)
        coarse = self.coarse(fine)
        maps = self.joined(torch.cat([self.lift(coarse), fine], 1)), coarse
        raw = tuple(head(each) for head, each in zip(self.heads, maps, strict=True))
        return (
            torch.cat([self._boxes(scale, each) for scale, each in enumerate(raw)], 1)
            if self.decoded
            else raw
        )

    def _boxes(self, scale: int, raw: Tensor) -> Tensor:
        count, _, height, width = raw.shape
        numbers = raw.view(count, 3, 15, height, width).permute(0, 1, 3, 4, 2).sigmoid()
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        grid = torch.stack((columns, rows), 2).view(1, 1, height, width, 2).float()
        centre = (numbers[..., :2] * 2 - 0.5 + grid) * (8 * 2**scale)
        size = (numbers[..., 2:4] * 2) ** 2 * self.anchors[scale].view(1, 3, 1, 1, 2)
        return torch.cat((centre, size, numbers[..., 4:]), -1).view(count, -1, 15)


class Rows(nn.Module):
    """A recurrent network over the rows of a picture, its last state classified."""

    def __init__(self, kind: str, width: int = 32) -> None:
        super().__init__()
        both = kind == "lstm"
        make = nn.LSTM if both else nn.GRU
        self.body = make(28, width, 2 if both else 1, batch_first=True, bidirectional=both)
        self.head = nn.Linear(width * (1 + both), 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores."""
        return self.head(self.body(x)[0][:, -1])  # type: ignore[no-any-return]


class Encoder(nn.Module):
    """A transformer's encoder over the rows of a picture."""

    def __init__(self, width: int = 64, layers: int = 2) -> None:
        super().__init__()
        self.embed, self.place = nn.Linear(28, width), nn.Parameter(torch.randn(1, 28, width) * 0.1)
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, batch_first=True, activation="gelu")
        self.body = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores."""
        return self.head(self.body(self.embed(x) + self.place).mean(1))  # type: ignore[no-any-return]


class Wave(nn.Module):
    """Gated dilated convolutions over samples of a signal, as WaveNet has them."""

    def __init__(self, depth: int = 4) -> None:
        super().__init__()
        self.first, self.head = nn.Conv1d(1, 16, 1), nn.Conv1d(16, 8, 1)
        self.gates = nn.ModuleList([nn.Conv1d(16, 32, 2, dilation=2**each) for each in range(depth)])
        self.mixes = nn.ModuleList([nn.Conv1d(16, 16, 1) for _ in range(depth)])

    def forward(self, x: Tensor) -> Tensor:
        """Return eight numbers for each sample."""
        x = self.first(x)
        for each, (gate, mix) in enumerate(zip(self.gates, self.mixes, strict=True)):
            value, weight = gate(functional.pad(x, (2**each, 0))).chunk(2, 1)
            x = x + mix(torch.tanh(value) * torch.sigmoid(weight))
        return self.head(x)  # type: ignore[no-any-return]


class TwoInputs(nn.Module):
    """A picture and five facts about it."""

    def __init__(self) -> None:
        super().__init__()
        maps = nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(), nn.Flatten()
        self.picture, self.facts = nn.Sequential(*maps), nn.Sequential(nn.Linear(5, 32), nn.ReLU())
        self.head = nn.Linear(16 * 49 + 32, 3)

    def forward(self, picture: Tensor, facts: Tensor) -> Tensor:
        """Return scores."""
        return self.head(torch.cat([self.picture(picture), self.facts(facts)], 1))  # type: ignore[no-any-return]


def _signal() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv1d(9, 32, 5), nn.BatchNorm1d(32), nn.ReLU(), nn.MaxPool1d(2)),
        *(nn.Conv1d(32, 64, 5, padding=2, dilation=2), nn.ReLU(), nn.AdaptiveAvgPool1d(1)),
        *(nn.Flatten(), nn.Linear(64, 6)),
    )


def _autoencoder() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU()),
        *(nn.ConvTranspose2d(16, 8, 3, 2, 1, output_padding=1), nn.ReLU()),
        *(nn.ConvTranspose2d(8, 1, 3, 2, 1, output_padding=1), nn.Sigmoid()),
    )


def _normalized() -> nn.Module:
    first = nn.Linear(20, 64), nn.LayerNorm(64), nn.GELU()
    return nn.Sequential(*first, nn.Linear(64, 64), nn.LayerNorm(64), nn.SiLU(), nn.Linear(64, 4))


def _jets() -> nn.Module:
    first = nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU()
    return nn.Sequential(*first, nn.Linear(32, 5), nn.Softmax(1))


NETWORKS = {
    "unet_transposed": TorchNetwork(lambda: UNet("transposed"), ((1, 3, 64, 64),)),
    "unet_nearest": TorchNetwork(lambda: UNet("nearest"), ((1, 3, 64, 64),)),
    "unet_linear": TorchNetwork(lambda: UNet("bilinear"), ((1, 3, 64, 64),)),
    "ds_cnn": TorchNetwork(KeywordNet, ((1, 1, 49, 10),)),
    "resnet8": TorchNetwork(ResNet8, ((1, 3, 32, 32),)),
    "mobilenet_v1_025": TorchNetwork(MobileNetV1, ((1, 3, 96, 96),)),
    "autoencoder": TorchNetwork(_autoencoder, ((1, 1, 28, 28),)),
    "yolo_raw": TorchNetwork(lambda: Yolo(decoded=False), ((1, 3, 128, 128),)),
    "yolo_decoded": TorchNetwork(lambda: Yolo(decoded=True), ((1, 3, 128, 128),)),
    "gru": TorchNetwork(lambda: Rows("gru"), ((1, 28, 28),)),
    "lstm_bidirectional": TorchNetwork(lambda: Rows("lstm"), ((1, 28, 28),)),
    "transformer_encoder": TorchNetwork(Encoder, ((1, 28, 28),)),
    "signal_1d": TorchNetwork(_signal, ((1, 9, 128),)),
    "wave_1d": TorchNetwork(Wave, ((1, 1, 64),)),
    "layernorm_mlp": TorchNetwork(_normalized, ((1, 20),)),
    "jets_mlp": TorchNetwork(_jets, ((1, 16),)),
    "two_inputs": TorchNetwork(TwoInputs, ((1, 1, 28, 28), (1, 5))),
}
