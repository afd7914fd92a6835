"""Functions between fixed-point layers.

A layer's sum is exact and is rounded where hardware rounds it: `Tabulated` is a function of the rounded sum,
rounded again, as a table of codes gives it.
"""

import numpy as np
import torch
from torch import Tensor, nn

from lowbit.ir.activations import function_table
from lowbit.nn import opaque
from lowbit.nn.emission import emit_function
from lowbit.schemes import FixedPoint
from lowbit.schemes.fixed_point.train import on_grid


class Tabulated(nn.Module):
    """A function between fixed-point layers: of the rounded sum, and rounded again.

    Args:
        name: `tanh` or `sigmoid`.
        encoding: the format before and after.
    """

    table: Tensor

    def __init__(self, name: str, encoding: FixedPoint) -> None:
        super().__init__()
        self.name, self.format = name, encoding
        levels = encoding.decode(function_table(encoding, name))
        self.register_buffer("table", torch.from_numpy(levels.astype(np.float32)), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return levels of the function, by the table in eval mode."""
        export = opaque.active()
        if export is not None:
            return export.call(x, self._of_codes, emit_function(self.name.capitalize(), export.name(self)))
        if self.training:
            function = torch.tanh if self.name == "tanh" else torch.sigmoid
            return on_grid(function(on_grid(x, self.format)), self.format)
        return self._of_codes(x)

    def _of_codes(self, x: Tensor) -> Tensor:
        codes = on_grid(x.double(), self.format) * 2.0**self.format.fraction_bits - self.format.least
        return self.table[codes.long()]

    def extra_repr(self) -> str:
        """Return function and format."""
        return f"{self.name}, {self.format}"
