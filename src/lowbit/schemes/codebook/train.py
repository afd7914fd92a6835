"""Codebooks with learned tables.

    forward     the nearest level of w, a table per output
    backward    dL/dw passes straight through;   dL/dlevel_q = sum of the gradients of the weights of code q

Tables begin with the centres of the first weights (`lowbit.schemes.codebook.fit`). Once deployed, a table is
a scale times whole numbers.
"""

import numpy as np
import torch
from torch import Tensor, nn

from lowbit.errors import NumericError
from lowbit.schemes.codebook.encoding import snapped
from lowbit.schemes.codebook.fit import centres
from lowbit.schemes.coded import CodedWeights
from lowbit.schemes.encoding import Encoding
from lowbit.schemes.specification import Specification
from lowbit.schemes.training.quantizer import WeightQuantizer, ranks

CALIBRATED_WEIGHTS: dict[str, str] = {}
"""By which settings what was calibrated is learned on: there is no choice."""


class CodebookWeight(WeightQuantizer):
    """Weights from a learned table, per output.

    Args:
        outputs: how many.
        bits: 2 to 4.
    """

    ready: Tensor

    def __init__(self, outputs: int, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.table = nn.Parameter(torch.linspace(-1, 1, 1 << bits).repeat(outputs, 1))
        self.register_buffer("ready", torch.zeros((), dtype=torch.bool))
        self.forget()

    def forget(self) -> None:
        """Begin again with the next weights."""
        self.ready.fill_(False)
        self._begun = False

    @torch.no_grad()
    def begin_at(self, encoding: Encoding) -> None:
        """Begin with the table of every output."""
        self.table.copy_(torch.from_numpy(np.sort(encoding.levels(), axis=1)).to(self.table))
        self.ready.fill_(True)

    def forward(self, weight: Tensor) -> Tensor:
        """Return the nearest levels; the gradient passes to the weights and to the table."""
        self._begin(weight)
        rows, levels = weight.flatten(1), self.table.sort(dim=1).values
        steps = ((levels[:, 1:] + levels[:, :-1]) / 2).detach().contiguous()
        found = levels.gather(1, ranks(rows.detach().float(), steps))
        return (found.to(weight.dtype) + (rows - rows.detach())).view(weight.shape)

    @torch.no_grad()
    def coded(self, weight: Tensor) -> CodedWeights:
        """Return codes and the snapped tables."""
        self._begin(weight)
        encoding = snapped(np.sort(self.table.detach().double().cpu().numpy(), axis=1), self.bound)
        return CodedWeights(encoding, encoding.encode(weight.flatten(1).cpu().numpy()))

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"bits={self.bits}"

    @torch.no_grad()
    def _begin(self, weight: Tensor) -> None:
        """Give every output the centres of its weights, once.

        Raises:
            NumericError: weights are not finite.
        """
        self._begun = self._begun or bool(self.ready)
        if self._begun:
            return
        rows = weight.detach().flatten(1).double().cpu().numpy()
        if not np.isfinite(rows).all():
            raise NumericError("weights to begin with are not finite", expected="finite numbers")
        self.table.copy_(torch.from_numpy(centres(rows, 1 << self.bits)).to(self.table))
        self.ready.fill_(True)
        self._begun = True


def weights(form: Specification, outputs: int) -> CodebookWeight:
    """Return what quantizes weights of so many outputs."""
    return CodebookWeight(outputs, form.bits)
