"""`Linear` and `Conv2d` with a specification for weights and one for the input.

Drop-in for those of `torch.nn`: the same arguments, the same state. While training, the layer multiplies
levels, padding is true zero. In eval mode it computes what is deployed, with X and W small integers:

    y = float32(scale_x scale_o sum X W + b_o + o_x scale_o sum W)       (`lowbit.ir.deployed`)

where the inner sums are exact and the outer arithmetic is float64; eval mode has no gradient.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lowbit.errors import PlanError, UnsupportedError
from lowbit.nn.quantizers import input_quantizer, weight_quantizer
from lowbit.nn.specification import FLOAT, Specification, specification
from lowbit.quantization.node import with_integer_bias
from lowbit.schemes import Encoding, pair
from lowbit.schemes.training.quantizer import InputQuantizer, WeightQuantizer, integers_and_scale

Text = str | Specification


class Linear(nn.Linear):
    """`torch.nn.Linear` with quantized weights and input.

    Args:
        in_features: inputs.
        out_features: outputs.
        bias: whether there is one.
        weight: specification of the weights.
        activation: specification of the input.
        weight_gradient: rule of the weights; the scheme's own when None.
        activation_gradient: rule of the input; the scheme's own when None.
        scale: of binary weights `mean`, `one` or `learned`, of powers of two `learned` or `power`.
    """

    weight_specification: Specification
    activation: Specification
    weight_quantizer: WeightQuantizer | None
    input_quantizer: InputQuantizer | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        weight: Text = FLOAT,
        activation: Text = FLOAT,
        weight_gradient: str | None = None,
        activation_gradient: str | None = None,
        scale: str | None = None,
        **place: Any,
    ) -> None:
        super().__init__(in_features, out_features, bias, **place)
        _quantize(self, weight, activation, weight_gradient, activation_gradient, scale)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        _forget_old(self, state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *others)

    def forward(self, input: Tensor) -> Tensor:
        """Return outputs `[…, o]` of inputs `[…, n]`."""
        return _forward(self, input, functional.linear)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"{super().extra_repr()}, weight={self.weight_specification}, activation={self.activation}"


class Conv2d(nn.Conv2d):
    """`torch.nn.Conv2d` with quantized weights and input; padding is zeros.

    Args:
        in_channels: of the input.
        out_channels: of the output.
        kernel_size: rows and columns.
        stride: of the window.
        padding: zeros around.
        dilation: of the taps.
        groups: parts of the channels.
        bias: whether there is one.
        weight: specification of the weights.
        activation: specification of the input.
        weight_gradient: rule of the weights; the scheme's own when None.
        activation_gradient: rule of the input; the scheme's own when None.
        scale: of binary weights `mean`, `one` or `learned`, of powers of two `learned` or `power`.

    Attributes:
        product: called instead of torch's convolution while training, where somebody set it.
    """

    weight_specification: Specification
    activation: Specification
    weight_quantizer: WeightQuantizer | None
    input_quantizer: InputQuantizer | None
    product: "Product | None" = None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        weight: Text = FLOAT,
        activation: Text = FLOAT,
        weight_gradient: str | None = None,
        activation_gradient: str | None = None,
        scale: str | None = None,
        **place: Any,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, **place
        )
        _quantize(self, weight, activation, weight_gradient, activation_gradient, scale)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        _forget_old(self, state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *others)

    def forward(self, input: Tensor) -> Tensor:
        """Return outputs `[n, o, y, x]` of inputs `[n, c, h, w]`."""
        return _forward(self, input, self.product if self.training and self.product else self._convolve)

    def extra_repr(self) -> str:
        """Return the arguments."""
        arguments: str = super().extra_repr()  # type: ignore[no-untyped-call]
        return f"{arguments}, weight={self.weight_specification}, activation={self.activation}"

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return functional.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)


Layer = Linear | Conv2d
Product = Callable[..., Tensor]


def _quantize(
    layer: Layer,
    weight: Text,
    activation: Text,
    weight_gradient: str | None,
    activation_gradient: str | None,
    scale: str | None,
) -> None:
    """Give a layer what its constructor was told.

    Raises:
        PlanError: what does not exist, or does not go together.
        UnsupportedError: a convolution in fixed point.
    """
    forms = _checked(specification(weight), specification(activation))
    if isinstance(layer, Conv2d) and all(form.has_format for form in forms):
        raise UnsupportedError("convolutions have no fixed-point form yet", expected="another scheme")
    layer.weight_specification, layer.activation = forms
    layer.weight_quantizer = weight_quantizer(forms[0], len(layer.weight), weight_gradient, scale)
    layer.input_quantizer = input_quantizer(forms[1], activation_gradient)
    if layer.weight_quantizer is not None and layer.activation.bits in _BYTES:
        layer.weight_quantizer.bound = BOUND_BESIDE_BYTES


def _forget_old(layer: Layer, state: dict[str, Any], prefix: str) -> None:
    """Let quantizers begin again where weights are loaded without their state, as those of a float model."""
    if f"{prefix}weight" in state:
        for name in ("weight_quantizer", "input_quantizer"):
            quantizer = getattr(layer, name)
            if quantizer is not None and not any(key.startswith(f"{prefix}{name}.") for key in state):
                quantizer.forget()


def _checked(weight: Specification, activation: Specification) -> tuple[Specification, Specification]:
    """Return the two if they go together: a format has no range to learn, so only with the same one."""
    formats = weight.has_format or activation.has_format
    if formats and weight != activation and not (weight.is_float or activation.is_float):
        raise PlanError(
            "fixed point goes with fixed point of the same format", found=f"{weight} with {activation}"
        )
    return weight, activation


FLOAT32_BITS = 24
BOUND_BESIDE_BYTES = 63
"""What learned weights keep to beside inputs of 5 to 8 bits, so that their products are of bytes."""
_BYTES = range(5, 9)


def input_encoding(layer: Layer) -> Encoding:
    """Return what the codes of a layer's input mean; affine codes meet others as planes and a basis."""
    assert layer.input_quantizer is not None
    encoding = layer.input_quantizer.encoding()
    return pair.input_encoding(encoding, layer.weight_specification, layer.activation)


def _is_int8(layer: Layer) -> bool:
    return pair.is_int8(layer.weight_specification, layer.activation)


def _forward(layer: Layer, x: Tensor, product: Product) -> Tensor:
    reads, has = layer.input_quantizer, layer.weight_quantizer
    if not layer.training:
        return _deployed(layer, x, product)
    x = x if reads is None else reads(x)
    if has is None:
        return product(x, layer.weight, layer.bias)
    return product(x, has(layer.weight), None if layer.bias is None else has.bias(layer.bias))


@torch.no_grad()
def _deployed(layer: Layer, x: Tensor, product: Product) -> Tensor:
    """Return what the layer gives once deployed."""
    reads, has = layer.input_quantizer, layer.weight_quantizer
    if reads is not None and has is not None:
        with torch.autocast(x.device.type, enabled=False):
            return _on_integers(layer, x if x.dtype == torch.float64 else x.float(), product)
    x = x if reads is None else reads.levels(x.float(), input_encoding(layer))
    if has is None:
        return product(x, layer.weight, layer.bias)
    return product(x, has.levels(layer.weight), None if layer.bias is None else has.bias(layer.bias))


def _on_integers(layer: Layer, x: Tensor, product: Product) -> Tensor:
    """Return `float32(scale sum X W + bias64)`, the sums exact (`lowbit.ir.deployed`)."""
    reads, has = layer.input_quantizer, layer.weight_quantizer
    assert reads is not None and has is not None
    encoding = input_encoding(layer)
    if _is_int8(layer):
        weights, scale_w, units = _int8_constants(layer, has, encoding)
    else:
        weights, scale_w = has.deployed(layer.weight)
    integers = reads.integers(x, encoding)
    exact = torch.float32 if _fits_float32(integers, weights) else torch.float64
    sums = product(integers.to(exact), weights.to(exact))
    column = (-1, *[1] * (x.ndim - 2)) if isinstance(layer, Conv2d) else (-1,)
    scale, offset = float(encoding.integer_scale()[0]) * scale_w, float(encoding.integer_offset()[0])
    if layer.bias is None and not offset and _is_single(scale, sums):
        return sums.mul_(scale.float().view(column))
    if _is_int8(layer):
        return sums.double().add_(units.view(column)).mul_(scale.view(column)).float()
    bias = torch.zeros_like(scale) if layer.bias is None else has.bias(layer.bias).double()
    constant = bias.view(column)
    if offset:
        ones = torch.ones_like(integers[:1], dtype=torch.float64)
        constant = constant + offset * (scale_w.view(column) * product(ones, weights.double()))
    result = sums.double().mul_(scale.view(column)).add_(constant)
    return result if _needs_float64(encoding) else result.float()


def _int8_constants(layer: Layer, has: WeightQuantizer, encoding: Encoding) -> tuple[Tensor, Tensor, Tensor]:
    """Return the integers of the weights, their scale, and the bias in units of the sums, as deployed."""
    coded, weight = has.coded(layer.weight), layer.weight
    bias = np.zeros(len(weight)) if layer.bias is None else layer.bias.detach().double().cpu().numpy()
    coded, units = with_integer_bias(coded, bias, encoding, type(layer).__name__)
    return *integers_and_scale(coded, weight), torch.from_numpy(units).to(weight.device)


def _is_single(scale: Tensor, sums: Tensor) -> bool:
    """Return whether exact sums and scales are float32: then a product is rounded once in float32 as well."""
    return sums.dtype == torch.float32 and bool((scale.float() == scale).all())


def _needs_float64(encoding: Encoding) -> bool:
    """Return whether float32 would round sums of many bits before the next layer does."""
    behind_point = -np.log2(encoding.integer_scale()[0])
    return encoding.storage == "words" and encoding.bits + behind_point > FLOAT32_BITS


def _fits_float32(integers: Tensor, weights: Tensor) -> bool:
    """Return whether every partial sum is below 2^24, so that float32 adds them without rounding."""
    largest = integers.abs().max() * weights.abs().flatten(1).sum(1).max()
    return bool(largest < 1 << 24)
