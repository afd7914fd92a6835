"""What a low-bit layer computes in eval mode.

It is what is deployed, with X and W small integers:

    y = float32(scale_x scale_o sum X W + b_o + o_x scale_o sum W)       (`lowbit.ir.deployed`)

where the inner sums are exact and the outer arithmetic is float64. It has no gradient.
"""

import numpy as np
import torch
from torch import Tensor

from lowbit.nn import opaque
from lowbit.nn.low_bit import LowBit, Product
from lowbit.quantization.node import with_integer_bias
from lowbit.schemes import Encoding, pair
from lowbit.schemes.training.quantizer import InputQuantizer, WeightQuantizer, integers_and_scale

FLOAT32_BITS = 24


@torch.no_grad()
def deployed(layer: LowBit, reads: InputQuantizer | None, x: Tensor, product: Product) -> Tensor:
    """Return what a layer gives once deployed; while a module is exported, as one node of the export."""
    export = opaque.active()
    if export is None:
        return _computed(layer, reads, x, product)
    from lowbit.nn.calls import exported

    return exported(export, layer, reads, x, lambda given: _computed(layer, reads, given, product))


def _computed(layer: LowBit, reads: InputQuantizer | None, x: Tensor, product: Product) -> Tensor:
    has = layer.weight_quantizer
    if reads is not None and has is not None:
        with torch.autocast(x.device.type, enabled=False):
            return _on_integers(layer, reads, has, x if x.dtype == torch.float64 else x.float(), product)
    x = x if reads is None else reads.levels(x.float(), layer.input_encoding(reads))
    weight = layer.outputs_first(layer.weight)
    if has is None:
        return product(x, weight, layer.bias)
    return product(x, has.levels(weight), None if layer.bias is None else has.bias(layer.bias))


def _on_integers(
    layer: LowBit, reads: InputQuantizer, has: WeightQuantizer, x: Tensor, product: Product
) -> Tensor:
    """Return `float32(scale sum X W + bias64)`, the sums exact (`lowbit.ir.deployed`)."""
    encoding, weight = layer.input_encoding(reads), layer.outputs_first(layer.weight)
    int8 = pair.is_int8(layer.weight_specification, layer.activation)
    if int8:
        weights, scale_w, units = _int8_constants(layer, weight, encoding)
    else:
        weights, scale_w = layer.integers(weight)
    integers = reads.integers(x, encoding)
    exact = torch.float32 if _fits_float32(integers, weights) else torch.float64
    sums = product(integers.to(exact), weights.to(exact))
    column = (-1, *[1] * (weight.ndim - 2))
    scale, offset = float(encoding.integer_scale()[0]) * scale_w, float(encoding.integer_offset()[0])
    if layer.bias is None and not offset and _is_single(scale, sums):
        return sums.mul_(scale.float().view(column))
    if int8:
        return sums.double().add_(units.view(column)).mul_(scale.view(column)).float()
    bias = torch.zeros_like(scale) if layer.bias is None else has.bias(layer.bias).double()
    constant = bias.view(column)
    if offset:
        ones = torch.ones_like(integers[:1], dtype=torch.float64)
        constant = constant + offset * (scale_w.view(column) * product(ones, weights.double()))
    result = sums.double().mul_(scale.view(column)).add_(constant)
    return result if _needs_float64(encoding) else result.float()


def _int8_constants(layer: LowBit, weight: Tensor, encoding: Encoding) -> tuple[Tensor, Tensor, Tensor]:
    """Return the integers of the weights, their scale, and the bias in units of the sums, as deployed."""
    coded = layer.coded(weight)
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
    if not integers.numel():
        return True
    largest = integers.abs().max() * weights.abs().flatten(1).sum(1).max()
    return bool(largest < 1 << 24)
