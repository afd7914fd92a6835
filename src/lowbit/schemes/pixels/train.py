"""Pixels while training: rounded to codes, the gradient straight through."""

from torch import Tensor

from lowbit.schemes.encoding import Encoding
from lowbit.schemes.pixels.encoding import pixels
from lowbit.schemes.specification import Specification
from lowbit.schemes.training.quantizer import InputQuantizer


class PixelInput(InputQuantizer):
    """Codes of 8 bits as they are: level = code / 255."""

    def forward(self, x: Tensor) -> Tensor:
        """Return levels; the gradient passes straight through."""
        return (x.detach() * 255).round().clamp(0, 255) / 255 + (x - x.detach())

    def encoding(self) -> Encoding:
        """Return the grid of pixels."""
        return pixels()


def inputs(form: Specification) -> PixelInput:
    """Return what quantizes a layer's input."""
    return PixelInput()
