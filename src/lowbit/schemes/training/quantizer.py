"""What every quantizer of a layer offers.

While training, a quantizer gives reals with a gradient. In eval mode a layer computes what is deployed: small
integers, summed exactly, scaled once. Both follow from the same parameters; `Encoding` (from
`lowbit.schemes`) says what the codes mean.
"""

from abc import ABC, abstractmethod
from math import nan

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lowbit.errors import UnsupportedError
from lowbit.schemes.coded import CodedWeights
from lowbit.schemes.encoding import Encoding, table_decode
from lowbit.schemes.learned_basis import WEIGHT_BOUND

Floats32 = npt.NDArray[np.float32]


class Quantizer(nn.Module, ABC):
    """A quantizer that may follow the progress of training.

    Attributes:
        factor: what levels of the encoding that it began at are, in its own.
        gives_signs: whether levels are one magnitude per output, or one for all, with both signs.
        decays: whether its paper has weight decay on what it learns.
        follows: whether its rule follows the progress of training.
    """

    factor = 1.0
    gives_signs = False
    decays = False
    follows = False
    progress: Tensor

    def __init__(self) -> None:
        super().__init__()
        # A tensor, so that a compiled step need not be compiled again; the loop sets it, so no state.
        self.register_buffer("progress", torch.zeros(()), persistent=False)

    def forget(self) -> None:
        """Begin again with the next values, as after other weights were loaded."""

    def begin_at(self, encoding: Encoding) -> None:
        """Begin with what an encoding of the scheme says, instead of the next values.

        Raises:
            UnsupportedError: what is learned here has no such form.
        """
        raise UnsupportedError("nothing that is calibrated can be learned on here", found=encoding.scheme)

    def set_progress(self, progress: float) -> None:
        """Say how much of training is over, in [0, 1]."""
        self.progress.fill_(progress)


class WeightQuantizer(Quantizer):
    """Quantizes weights `[o, …]`, per output.

    Attributes:
        bound: the largest integer that a level may be of; the engine multiplies bytes.
    """

    bound = WEIGHT_BOUND

    def shaped(self, shape: torch.Size) -> None:
        """Learn the shape of the weights; most rules need nothing."""

    @abstractmethod
    def forward(self, weight: Tensor) -> Tensor:
        """Return levels with a gradient, in the shape and type of `weight`."""

    @abstractmethod
    def coded(self, weight: Tensor) -> CodedWeights:
        """Return codes `[o, n]`, in the order of `weight`, and their encoding with a row per output."""

    def deployed(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return small integers, float32 in the shape of `weight`, and their scale, float64 `[o]`."""
        return integers_and_scale(self.coded(weight), weight)

    def levels(self, weight: Tensor) -> Tensor:
        """Return the levels of the codes, float32 in the shape of `weight`."""
        integers, scale = self.deployed(weight.detach())
        return (integers * scale.view(-1, *[1] * (weight.ndim - 1))).float()

    def bias(self, bias: Tensor) -> Tensor:
        """Return the bias that goes with the weights: reals, unless the scheme has a grid for them."""
        return bias

    def clamp(self, weight: Tensor) -> None:
        """Bring latent weights, outputs first, to where they belong after a step, in place, if anywhere."""


class InputQuantizer(Quantizer):
    """Quantizes the input of a layer, one set of parameters for all of it."""

    def shaped(self, channels: int, sides: int) -> None:
        """Learn how many channels the input has, and how many axes follow theirs; most rules need nothing."""

    def before(self, x: Tensor) -> Tensor:
        """Return what is quantized of the input, by functions that an export folds into thresholds."""
        return x

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Return levels with a gradient, in the shape and type of `x`."""

    @abstractmethod
    def encoding(self) -> Encoding:
        """Return what the codes mean once deployed."""

    def thresholds(self) -> Floats32:
        """Return the steps between codes, float32; a value above `c` of them has rank `c`."""
        return np.asarray(self.encoding().thresholds()[0])

    def integers(self, x: Tensor, encoding: Encoding) -> Tensor:
        """Return the integer levels of codes of float32 `x`, float32 in its shape."""
        return self._of_codes(x, encoding, encoding.integer_levels().astype(np.float32))

    def levels(self, x: Tensor, encoding: Encoding) -> Tensor:
        """Return the levels of codes of float32 `x`, float32 in its shape."""
        return self._of_codes(x, encoding, encoding.levels().astype(np.float32))

    def _of_codes(self, x: Tensor, encoding: Encoding, values: Floats32) -> Tensor:
        ranked = values[0][encoding.code_of_rank()[0].astype(np.intp)]
        steps = torch.from_numpy(self.thresholds()).to(x.device)
        found = ranked_values(x, steps, torch.from_numpy(ranked).to(x.device))
        return found.masked_fill_(x.isnan(), nan)  # a comparison would let NaN pass as the lowest level


def integers_and_scale(coded: CodedWeights, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the integers of codes, float32 in the shape of `weight`, and their scale, float64 `[o]`."""
    integers = table_decode(coded.codes, coded.encoding.whole_levels())
    found = torch.from_numpy(integers.astype(np.float32)).reshape(weight.shape)
    return found.to(weight.device), torch.from_numpy(coded.encoding.integer_scale()).to(weight.device)


def ranked_values(x: Tensor, steps: Tensor, values: Tensor) -> Tensor:
    """Return `values[r]` where r is how many of `steps` lie below `x`, in the memory format of `x`.

    Args:
        x: any shape.
        steps: ascending, `[s]`.
        values: `[s + 1]`.
    """
    if len(steps) <= FEW_STEPS:  # choices keep any memory format, and their gradients are sums
        found = torch.where(x > steps[0], values[1], values[0])
        for step in range(1, len(steps)):
            found = torch.where(x > steps[step], values[step + 1], found)
        return found
    if x.is_contiguous():
        return values[ranks(x, steps)]
    moved = x.movedim(1, -1).contiguous()  # no copy where channels are innermost
    return values[ranks(moved, steps)].movedim(-1, 1)


def ranks(x: Tensor, steps: Tensor) -> Tensor:
    """Return how many steps lie below each value: of one row `[s]`, or a row for each of `x [rows, n]`."""
    if steps.shape[-1] > FEW_STEPS:
        return torch.searchsorted(steps, x)
    # Comparisons are vectorized, a search is not.
    found = (x > steps[..., :1]).long()
    for step in range(1, steps.shape[-1]):
        found += x > steps[..., step : step + 1]
    return found


FEW_STEPS = 7
