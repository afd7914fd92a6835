"""`Linear`, convolutions and transposed ones, with specifications of weights and of the input.

Drop-in for those of `torch.nn`: the same arguments and state, and besides, by keyword,

    weight, activation      specifications of the weights and of the input
    weight_gradient, activation_gradient      rules; the scheme's own when None
    scale                   of binary weights `mean`, `one`, `learned`; of powers of two `learned`, `power`
"""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from lowbit.nn.low_bit import LowBit, Product, Text
from lowbit.nn.specification import FLOAT

SETTINGS = ("weight", "activation", "weight_gradient", "activation_gradient", "scale")


class _Made(LowBit):
    """A layer that is made by its constructor."""

    def __init__(self, *args: Any, weight: Text = FLOAT, activation: Text = FLOAT, **named: Any) -> None:
        settings = {name: named.pop(name) for name in SETTINGS[2:] if name in named}
        super().__init__(*args, **named)
        self.quantize(weight, activation, **settings)


class Linear(_Made, nn.Linear):  # type: ignore[misc]
    """`torch.nn.Linear` with quantized weights and input."""

    def forward(self, input: Tensor) -> Tensor:
        """Return outputs `[…, o]` of inputs `[…, n]`."""
        return self.low_bit(input, self.product)

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return `x W^T + b`."""
        return functional.linear(x, weight, bias)


class _Convolution(_Made):
    has_grid = False
    _conv_forward: Product

    def forward(self, input: Tensor) -> Tensor:
        """Return outputs `[n, o, …]` of inputs `[n, c, …]`."""
        return self.low_bit(input, self.product)

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return the convolution, padded as the layer says."""
        return self._conv_forward(x, weight, bias)


class Conv1d(_Convolution, nn.Conv1d):  # type: ignore[misc]
    """`torch.nn.Conv1d` with quantized weights and input."""


class Conv2d(_Convolution, nn.Conv2d):  # type: ignore[misc]
    """`torch.nn.Conv2d` with quantized weights and input.

    Attributes:
        counted: called instead of torch's convolution while training, where somebody set it.
    """

    counted: Product | None = None

    def forward(self, input: Tensor) -> Tensor:
        """Return outputs `[n, o, y, x]` of inputs `[n, c, h, w]`."""
        return self.low_bit(input, self.counted if self.training and self.counted else self.product)


class _Transposed(_Made):
    has_grid = False
    groups: int
    _sizes: Any

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Return outputs `[n, o, …]` of inputs `[n, c, …]`."""
        self._sizes = output_size
        return self.low_bit(input, self.product)

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return the transposed convolution."""
        convolve = functional.conv_transpose1d if weight.ndim == 3 else functional.conv_transpose2d
        more = self.more_outputs(x)
        window = (self.stride, self.padding, more, self.groups, self.dilation)
        made: Tensor = convolve(x, self.as_stored(weight), bias, *window)  # type: ignore[arg-type]
        return made

    def more_outputs(self, x: Tensor) -> list[int]:
        """Return torch's output padding of an input."""
        rank = self.weight.ndim - 2
        settings = (self.stride, self.padding, self.kernel_size, rank, self.dilation)
        return list(self._output_padding(x, self._sizes, *settings))  # type: ignore[operator]

    def outputs_first(self, weight: Tensor) -> Tensor:
        """Return `[o, c / group, …]` of weights `[c, o / group, …]`."""
        apart = weight.reshape(self.groups, -1, *weight.shape[1:])
        return apart.transpose(1, 2).flatten(0, 1)

    def as_stored(self, weight: Tensor) -> Tensor:
        """Return `[c, o / group, …]` of weights `[o, c / group, …]`."""
        apart = weight.reshape(self.groups, -1, *weight.shape[1:])
        return apart.transpose(1, 2).flatten(0, 1)


class ConvTranspose1d(_Transposed, nn.ConvTranspose1d):  # type: ignore[misc]
    """`torch.nn.ConvTranspose1d` with quantized weights and input."""


class ConvTranspose2d(_Transposed, nn.ConvTranspose2d):  # type: ignore[misc]
    """`torch.nn.ConvTranspose2d` with quantized weights and input."""


KINDS: dict[type[nn.Module], type[LowBit]] = {
    nn.Linear: Linear,
    nn.Conv1d: Conv1d,
    nn.Conv2d: Conv2d,
    nn.ConvTranspose1d: ConvTranspose1d,
    nn.ConvTranspose2d: ConvTranspose2d,
}
"""The low-bit layer of every layer of torch that has one."""
