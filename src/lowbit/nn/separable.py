"""The learned two-dimensional separable transform (Vashkevich and Krivalcevich 2025).

    H = tanh(X W1^T + b1)^T          one layer shared by all rows
    Y = tanh(H W2^T + b2)^T          one shared by all columns of what the first gives

A map `[h, w]` becomes `[d, d]` with `(h + 1) d + (w + 1) d` parameters.
"""

from typing import Any

from torch import Tensor, nn

from lowbit.nn.fixed_point import Tabulated
from lowbit.nn.layers import Linear


class LearnedSeparableTransform(nn.Module):
    """A map becomes a map by a layer on its rows and one on its columns.

    Args:
        in_features: length of rows and of columns, or (h, w).
        out_features: d.
        settings: of both layers, as of `Linear`: weight, activation, …
    """

    def __init__(self, in_features: int | tuple[int, int], out_features: int, **settings: Any) -> None:
        super().__init__()
        rows, columns = (in_features, in_features) if isinstance(in_features, int) else in_features
        self.rows = Linear(columns, out_features, **settings)
        self.columns = Linear(rows, out_features, **settings)
        form = self.rows.activation
        fixed = form.has_format and self.rows.weight_specification.has_format
        self.function = Tabulated("tanh", form.fixed_point) if fixed else nn.Tanh()

    def forward(self, x: Tensor) -> Tensor:
        """Return maps `[…, d, d]` of maps `[…, h, w]`."""
        half: Tensor = self.function(self.rows(x)).mT
        whole: Tensor = self.function(self.columns(half)).mT
        return whole
