"""Two levels about a centre, as AdaBin learns them.

    weight       a_o s + b_o,   b_o = mean w,  a_o = sqrt mean (w - b_o)^2,  z = (w - b_o) / a_o,  s = sign z
                 gradients of `ede` in z (`lowbit.schemes.training.gradients`), those of z, a_o and b_o in w
    activation   a s + b,   z = (x - b) / a,  s = sign z,  a and b learned, and with f(z) = max(2 - 2|z|, 0)
                 dx^/dx = f(z),   dx^/da = s - z f(z),   dx^/db = 1 - f(z)

(Tu et al., AdaBin: Improving Binary Neural Networks with Adaptive Binary Sets, ECCV 2022; the authors' code
is github.com/huawei-noah/Efficient-Computing, BinaryNetworks/AdaBin.) A value equal to the centre takes the
lower level, as in every learned basis. The authors begin with a = 1 and b = 0; here a and b begin with the
deviation and the mean of the first batch. Their code gives a (s + b) for activations, whose centre is not b.
"""

import numpy as np
import torch
from torch import Tensor, nn

from lowbit.errors import NumericError, PlanError
from lowbit.schemes.coded import CodedWeights
from lowbit.schemes.encoding import SMALLEST, Encoding
from lowbit.schemes.fitting import qem
from lowbit.schemes.learned_basis.encoding import ACTIVATION_BOUND, LearnedBasis, snap
from lowbit.schemes.learned_basis.fit import snapped_basis
from lowbit.schemes.specification import Specification
from lowbit.schemes.training.gradients import sign
from lowbit.schemes.training.quantizer import InputQuantizer, WeightQuantizer
from lowbit.schemes.training.statistics import summed

_LEAST_VARIANCE = 1e-12  # of equal weights, so that their gradient is finite


def require_one_bit(form: Specification) -> None:
    """Refuse what has more levels than two, or no centre.

    Raises:
        PlanError: so it is.
    """
    if form.bits != 1 or not form.offset:
        raise PlanError("adabin has two levels about a centre", expected="lq:1:offset", found=str(form))


def above(x: Tensor, rule: str, progress: Tensor) -> Tensor:
    """Return +1 where x > 0, else -1, with the gradient that a rule of signs gives."""
    found = sign(x, rule, progress)
    return torch.where(x > 0, 1.0, -1.0).to(x.dtype) + (found - found.detach())


class AdaptiveWeight(WeightQuantizer):
    """Weights of two levels, about the mean of each output, as far apart as they deviate."""

    follows = True

    def forward(self, weight: Tensor) -> Tensor:
        """Return levels."""
        centre, distance = _moments(weight)
        return distance * above((weight - centre) / distance, "ede", self.progress) + centre

    @torch.no_grad()
    def coded(self, weight: Tensor) -> CodedWeights:
        """Return codes and the snapped encoding."""
        centre, distance = (each.double().flatten().cpu().numpy() for each in _moments(weight))
        fit = qem.Fit(distance[:, None], centre, np.zeros(len(centre)))
        codes = (weight > _moments(weight)[0]).flatten(1).cpu().numpy().astype(np.uint8)
        return CodedWeights(snapped_basis(fit, self.bound), codes)


class AdaptiveInput(InputQuantizer):
    """Activations of two levels, whose centre and distance are learned."""

    ready: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.distance, self.centre = nn.Parameter(torch.ones(1)), nn.Parameter(torch.zeros(1))
        self.register_buffer("ready", torch.zeros((), dtype=torch.bool))
        self.forget()

    def forget(self) -> None:
        """Begin again with the next batch."""
        self.ready.fill_(False)
        self._begun = self._seen = False

    def forward(self, x: Tensor) -> Tensor:
        """Return levels."""
        self._begin(x)
        distance = self._positive()
        levels = distance * above((x - self.centre) / distance, "quadratic", self.progress) + self.centre
        return levels.to(x.dtype)

    @torch.no_grad()
    def encoding(self) -> Encoding:
        """Return the snapped levels.

        Raises:
            NumericError: no batch has been seen yet.
        """
        if not (self._seen or bool(self.ready)):
            raise NumericError(
                "a learned centre has seen no values yet",
                expected="a batch in training mode before eval mode",
                remedy="Run the model once on a batch of samples in training mode, or load trained weights.",
            )
        basis = self._positive().view(1, 1).cpu().numpy()
        return snap(LearnedBasis(basis, self.centre.cpu().numpy(), np.zeros(1, np.int32)), ACTIVATION_BOUND)

    def _positive(self) -> Tensor:
        return self.distance.abs().clamp(min=SMALLEST)

    @torch.no_grad()
    def _begin(self, x: Tensor) -> None:
        """Begin with the first batch that is not the same number throughout."""
        self._begun = self._begun or bool(self.ready)
        if self._begun:
            return
        values = x.double()
        count = summed(torch.tensor(float(values.numel()), device=x.device))
        mean = summed(values.sum()) / count
        deviation = (summed((values - mean).square().sum()) / count).sqrt()
        if not bool(deviation.isfinite()):
            raise NumericError(
                "values to begin with are not finite", expected="finite numbers", found="NaN or infinity"
            )
        self._seen = True
        if bool(deviation > 0):
            self.centre.copy_(mean.view(1))
            self.distance.copy_(deviation.view(1))
            self.ready.fill_(True)


def _moments(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the deviation of each output, `[o, 1, …]`."""
    axes = tuple(range(1, weight.ndim))
    centre = weight.mean(axes, keepdim=True)
    return centre, ((weight - centre).square().mean(axes, keepdim=True) + _LEAST_VARIANCE).sqrt()
