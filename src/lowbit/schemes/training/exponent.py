"""A learned scale 2^(start + exponent), a row each, that no weight decay moves.

The logarithm is learned, so that a scale stays positive. An optimizer that decays all parameters alike would
pull it towards 2^0 = 1, far faster than its gradient moves it. So what has been learned goes over into
`start`, a buffer, before every step, and the parameter is zero when the optimizer decays it.
"""

from typing import Any

import torch
from torch import Tensor, nn

from lowbit.errors import NumericError
from lowbit.schemes.training.quantizer import Quantizer


class LearnedScale(Quantizer):
    """What a quantizer with a learned scale has.

    Attributes:
        exponent: what has been learned since the last forward while training, `[rows]`.
        start: the logarithm of the scale, to the base of 2, before that.
        ready: whether values have decided where to begin.
    """

    exponent: nn.Parameter
    start: Tensor
    ready: Tensor

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.exponent = nn.Parameter(torch.zeros(rows))
        self.register_buffer("start", torch.zeros(rows))
        self.register_buffer("ready", torch.zeros((), dtype=torch.bool))
        self.forget()

    def forget(self) -> None:
        """Begin again with the next values."""
        self.ready.fill_(False)
        self._begun = self._seen = False

    def logarithm(self) -> Tensor:
        """Return the logarithm of the scale to the base of 2, `[rows]`, with the gradient of the exponent."""
        if self.training:
            with torch.no_grad():
                self.start.add_(self.exponent)
                self.exponent.zero_()
        return self.start + self.exponent

    def has_begun(self) -> bool:
        """Return whether values have decided; a wait for the device, until they have."""
        self._begun = self._begun or bool(self.ready)
        return self._begun

    @torch.no_grad()
    def begin(self, scale: Tensor) -> None:
        """Begin with a scale `[rows]`; zero decides nothing.

        Raises:
            NumericError: it is not finite.
        """
        self._seen = True
        if not bool(scale.isfinite().all()):
            raise NumericError(
                "values to begin with are not finite", expected="finite numbers", found="NaN or infinity"
            )
        if bool((scale > 0).all()):
            self.start.copy_(torch.log2(scale))
            self.exponent.zero_()
            self.ready.fill_(True)
            self._begun = True

    def check_seen(self) -> None:
        """Raise where no values have been seen yet.

        Raises:
            NumericError: none have.
        """
        if not (self._seen or self.has_begun()):
            raise NumericError(
                "a learned step has seen no values yet",
                expected="a batch in training mode before eval mode",
                remedy="Run the model once on a batch of samples in training mode, or load trained weights.",
            )

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        """Load a state; one of an earlier lowbit has all of the logarithm in the exponent."""
        if f"{prefix}exponent" in state_dict:
            state_dict.setdefault(f"{prefix}start", torch.zeros_like(self.start))
            self.forget()
        super()._load_from_state_dict(state_dict, prefix, *others)
