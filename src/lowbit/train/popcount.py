"""Binary convolutions that are trained on a processor count their forward product with the engine's kernels.

    forward    y = a_o sum s_x s_w        exact, then rounded to the type that x has
    backward   dL/dx, dL/dw of a product in floats, by torch

What torch computes in bfloat16 rounds sums above 256; the engine's sums are what is deployed.
"""

from typing import Any

import torch
from torch import Tensor, nn

from lowbit.engine.signs import sign_convolution
from lowbit.nn import Conv2d


def count_signs(module: nn.Module) -> list[str]:
    """Let every binary convolution of a module count its forward product; return their names.

    A layer without groups, on a processor; others keep torch's product. Weights stay where they are.
    """
    names = []
    for name, layer in module.named_modules():
        if isinstance(layer, Conv2d) and _is_countable(layer):
            layer.counted = _Product(layer)
            names.append(name)
    return names


def _is_countable(layer: Conv2d) -> bool:
    quantizers = layer.weight_quantizer, layer.input_quantizer
    signs = all(quantizer is not None and quantizer.gives_signs for quantizer in quantizers)
    return signs and layer.groups == 1 and layer.weight.device.type == "cpu"


_TOGETHER = 1 << 18
"""Elements of maps between two types: so many stay in the second cache."""


class _Product:
    """What a layer calls instead of torch's convolution."""

    def __init__(self, layer: Conv2d) -> None:
        self._place = (layer.stride, layer.padding, layer.dilation)

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        y: Tensor = _Counted.apply(x, weight, self._place)  # type: ignore[no-untyped-call]
        return y if bias is None else y + bias.to(y.dtype)[:, None, None]


class _Counted(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, place: tuple[Any, Any, Any]) -> Tensor:
        stride, padding, dilation = ctx.place = place
        ctx.save_for_backward(x, weight)
        signs = (weight.permute(0, 2, 3, 1) >= 0).contiguous().numpy()
        scale = weight.flatten(1)[:, 0].abs().float().numpy()
        settings = {"stride": stride, "padding": padding, "dilation": dilation}
        size, threads = (x.shape[2], x.shape[3]), torch.get_num_threads()
        count = sign_convolution(size, signs, scale, **settings, threads=threads)
        pixels, together = x.permute(0, 2, 3, 1), max(1, _TOGETHER // x[0].numel())
        y, done = None, 0
        for part in torch.split(pixels, together):
            sums = torch.from_numpy(count(part.float().contiguous().numpy()))
            y = x.new_empty((len(x), *sums.shape[1:])) if y is None else y
            y[done : done + len(part)] = sums
            done += len(part)
        assert y is not None
        return y.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        stride, padding, dilation = ctx.place
        wanted = [ctx.needs_input_grad[0], ctx.needs_input_grad[1], False]
        by_x, by_weight, _ = torch.ops.aten.convolution_backward(
            gradient, x, weight.to(x.dtype), None, stride, padding, dilation, False, [0, 0], 1, wanted
        )
        return by_x, None if by_weight is None else by_weight.to(weight.dtype), None
