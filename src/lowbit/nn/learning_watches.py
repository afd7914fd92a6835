"""What the doctor sees of learning: what does not move, rules that nobody tells of progress, norms."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from lowbit.nn.findings import Finding
from lowbit.nn.watch import Steps, Watch, some
from lowbit.schemes.training.exponent import LearnedScale
from lowbit.schemes.training.quantizer import Quantizer
from lowbit.schemes.training.statistics import sampled

WARM = 30
"""Batches after which statistics of a normalization with the usual momentum are those of training."""
SHIFT, RATIO = 1.0, 4.0
"""By how many deviations a mean, and by which factor a variance may differ from those of training."""
APART_SHARE = 0.125
"""Of channels of a normalization that may differ so far."""


class RestWatch(Watch):
    """Sees whether what a module learns moves.

    Args:
        name: of the layer.
        steps: of the watch.
        module: a quantizer, all of which is one thing, or a layer, whose weight is.
        what: it is called.
    """

    def __init__(self, name: str, steps: Steps, module: nn.Module, what: str) -> None:
        super().__init__(name, steps)
        self._module, self._what = module, what
        self._whole = isinstance(module, Quantizer)
        learns = module.parameters() if self._whole else [module._parameters.get("weight")]
        self._learns = [each for each in learns if each is not None and each.requires_grad]
        self._before: list[Tensor] = []
        self._moved, self._arrived, self._largest = True, 0, torch.zeros(())
        self.handles.append(module.register_forward_hook(self._look))
        self.handles += [each.register_hook(self._gradient) for each in self._learns]  # type: ignore[no-untyped-call]

    def _state(self) -> list[Tensor]:
        own = self._module.state_dict().values() if self._whole else self._learns
        return [sampled(each.detach()).clone() for each in own]

    def _look(self, module: nn.Module, given: Any, output: Any) -> None:
        if module.training and not self._before and self._learns:
            self._before = self._state()

    def _gradient(self, gradient: Tensor) -> None:
        self._arrived += 1
        self.steps.gradients = max(self.steps.gradients, self._arrived)
        largest = gradient.detach().abs().amax().float()
        self._largest = torch.maximum(self._largest.to(gradient.device), largest)

    def finish(self) -> None:
        """See whether anything is another number than in the first step."""
        if self._before:
            now = self._state()
            self._moved = any(not torch.equal(a, b) for a, b in zip(self._before, now, strict=True))

    def findings(self) -> Iterator[Finding]:
        """Yield what does not move although a gradient arrives, or gets none."""
        if self._moved or self.steps.gradients < 2:
            return
        if float(self._largest) > 0:
            yield Finding("at rest", self.name, f"{self._what} do not move, though they have a gradient")
        elif not self._whole or (isinstance(self._module, LearnedScale) and self._arrived):
            yield Finding("at rest", self.name, f"no gradient reaches {self._what}")


class ProgressWatch(Watch):
    """Sees whether a rule that follows the progress of training is told of it."""

    def __init__(self, name: str, steps: Steps, quantizer: Quantizer) -> None:
        super().__init__(name, steps)
        self._quantizer, self._most = quantizer, torch.zeros(())
        self.handles.append(quantizer.register_forward_hook(self._look))

    def _look(self, quantizer: nn.Module, given: Any, output: Any) -> None:
        progress = self._quantizer.progress
        self._most = torch.maximum(self._most.to(progress.device), progress)

    def findings(self) -> Iterator[Finding]:
        """Yield a rule that still is where training begins, when watched again."""
        if self.steps.again and self.steps.count and not float(self._most):
            yield Finding(
                "no progress", self.name, "its rule follows the progress of training, which stays at 0"
            )


class NormWatch(Watch):
    """Sees what batch normalization reads, and what it keeps for eval mode."""

    def __init__(self, name: str, steps: Steps, norm: nn.Module) -> None:
        super().__init__(name, steps)
        self._norm, self._count = norm, 0
        self._apart: list[bool] = []
        self._mean = self._variance = torch.zeros(())
        self.handles.append(norm.register_forward_hook(self._look))

    @torch.no_grad()
    def _look(self, norm: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        self.steps.gave(output)
        if not norm.training:
            return
        x = given[0].detach().float()
        axes = [axis for axis in range(x.ndim) if axis != 1]
        variance, mean = torch.var_mean(x, axes)
        self.called(mean.isfinite().all() & output.detach().isfinite().all())
        self._count += 1
        self._mean = self._mean.to(mean.device) + mean
        self._variance = self._variance.to(mean.device) + variance

    def finish(self) -> None:
        """Compare what eval mode would take with what training took."""
        norm: Any = self._norm
        if not self._count or norm.running_mean is None or int(norm.num_batches_tracked) < WARM:
            return
        mean, variance = self._mean / self._count, self._variance / self._count + norm.eps
        shift = (norm.running_mean - mean).abs() / variance.sqrt()
        ratio = (norm.running_var + norm.eps) / variance
        self._apart = ((shift > SHIFT) | (ratio > RATIO) | (ratio < 1 / RATIO)).tolist()

    def findings(self) -> Iterator[Finding]:
        """Yield statistics that are far from those of training."""
        channels = [number for number, apart in enumerate(self._apart) if apart]
        if len(channels) > APART_SHARE * len(self._apart):
            found = (
                f"of {len(self._apart)} channels {some(channels)} have other means or variances in eval mode"
            )
            yield Finding("train and eval", self.name, found)
