"""Fixed-point weights and inputs, with the gradient straight through the grid.

q(x) = clip(floor(x 2^n + 1/2), -2^(m+n-1), 2^(m+n-1) - 1) 2^-n     (`floor`: without the half)
dq/dx = 1 where q is not saturated (by more than half a unit), else 0
"""

from typing import Any

import torch
from torch import Tensor

from lowbit.errors import UnsupportedError
from lowbit.schemes.coded import CodedWeights
from lowbit.schemes.encoding import Encoding
from lowbit.schemes.fixed_point.encoding import FixedPoint
from lowbit.schemes.specification import Specification
from lowbit.schemes.training.quantizer import InputQuantizer, WeightQuantizer


def on_grid(x: Tensor, encoding: FixedPoint) -> Tensor:
    """Return `x` on the grid, saturated, with the gradient of saturation; exactly so for float64."""
    return _OnGrid.apply(x, encoding)  # type: ignore[no-any-return, no-untyped-call]


class _OnGrid(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, encoding: FixedPoint) -> Tensor:
        units = x * 2.0**encoding.fraction_bits
        if encoding.rounds_to_nearest:
            units.add_(0.5)
        return units.floor_().clamp_(encoding.least, -encoding.least - 1).mul_(2.0**-encoding.fraction_bits)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, FixedPoint], output: Tensor) -> None:
        x, ctx.encoding = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        encoding, unit = ctx.encoding, 2.0**-ctx.encoding.fraction_bits
        least, most = (encoding.least - 0.5) * unit, (-encoding.least - 0.5) * unit
        # Both contiguous, so that a compiled step finds the strides that it was promised.
        inside = torch.ops.aten.hardtanh_backward(gradient.contiguous(), x.contiguous(), least, most)
        return inside, None


class FixedPointWeight(WeightQuantizer):
    """Weights, or a bias, on a fixed grid.

    Args:
        encoding: the format.
    """

    def __init__(self, encoding: FixedPoint) -> None:
        super().__init__()
        self.format = encoding

    def forward(self, weight: Tensor) -> Tensor:
        """Return levels."""
        return on_grid(weight, self.format)

    def bias(self, bias: Tensor) -> Tensor:
        """Return the bias on the same grid."""
        return on_grid(bias if self.training else bias.double(), self.format).to(bias.dtype)

    def coded(self, weight: Tensor) -> CodedWeights:
        """Raise: fixed-point networks are exported as a whole."""
        raise UnsupportedError("fixed-point layers do not mix with others", found=str(self.format))

    @torch.no_grad()
    def deployed(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return the integers and their scale."""
        unit = 2.0**-self.format.fraction_bits
        integers = (on_grid(weight.double(), self.format) / unit).float()
        return integers, torch.full((len(weight),), unit, dtype=torch.float64, device=weight.device)

    def extra_repr(self) -> str:
        """Return the format."""
        return str(self.format)


class FixedPointInput(InputQuantizer):
    """Activations on a fixed grid.

    Args:
        encoding: the format.
    """

    def __init__(self, encoding: FixedPoint) -> None:
        super().__init__()
        self.format = encoding

    def forward(self, x: Tensor) -> Tensor:
        """Return levels."""
        return on_grid(x if self.training else x.double(), self.format).to(x.dtype)

    def encoding(self) -> Encoding:
        """Return the format."""
        return self.format

    def integers(self, x: Tensor, encoding: Encoding) -> Tensor:
        """Return the integers."""
        return (on_grid(x.double(), self.format) * 2.0**self.format.fraction_bits).float()

    def levels(self, x: Tensor, encoding: Encoding) -> Tensor:
        """Return levels."""
        return on_grid(x.double(), self.format).float()

    def extra_repr(self) -> str:
        """Return the format."""
        return str(self.format)


def weights(form: Specification, outputs: int) -> FixedPointWeight:
    """Return what quantizes weights."""
    return FixedPointWeight(form.fixed_point)


def inputs(form: Specification) -> FixedPointInput:
    """Return what quantizes a layer's input."""
    return FixedPointInput(form.fixed_point)
