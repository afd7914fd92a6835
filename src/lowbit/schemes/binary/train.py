"""Binary weights and activations.

    weight       a_o sign(w'),   w' = w, or standardized: z = (w - mean_o) / deviation_o
                 a_o = mean |w|, or mean |w - mean_o|            (Rastegari et al., XNOR-Net 2016, eq. 6)
                 a_o = |s_o| / sqrt n, s learned, n weights per output
    activation   sign(x)
                 rsign   sign(x - a_c), a learned for every channel, gradients of `quadratic`:
                         dL/da = -sum g max(2 - 2|x - a|, 0)    (RSign of Liu et al., ReActNet 2020)
                 recu    sign(z), z = x / sqrt(var x + 1e-5) of each sample, gradients of `quadratic` in z and
                         that of the deviation; deployed it is sign(x)
                         (activations in the code of Xu et al., ReCU 2021, github.com/z-hXu/ReCU)

The scale is a constant to the gradient, unless it is learned: s = 1 at first, so that sums of n signs spread
as one does, and a classifier begins with logits of that size whatever it reads. A scale of zero, of an output
whose weights are zero, is 1 / sqrt n to the gradient, so that they leave it. Standardized weights (the rules
`ede` and `recu` of `lowbit.schemes.training.gradients`) have the gradient of the standardization too:

    dL/dw = (G - mean G - z mean(G z)) / deviation,   G = dL/dz

XNOR-Net is Rastegari, Ordonez, Redmon and Farhadi: XNOR-Net: ImageNet Classification Using Binary
Convolutional Neural Networks, ECCV 2016.
"""

from math import prod, sqrt

import numpy as np
import torch
from torch import Tensor, nn

from lowbit.errors import PlanError
from lowbit.schemes.binary.encoding import THRESHOLD
from lowbit.schemes.binary.encoding import signs as signs_of
from lowbit.schemes.coded import CodedWeights
from lowbit.schemes.encoding import SMALLEST, Encoding, Floats32
from lowbit.schemes.specification import Specification
from lowbit.schemes.training import gradients
from lowbit.schemes.training.quantizer import InputQuantizer, WeightQuantizer

STANDARDIZING = ("ede", "recu")
"""The rules for standardized weights."""

WEIGHT_GRADIENTS = tuple(gradients.RULES)
INPUT_GRADIENTS = ("quadratic", "ste", "clip", "ede", "recu", "rsign")
SCALES = ("mean", "one", "learned")
CALIBRATED_WEIGHTS, CALIBRATED_INPUTS = {"gradient": "ste", "scale": "learned"}, {"gradient": "quadratic"}

_OF_SIGNS = ("ste", "clip", "ede")
"""The rules of inputs that are no more than one of `lowbit.schemes.training.gradients`."""
_EPSILON = 1e-5


class BinaryWeight(WeightQuantizer):
    """The sign of weights times a scale per output.

    Args:
        outputs: how many.
        gradient: a rule of `lowbit.schemes.training.gradients`.
        scale: `mean` (of magnitudes), `one`, or `learned`.
    """

    gives_signs = True

    def __init__(self, outputs: int, gradient: str = "recu", scale: str = "mean") -> None:
        super().__init__()
        gradients.rule(gradient)
        if scale not in SCALES:
            raise PlanError("unknown scale", expected=" or ".join(SCALES), found=repr(scale))
        self.gradient, self.kind, self.follows = gradient, scale, gradient in STANDARDIZING
        self.scale = nn.Parameter(torch.ones(outputs)) if scale == "learned" else None

    @torch.no_grad()
    def begin_at(self, encoding: Encoding) -> None:
        """Begin with the scale of every output, which is learned."""
        assert self.scale is not None
        found = torch.from_numpy(encoding.integer_scale()).float()
        self.scale.copy_(found * sqrt(self.inputs))

    def shaped(self, shape: torch.Size) -> None:
        """Learn how many weights an output has."""
        self.inputs = prod(shape[1:])

    def forward(self, weight: Tensor) -> Tensor:
        """Return `a_o sign(w')`."""
        centre, scale = self._centred(weight)
        if self.scale is not None:
            return gradients.sign(centre, self.gradient, self.progress) * scale
        # Standardizing has divided by the deviation of equal weights, the root of epsilon.
        usual = sqrt(_EPSILON) if self.gradient in STANDARDIZING else 1 / sqrt(prod(weight.shape[1:]))
        of_gradient = torch.where(scale > 0, scale, usual)
        return gradients.scaled_sign(centre, self.gradient, self.progress, scale, of_gradient)

    def coded(self, weight: Tensor) -> CodedWeights:
        """Return bits and scales."""
        integers, scale = self.deployed(weight)
        codes = (integers > 0).flatten(1).cpu().numpy().astype(np.uint8)
        return CodedWeights(signs_of(scale.float().cpu().numpy()), codes)

    @torch.no_grad()
    def deployed(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return signs and their scale."""
        centre, scale = self._centred(weight)
        return gradients.signs(centre), scale.clamp(min=SMALLEST).flatten().double()

    def clamp(self, weight: Tensor) -> None:
        """Clamp to [-1, 1] where the gradient is zero outside (BinaryNet)."""
        if self.gradient in ("clip", "quadratic"):
            weight.clamp_(-1, 1)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"gradient={self.gradient}, scale={self.kind}"

    def _centred(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return `w'`, and the scale `[o, 1, …]`."""
        column = (-1, *[1] * (weight.ndim - 1))
        if self.gradient in STANDARDIZING:
            centre, deviation = _standardized(weight)
        else:
            centre, deviation = weight, weight.new_ones(len(weight), 1)
        if self.scale is not None:
            return centre, self.scale.abs().div(sqrt(prod(weight.shape[1:]))).view(column)
        if self.kind == "one":
            return centre, weight.new_ones(len(weight)).view(column)
        total = torch.linalg.vector_norm(centre.detach(), 1, tuple(range(1, weight.ndim)))
        return centre, (total * deviation[:, 0] / prod(weight.shape[1:])).view(column)


class BinaryInput(InputQuantizer):
    """The sign of activations: -1 and +1.

    Args:
        gradient: one of `INPUT_GRADIENTS`.
    """

    gives_signs = True

    def __init__(self, gradient: str = "quadratic") -> None:
        super().__init__()
        gradients.chosen(gradient, INPUT_GRADIENTS)
        self.gradient, self.follows = gradient, gradient == "ede"
        self.threshold: nn.Parameter | None = None

    def shaped(self, channels: int, sides: int) -> None:
        """Learn a threshold for each channel, where the rule does."""
        if self.gradient == "rsign":
            self.threshold = nn.Parameter(torch.zeros(channels, *[1] * sides))

    def begin_at(self, encoding: Encoding) -> None:
        """Begin with signs, whose magnitude in the encoding is the factor."""
        self.factor = float(encoding.integer_scale()[0])

    def before(self, x: Tensor) -> Tensor:
        """Return the input about the learned thresholds, if there are any."""
        return x if self.threshold is None else x - self.threshold

    def forward(self, x: Tensor) -> Tensor:
        """Return the sign."""
        if self.gradient == "recu":
            x = x / torch.sqrt(x.var(tuple(range(1, x.ndim)), keepdim=True) + _EPSILON)
        rule = self.gradient if self.gradient in _OF_SIGNS else "quadratic"
        return gradients.sign(x, rule, self.progress)

    def encoding(self) -> Encoding:
        """Return the levels -1 and +1."""
        return signs_of(np.ones(1))

    def thresholds(self) -> Floats32:
        """Return the largest float32 below zero: zero is +1."""
        return THRESHOLD

    def integers(self, x: Tensor, encoding: Encoding) -> Tensor:
        """Return the sign."""
        return gradients.signs(x)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"gradient={self.gradient}"


def _standardized(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return `(w - mean) / deviation` per output in the shape of `weight`, and the deviation `[o, 1]`.

    It is torch's layer normalization, whose gradient is one fused pass; the deviation divides by n.
    """
    # The last axis innermost: rows are views in either memory format.
    moved = weight if weight.is_contiguous() else weight.movedim(1, -1)
    rows = moved.flatten(1)
    found, _, inverse = torch.native_layer_norm(rows, [rows.shape[1]], None, None, _EPSILON)
    standardized = found.view(moved.shape)
    return (standardized if moved is weight else standardized.movedim(-1, 1)), 1 / inverse.detach()


def weights(
    form: Specification, outputs: int, *, gradient: str = "recu", scale: str = "mean"
) -> BinaryWeight:
    """Return what quantizes weights of so many outputs."""
    return BinaryWeight(outputs, gradient, scale)


def inputs(form: Specification, *, gradient: str = "quadratic") -> BinaryInput:
    """Return what quantizes a layer's input."""
    return BinaryInput(gradient)
