"""The activation of ReActNet."""

import torch
from torch import Tensor, nn


class RPReLU(nn.Module):
    """A PReLU with learned shifts before and after it, per channel: it folds into thresholds.

        f(x) = x - g + z where x > g, else b (x - g) + z

    (RPReLU of Liu et al., ReActNet: Towards Precise Binary Neural Network with Generalized Activation
    Functions, 2020; the shifts begin with zero, the slope b with that of torch.)

    Args:
        channels: of the axis after the samples'.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.before, self.after = nn.Parameter(torch.zeros(channels)), nn.Parameter(torch.zeros(channels))
        self.prelu = nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return f(x) of `[n, c, …]`."""
        shape = (-1, *[1] * (x.ndim - 2))
        made: Tensor = self.prelu(x - self.before.view(shape)) + self.after.view(shape)
        return made
