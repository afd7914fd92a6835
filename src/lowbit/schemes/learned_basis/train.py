"""Learned bases, trained by running QEM or by their exact gradient (Zhang et al., LQ-Nets 2018, section 3).

    level(code) = o + sum_i a_i s_i(code),   s_i = -1 or +1;   a value takes the nearest level

QEM, once per training step, with the codes of the present basis (eq. 7 and algorithm 1):

    (a, o) <- least squares of x on the signs of its codes, damped towards the old basis
    basis  <- 0.9 basis + 0.1 (a, o)                               over all processes of the run

The exact gradient, as an option, holds the codes: dL/da_i = sum g s_i, dL/do = sum g. Gradients of the
values pass straight through; those of activations only between the lowest and the highest level. In eval
mode the basis is snapped to a scale times small integers, as it is deployed. `adabin` of one bit and an
offset: `lowbit.schemes.learned_basis.adaptive`.
"""

import numpy as np
import torch
from torch import Tensor, nn

from lowbit.errors import NumericError
from lowbit.schemes.coded import CodedWeights
from lowbit.schemes.encoding import SMALLEST, Encoding
from lowbit.schemes.fitting import qem
from lowbit.schemes.learned_basis.adaptive import AdaptiveInput, AdaptiveWeight, require_one_bit
from lowbit.schemes.learned_basis.encoding import ACTIVATION_BOUND, LearnedBasis, snap
from lowbit.schemes.learned_basis.fit import snapped_basis
from lowbit.schemes.specification import Specification
from lowbit.schemes.training.gradients import chosen
from lowbit.schemes.training.quantizer import InputQuantizer, WeightQuantizer, ranked_values, ranks
from lowbit.schemes.training.statistics import sampled, summed

UPDATES = ("qem", "exact")
CALIBRATED_WEIGHTS = CALIBRATED_INPUTS = {"gradient": "exact"}
"""By which settings what was calibrated is learned on."""
WEIGHT_GRADIENTS = INPUT_GRADIENTS = (*UPDATES, "adabin")

MOMENTUM = 0.9
FIRST_ROUNDS = 20
_FLATTEST = 1 / 32  # least ratio of a coefficient to the largest: it has to be an integer of at least 1


class Basis(nn.Module):
    """A basis and an offset per row, which follow values.

    Args:
        rows: how many.
        bits: coefficients per row.
        offset: whether levels have an offset.
        update: `qem` or `exact`.
    """

    basis: Tensor
    offset: Tensor
    signs: Tensor
    ready: Tensor

    def __init__(self, rows: int, bits: int, offset: bool, update: str) -> None:
        super().__init__()
        self.has_offset, self.update = offset, chosen(update, UPDATES)
        start = torch.exp2(torch.arange(bits).float()).repeat(rows, 1)
        for name, value in (("basis", start), ("offset", torch.zeros(rows))):
            if update == "exact" and (name == "basis" or offset):
                self.register_parameter(name, nn.Parameter(value))
            else:
                self.register_buffer(name, value)
        self.register_buffer("signs", torch.from_numpy(qem.signs(bits)).float(), persistent=False)
        self.register_buffer("ready", torch.zeros((), dtype=torch.bool))
        self.forget()

    def forget(self) -> None:
        """Begin again with the next values."""
        self.ready.fill_(False)
        self._follows = self._seen = False

    @torch.no_grad()
    def begin_at(self, encoding: Encoding) -> None:
        """Begin with the basis and the offset of an encoding, a row each or one for all."""
        found = encoding.as_basis()
        assert found is not None
        self.basis.copy_(torch.from_numpy(found.basis))
        self.offset.copy_(torch.from_numpy(found.offset))
        self.ready.fill_(True)
        self._seen = True

    def follow(self, values: Tensor, shared: bool) -> None:
        """Take one step of QEM, or, the first time, as many as it takes to begin.

        Args:
            values: `[rows, n]`.
            shared: whether other processes have other values.

        Raises:
            NumericError: the first values are not finite.
        """
        if not self._follows:
            if not bool(self.ready):
                self._begin(values, shared)
            self._follows = bool(self.ready)
        if self.update == "qem":
            self._step(values.nan_to_num(0, 0, 0) if shared else values, shared, MOMENTUM)

    def grid(self) -> tuple[Tensor, Tensor]:
        """Return ascending levels `[rows, l]`, with the gradient of the basis, and the midpoints between."""
        levels = (self.offset[:, None] + self.basis @ self.signs.T).sort(dim=1).values
        return levels, _midpoints(levels.detach())

    def fit(self) -> qem.Fit:
        """Return basis and offset, positive and ascending.

        Raises:
            NumericError: nothing has been seen yet.
        """
        if not (self._seen or bool(self.ready)):
            raise NumericError(
                "a learned basis has seen no values yet",
                expected="a batch in training mode before eval mode",
                remedy="Run the model once on a batch of samples in training mode, or load trained weights.",
            )
        basis = np.sort(np.abs(self.basis.detach().double().cpu().numpy()), axis=1)
        return qem.Fit(basis, self.offset.detach().double().cpu().numpy(), np.zeros(len(basis)))

    @torch.no_grad()
    def _begin(self, values: Tensor, shared: bool) -> None:
        """Start from 2^i times the mean magnitude (about the mean, where there is an offset)."""
        if not bool(_all(values.isfinite().all(1).float() - 1, shared).eq(0).all()):
            raise NumericError(
                "values to begin with are not finite", expected="finite numbers", found="NaN or infinity"
            )
        count = torch.full((len(values),), float(values.shape[1]), device=values.device)
        total, count = _all(values.sum(1), shared), _all(count, shared)
        centre = total / count if self.has_offset else torch.zeros_like(total)
        magnitude = _all((values - centre[:, None]).abs().sum(1), shared) / count
        bits = self.basis.shape[1]
        steps = torch.exp2(torch.arange(bits, device=values.device)) / (1 << (bits - 1))
        self.basis.copy_(magnitude.clamp(min=SMALLEST)[:, None] * steps)
        self.offset.copy_(centre)
        for _ in range(FIRST_ROUNDS):
            self._step(values, shared, 0.0)
        self.ready.copy_((magnitude > 0).any())  # zeros decide nothing
        self._seen = True

    @torch.no_grad()
    def _step(self, values: Tensor, shared: bool, momentum: float) -> None:
        """Move the basis towards the least squares of the values on the signs of their codes."""
        levels = self.offset[:, None] + self.basis @ self.signs.T
        ranked, order = levels.sort(dim=1)
        codes = order.gather(1, ranks(values.contiguous(), _midpoints(ranked)))
        counts, sums = torch.zeros_like(levels), torch.zeros_like(levels)
        counts.scatter_add_(1, codes, torch.ones_like(values))
        sums.scatter_add_(1, codes, values)
        moments = _all(torch.stack([counts, sums]), shared).double()
        bits, signs = self.basis.shape[1], self.signs.double()
        columns = torch.cat([signs, torch.ones_like(signs[:, :1])], 1) if self.has_offset else signs
        old = torch.cat([self.basis, self.offset[:, None]], 1)[:, : columns.shape[1]]
        found = _least_squares(moments[0], moments[1], columns, old.double()).to(self.basis.dtype)
        basis = found[:, :bits].abs().sort(dim=1).values
        self.basis.mul_(momentum).add_(basis, alpha=1 - momentum)
        if self.has_offset:
            self.offset.mul_(momentum).add_(found[:, bits], alpha=1 - momentum)


class LearnedBasisWeight(WeightQuantizer):
    """Weights on a learned basis, per output.

    Args:
        outputs: how many.
        bits: 1 to 4.
        offset: whether levels have an offset.
        update: `qem` or `exact`.
    """

    def __init__(self, outputs: int, bits: int, offset: bool, update: str = "qem") -> None:
        super().__init__()
        self.learned = Basis(outputs, bits, offset, update)

    def forget(self) -> None:
        """Begin again with the next weights."""
        self.learned.forget()

    def begin_at(self, encoding: Encoding) -> None:
        """Begin with the basis and the offset of an encoding."""
        self.learned.begin_at(encoding)

    def forward(self, weight: Tensor) -> Tensor:
        """Return the nearest levels; the gradient passes straight through."""
        rows = weight.flatten(1)
        if self.training:
            self.learned.follow(rows.detach(), shared=False)
        levels, steps = self.learned.grid()
        found = levels.gather(1, ranks(rows.detach(), steps))
        return (found + (rows - rows.detach())).view(weight.shape)

    def coded(self, weight: Tensor) -> CodedWeights:
        """Return codes and the snapped encoding."""
        encoding = snapped_basis(self.learned.fit(), self.bound)
        return CodedWeights(encoding, encoding.encode(weight.detach().flatten(1).cpu().numpy()))


class LearnedBasisInput(InputQuantizer):
    """Activations on one learned basis.

    Args:
        bits: 1 to 4.
        offset: whether levels have an offset.
        update: `qem` or `exact`.
    """

    def __init__(self, bits: int, offset: bool, update: str = "qem") -> None:
        super().__init__()
        self.learned = Basis(1, bits, offset, update)

    def forget(self) -> None:
        """Begin again with the next batch."""
        self.learned.forget()

    def begin_at(self, encoding: Encoding) -> None:
        """Begin with the basis and the offset of an encoding."""
        self.learned.begin_at(encoding)

    def forward(self, x: Tensor) -> Tensor:
        """Return the nearest levels; the gradient passes between the lowest and the highest."""
        if self.training:
            self.learned.follow(sampled(x.detach()).float()[None], shared=True)
        levels, steps = self.learned.grid()
        found = ranked_values(x.detach().float(), steps[0], levels[0]).to(x.dtype)
        ends = levels.detach().to(x.dtype)[0, [0, -1]]
        inside = x.clamp(ends[0], ends[1])
        return found + (inside - inside.detach())

    def encoding(self) -> Encoding:
        """Return the snapped basis."""
        fit = self.learned.fit()
        basis = np.maximum(fit.basis, np.maximum(fit.basis[:, -1:] * _FLATTEST, SMALLEST)).astype(np.float32)
        return snap(
            LearnedBasis(basis, fit.offset.astype(np.float32), np.zeros(1, np.int32)), ACTIVATION_BOUND
        )


def _least_squares(counts: Tensor, sums: Tensor, columns: Tensor, old: Tensor) -> Tensor:
    """Return coefficients `[rows, k]` of least squared error, damped towards `old`.

    Args:
        counts: how many values have each code, `[rows, codes]`.
        sums: their sums, `[rows, codes]`.
        columns: what the coefficients of each code are multiplied by, `[codes, k]`.
        old: `[rows, k]`.
    """
    square = torch.einsum("oc,ci,cj->oij", counts, columns, columns)
    ridge = qem.RIDGE * square.diagonal(dim1=1, dim2=2).mean(1).clamp(min=SMALLEST)
    damped = square + ridge[:, None, None] * torch.eye(len(old[0]), dtype=old.dtype, device=old.device)
    found: Tensor = torch.linalg.solve(damped, sums @ columns + ridge[:, None] * old)
    return found


def _midpoints(levels: Tensor) -> Tensor:
    return ((levels[:, 1:] + levels[:, :-1]) / 2).contiguous()


def _all(values: Tensor, shared: bool) -> Tensor:
    return summed(values) if shared else values


def weights(form: Specification, outputs: int, *, gradient: str = "qem") -> WeightQuantizer:
    """Return what quantizes weights of so many outputs; `gradient` is how their basis is learned."""
    if chosen(gradient, WEIGHT_GRADIENTS) == "adabin":
        require_one_bit(form)
        return AdaptiveWeight()
    return LearnedBasisWeight(outputs, form.bits, form.offset, gradient)


def inputs(form: Specification, *, gradient: str = "qem") -> InputQuantizer:
    """Return what quantizes a layer's input; `gradient` is how its basis is learned."""
    if chosen(gradient, INPUT_GRADIENTS) == "adabin":
        require_one_bit(form)
        return AdaptiveInput()
    return LearnedBasisInput(form.bits, form.offset, gradient)
