"""Weights that are powers of two: 0 and +-scale 2^-j, the nearest level in the linear domain.

    ste         q = s l(clamp(w / s, -1, 1)), with the gradient of l straight through, hence
                dq/dw = 1[|w| <= s],  dq/ds = l - w / s inside, sign(w) outside
                                                                (the learned clip of Li et al., APoT 2020)
    blend       W~ = (1 - a) W + a Q(W),  a = 2^(p - 1), p the progress of training in [0, 1]; the gradient is
                that of this sum, (1 - a) g: the reconstructed gradient (Chen et al., n-BQ-NN 2020)
    staircase   blend, with the authors' three-bit staircase, M = max|W| of the layer:
                |w| <= 0.02 M -> 0,  <= 0.07 M -> 1/4,  <= 0.14 M -> 1/2,  else 1
    ttq         of two bits: 0 where |w| <= D, else s sign w,   D = 0.05 max|W| of the layer,
                dq/dw = s where |w| > D, else 1;   dq/ds = sign w where |w| > D, else 0
                (Zhu et al., Trained Ternary Quantization, ICLR 2017, here with one scale for both signs, per
                output; s begins with the mean of the |w| above D)

Scales s are per output, 2^e with e learned (`learned`) or learned and rounded (`power`).
"""

from math import sqrt

import numpy as np
import torch
from torch import Tensor

from lowbit.errors import PlanError
from lowbit.schemes.coded import CodedWeights
from lowbit.schemes.encoding import Encoding
from lowbit.schemes.power_of_two.encoding import PowerOfTwo
from lowbit.schemes.power_of_two.fit import power_of_two_encoding
from lowbit.schemes.specification import Specification
from lowbit.schemes.training.exponent import LearnedScale
from lowbit.schemes.training.gradients import chosen, gradient_scaled, rounded
from lowbit.schemes.training.quantizer import WeightQuantizer, ranked_values

WEIGHT_GRADIENTS = ("ste", "blend", "staircase", "ttq")
SCALES = ("learned", "power")
CALIBRATED_WEIGHTS = {"gradient": "ste"}

STAIRS = (0.02, 0.07, 0.14)
TERNARY = 0.05
_BITS_OF = {"staircase": 3, "ttq": 2}


class PowerOfTwoWeight(LearnedScale, WeightQuantizer):
    """Weights on powers of two, per output.

    Args:
        outputs: how many.
        bits: 2 to 4.
        gradient: one of `WEIGHT_GRADIENTS`.
        scale: `learned` or `power`.
    """

    levels_of_rank: Tensor
    steps: Tensor

    def __init__(self, outputs: int, bits: int, gradient: str = "ste", scale: str = "learned") -> None:
        super().__init__(outputs)
        chosen(gradient, WEIGHT_GRADIENTS)
        chosen(scale, SCALES, "scale")
        if bits != (own := _BITS_OF.get(gradient, bits)):
            raise PlanError(f"{gradient} has {own} bits", expected=f"pow2:{own}", found=f"pow2:{bits}")
        self.bits, self.gradient, self.kind = bits, gradient, scale
        self.follows = gradient in ("blend", "staircase")
        unit = PowerOfTwo(bits, np.ones(1, np.float32))
        ranked = unit.levels()[0][unit.code_of_rank()[0].astype(np.intp)].astype(np.float32)
        self.register_buffer("levels_of_rank", torch.from_numpy(ranked), persistent=False)
        self.register_buffer("steps", torch.from_numpy(unit.thresholds()[0]), persistent=False)

    def begin_at(self, encoding: Encoding) -> None:
        """Begin with the scale of every output."""
        self.begin(torch.from_numpy(np.array(encoding.fields()["scale"])))

    def forward(self, weight: Tensor) -> Tensor:
        """Return levels, or, with `blend`, levels blended with the weights."""
        self._begin(weight)
        if self.gradient == "staircase":
            return self._blended(weight, self._stairs(weight.detach()))
        scale = self._scale(weight)
        if self.gradient == "ttq":
            signs = _ternary(weight)
            of_gradient = torch.where(signs == 0, 1.0, scale.detach())
            return scale * signs + of_gradient * (weight - weight.detach())
        if self.gradient == "blend":
            with torch.no_grad():
                quantized = scale * self._nearest(weight / scale)
            return self._blended(weight, quantized)
        scale = gradient_scaled(scale, 1 / sqrt(weight[0].numel()))
        inside = (weight / scale).clamp(-1, 1)
        return scale * (self._nearest(inside.detach()) + (inside - inside.detach()))

    @torch.no_grad()
    def coded(self, weight: Tensor) -> CodedWeights:
        """Return codes and their encoding."""
        self._begin(weight)
        if self.gradient == "staircase":
            encoding = PowerOfTwo(self.bits, np.ones(len(weight), np.float32))
            return CodedWeights(encoding, encoding.encode(self._stairs(weight).flatten(1).cpu().numpy()))
        scale = self._scale(weight)
        encoding = PowerOfTwo(self.bits, scale.flatten().cpu().numpy())
        levels = scale * _ternary(weight) if self.gradient == "ttq" else weight
        return CodedWeights(encoding, encoding.encode(levels.flatten(1).cpu().numpy()))

    def clamp(self, weight: Tensor) -> None:
        """Clamp to [-1, 1] where weights are blended, as the authors do."""
        if self.gradient in ("blend", "staircase"):
            weight.clamp_(-1, 1)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"bits={self.bits}, gradient={self.gradient}, scale={self.kind}"

    def _blended(self, weight: Tensor, quantized: Tensor) -> Tensor:
        share = torch.exp2(self.progress - 1)
        return (1 - share) * weight + share * quantized

    @torch.no_grad()
    def _begin(self, weight: Tensor) -> None:
        """Give every output the scale of least squared error, once; one of zeros begins with 1 / sqrt n."""
        if self.has_begun():
            return
        rows = weight.detach().flatten(1).double().cpu().numpy()
        if self.gradient == "ttq":
            signs = _ternary(weight.detach()).flatten(1).abs().double().cpu().numpy()
            scale = (np.abs(np.nan_to_num(rows)) * signs).sum(1) / np.maximum(signs.sum(1), 1)
        else:
            scale = power_of_two_encoding(np.nan_to_num(rows), self.bits).scale
        scale = np.where(scale > 0, scale, 1 / sqrt(rows.shape[1]))
        usual = np.where(rows.any(axis=1), scale, 1 / sqrt(rows.shape[1]))
        self.begin(torch.from_numpy(np.where(np.isfinite(rows).all(axis=1), usual, np.nan)).to(weight))

    def _scale(self, weight: Tensor) -> Tensor:
        """Return the scale `[o, 1, …]`."""
        exponent = rounded(self.logarithm()) if self.kind == "power" else self.logarithm()
        return torch.exp2(exponent).view(-1, *[1] * (weight.ndim - 1))

    def _nearest(self, values: Tensor) -> Tensor:
        return ranked_values(values, self.steps, self.levels_of_rank)

    def _stairs(self, weight: Tensor) -> Tensor:
        """Return 0, 1/4, 1/2 or 1 with the sign of the weight."""
        magnitude = weight.abs() / weight.abs().max()
        height = torch.tensor([0, 0.25, 0.5, 1.0], device=weight.device)
        stairs = torch.tensor(STAIRS, device=weight.device)
        return ranked_values(magnitude, stairs, height) * torch.sign(weight)


def _ternary(weight: Tensor) -> Tensor:
    """Return the signs of weights, 0 where they are small beside the largest."""
    return torch.where(
        weight.detach().abs() > TERNARY * weight.detach().abs().max(), weight.detach().sign(), 0.0
    )


def weights(
    form: Specification, outputs: int, *, gradient: str = "ste", scale: str = "learned"
) -> PowerOfTwoWeight:
    """Return what quantizes weights of so many outputs."""
    return PowerOfTwoWeight(outputs, form.bits, gradient, scale)
