"""What the doctor sees of one part of a model in a few steps of training.

A watch reads what passes by hooks, changes nothing, draws no random numbers, and waits for the device only
for what a layer's grid is. What it judges by stands in the constants below, chosen so that healthy runs of
small networks are quiet (`benchmarks/doctor.py`).
"""

from collections.abc import Iterator, Sequence
from math import log2
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lowbit.errors import LowbitError
from lowbit.nn.findings import Finding
from lowbit.nn.low_bit import LowBit
from lowbit.schemes.training.exponent import LearnedScale
from lowbit.schemes.training.quantizer import InputQuantizer, Quantizer
from lowbit.schemes.training.statistics import sampled

FEWEST_VALUES = 64
"""Of a channel, by which it is judged."""
DEAD_SHARE = 0.25
"""Of channels that a layer reads which may give always the same: ReLUs die in healthy networks, too."""
FAR = 8.0
"""Deviations away from zero at which a single sign is dead, and not only seldom another."""
LEAST_SHARE = 1 / 4096
"""Of all values: a code that has fewer is not used."""
COUNTED_BITS = 5
"""Beyond these bits codes are plenty: a quarter of those of so many has to be used."""
CLIPPED = 0.75
"""Of values that are not at the zero of a grid: more at its ends are too many."""
LARGEST_MOVE = 2.0
"""Of the logarithm of a grid, to the base of 2, in the few steps that are watched."""
SWINGING = 0.25
"""Of steps: a weight that turns back in more of them oscillates."""
OSCILLATING_SHARE = 0.1
"""Of weights of a layer that may."""
WARM = 30
"""Batches after which statistics of a normalization with the usual momentum are those of training."""
SHIFT, RATIO = 1.0, 4.0
"""By how many deviations a mean, and by which factor a variance may differ from those of training."""
APART_SHARE = 0.125
"""Of channels of a normalization that may differ so far."""

_SHOWN = 5
_ROWS_OF = 1 << 16  # weights of a layer whose swings are followed

Counts = npt.NDArray[np.int64]


class Steps:
    """Counts forwards while training, and knows whether parameters have been met in this one.

    Attributes:
        count: forwards so far.
        last: what the last module with parameters gave in the present forward, as a shape; of data none.
        calls: watches that were called so far, which gives them an order.
        gradients: how often gradients have arrived.
        again: whether the model was watched before.
    """

    def __init__(self, again: bool = False) -> None:
        self.again = again
        self.count, self.calls, self.gradients = 0, 0, 0
        self.last: torch.Size | None = None

    def begin(self) -> None:
        """Say that a forward begins."""
        self.count += 1
        self.last = None

    def gave(self, output: object) -> None:
        """Say what a module with parameters gave."""
        if isinstance(output, Tensor):
            self.last = output.shape

    def channels_last(self, x: Tensor, sides: int) -> Tensor:
        """Return values with their channels along the last axis; of flattened maps those of the maps.

        Args:
            x: what a layer reads or gives.
            sides: how many axes a channel has; none for features.
        """
        last = self.last
        if sides or x.ndim != 2 or last is None or len(last) < 3 or x.shape[1] % last[1]:
            return x.movedim(-1 - sides, -1)
        return x.reshape(len(x), last[1], -1).movedim(1, -1)


class Watch:
    """Sees one part.

    Attributes:
        name: of the layer.
        order: when it was first called, among all watches.
        bad_step: the step in which a number was not finite, a tensor; below zero where all were.
    """

    def __init__(self, name: str, steps: Steps) -> None:
        self.name, self.steps = name, steps
        self.order, self.bad_step = -1, torch.tensor(-1)
        self.handles: list[Any] = []

    def close(self) -> None:
        """Remove the hooks."""
        for handle in self.handles:
            handle.remove()
        self.handles.clear()

    def finish(self) -> None:
        """Look a last time, after the last step."""

    def findings(self) -> Iterator[Finding]:
        """Yield what is wrong, apart from numbers that are not finite."""
        yield from ()

    def called(self, finite: Tensor) -> None:
        """Note a call, and whether its numbers are finite."""
        if self.order < 0:
            self.order, self.steps.calls = self.steps.calls, self.steps.calls + 1
            self.bad_step = self.bad_step.to(finite.device)
        now = torch.full_like(self.bad_step, self.steps.count)
        self.bad_step = torch.where(~finite & (self.bad_step < 0), now, self.bad_step)


class Channels:
    """What channels, along the last axis, are like: whether they vary, and how far from zero.

    Attributes:
        values: of a channel.
        varying: whether it varies within a batch.
    """

    def __init__(self) -> None:
        self.varying: Tensor | None = None
        self.values = 0
        self._mean = self._variance = torch.zeros(())
        self._batches = 0

    def add(self, x: Tensor) -> Tensor:
        """Add a batch, and return whether it is finite."""
        rows = tuple(range(x.ndim - 1))
        if not rows:
            return x.isfinite().all()
        least, most = x.amin(rows), x.amax(rows)
        varies = most > least
        self.varying = varies if self.varying is None else self.varying | varies
        self.values += x.numel() // max(1, x.shape[-1])
        variance, mean = torch.var_mean(x.float(), rows, correction=0)
        self._mean, self._variance = self._mean.to(x.device) + mean, self._variance.to(x.device) + variance
        self._batches += 1
        return (least.isfinite() & most.isfinite()).all()

    def still(self) -> list[int]:
        """Return the channels that give always the same, none where values were few."""
        if self.varying is None or self.values < FEWEST_VALUES:
            return []
        return (~self.varying).nonzero().flatten().tolist()

    def far(self) -> list[int]:
        """Return the channels whose mean is many deviations away from zero."""
        mean, variance = self._mean / max(1, self._batches), self._variance / max(1, self._batches)
        return (mean.abs() > FAR * variance.sqrt()).nonzero().flatten().tolist()

    def __len__(self) -> int:
        """How many there are."""
        return 0 if self.varying is None else len(self.varying)


class InputWatch(Watch):
    """Sees the input of a layer, and the levels that it becomes."""

    def __init__(self, name: str, steps: Steps, quantizer: InputQuantizer, sides: int) -> None:
        super().__init__(name, steps)
        self._sides, self._values, self._codes = sides, Channels(), Channels()
        self._counts: Counts | None = None
        self._zero = 0
        self._spans: list[float] = []
        self._of_data = False
        self.handles.append(quantizer.register_forward_hook(self._look))

    @torch.no_grad()
    def _look(self, quantizer: nn.Module, given: tuple[Tensor, ...], levels: Tensor) -> None:
        assert isinstance(quantizer, InputQuantizer)
        if not quantizer.training or not given[0].numel():
            return
        self._of_data = self.steps.last is None
        finite = self._values.add(self.steps.channels_last(given[0].detach(), self._sides))
        finite = finite & self._codes.add(self.steps.channels_last(levels.detach(), self._sides))
        self.called(finite)
        try:
            encoding, thresholds = quantizer.encoding(), quantizer.thresholds()
        except LowbitError:  # a grid that is not finite, as its levels say
            return
        self._spans.append(float(np.ptp(encoding.levels()[0])))
        sample = sampled(given[0].detach()).float().cpu().numpy()
        counts = np.bincount(np.searchsorted(thresholds, sample), minlength=len(thresholds) + 1)
        zero = int(np.searchsorted(thresholds, np.float32(0)))
        self._zero = zero
        self._counts = counts if self._counts is None else self._counts + counts

    def findings(self) -> Iterator[Finding]:
        """Yield signs and channels that are always the same, codes that nobody uses, and grids that move."""
        codes, far = self._codes.still(), set(self._values.far()) - set(self._values.still())
        still = [] if self._of_data else codes
        signs = self._counts is not None and len(self._counts) == 2
        if len(still) > DEAD_SHARE * len(self._codes):
            kind = "dead sign" if signs else "dead channel"
            what = "have always the same sign" if signs else "have always the same code"
            yield Finding(
                kind, self.name, f"of {len(self._codes)} channels that it reads {_some(still)} {what}"
            )
        elif signs and (dead := [each for each in still if each in far]):
            found = f"of {len(self._codes)} channels that it reads {_some(dead)} have always the same sign"
            yield Finding("dead sign", self.name, found)
        if self._counts is not None and not signs and not self._of_data:
            yield from _of_counts(self.name, "its input", self._counts, self._zero)
        if len(self._spans) > 1:
            yield from _moved(self.name, "its input's grid", [log2(self._spans[-1] / self._spans[0])])


class WeightWatch(Watch):
    """Sees weights, the levels that they become, and how these swing."""

    def __init__(self, name: str, steps: Steps, layer: LowBit) -> None:
        super().__init__(name, steps)
        self._layer, quantizer = layer, layer.weight_quantizer
        assert quantizer is not None
        self._levels: Tensor | None = None
        self._turns = self._direction = torch.zeros(())
        self._scale: Tensor | None = None
        self._moves: list[float] = []
        self._seen = 0
        self.handles.append(quantizer.register_forward_hook(self._look))

    @torch.no_grad()
    def _look(self, quantizer: nn.Module, given: tuple[Tensor, ...], levels: Tensor) -> None:
        if not quantizer.training:
            return
        found = _some_rows(levels.detach().flatten(1))
        self.called(found.isfinite().all())
        if isinstance(quantizer, LearnedScale) and self._scale is None:
            self._scale = quantizer.start + quantizer.exponent.detach()
        if self._levels is None:
            self._turns, self._direction = torch.zeros_like(found), torch.zeros_like(found)
        else:
            change = found - self._levels
            change = torch.where(change.abs() > 0.5 * _gap(found), change.sign(), 0.0)
            self._turns += change * self._direction < 0
            self._direction = torch.where(change != 0, change, self._direction)
        self._levels = found
        self._seen += 1

    def finish(self) -> None:
        """See which codes are used, and how far steps have moved."""
        quantizer = self._layer.weight_quantizer
        assert quantizer is not None
        if self._scale is not None and isinstance(quantizer, LearnedScale):
            now = quantizer.start + quantizer.exponent.detach()
            self._moves = (now - self._scale).tolist()

    def findings(self) -> Iterator[Finding]:
        """Yield codes that nobody uses, weights that swing, and steps that move far."""
        if self._levels is None or not bool(self._levels.isfinite().all()):
            return
        yield from self._of_codes()
        yield from _moved(self.name, "steps of its weights", self._moves)
        if self._seen > 2:
            share = float((self._turns > SWINGING * (self._seen - 2)).float().mean())
            if share > OSCILLATING_SHARE:
                yield Finding(
                    "oscillating", self.name, f"{share:.0%} of its weights turn back again and again"
                )

    def _of_codes(self) -> Iterator[Finding]:
        layer, quantizer = self._layer, self._layer.weight_quantizer
        assert quantizer is not None
        training = quantizer.training
        quantizer.eval()  # what is learned stays where it is
        try:
            with torch.no_grad():
                coded = quantizer.coded(layer.outputs_first(layer.weight))
        except LowbitError:  # no positive grid; or fixed point, which has no codes of one layer
            return
        finally:
            quantizer.train(training)
        counts = np.bincount(coded.codes.flatten(), minlength=len(coded.encoding.code_of_rank()[0]))
        yield from _of_counts(self.name, "its weights", counts)


class OutputWatch(Watch):
    """Sees what a layer gives; one that is not low-bit may give the same number for some time."""

    def __init__(self, name: str, steps: Steps, layer: nn.Module) -> None:
        super().__init__(name, steps)
        self._channels = Channels()
        self._sides = layer.weight.ndim - 2 if isinstance(layer, LowBit) else None
        self.handles.append(layer.register_forward_hook(self._look))

    @torch.no_grad()
    def _look(self, layer: nn.Module, given: Any, output: Any) -> None:
        self.steps.gave(output)
        if not layer.training or not isinstance(output, Tensor) or not output.numel():
            return
        x = output.detach()
        finite = (
            x.isfinite().all() if self._sides is None else self._channels.add(x.movedim(-1 - self._sides, -1))
        )
        self.called(finite)

    def findings(self) -> Iterator[Finding]:
        """Yield outputs that are always the same."""
        still = self._channels.still()
        if still:
            found = f"of {len(self._channels)} outputs {_some(still)} are always the same number"
            yield Finding("dead channel", self.name, found)


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
                f"of {len(self._apart)} channels {_some(channels)} have other means or variances in eval mode"
            )
            yield Finding("train and eval", self.name, found)


def _of_counts(name: str, what: str, counts: Counts, zero: int | None = None) -> Iterator[Finding]:
    """Yield what is wrong with how often every code occurs, in the order of their levels."""
    total, number = int(counts.sum()), len(counts)
    used = int((counts >= max(1.0, LEAST_SHARE * total)).sum())
    if used <= min(number, 1 << COUNTED_BITS) // 4 + 1 and used < number:
        yield Finding("unused codes", name, f"{what} takes {used} of {number} codes")
    elif zero is not None and number > 4:
        others = total - int(counts[zero])
        ends = sum(int(counts[end]) for end in (0, number - 1) if end != zero)
        if others and ends > CLIPPED * others:
            yield Finding("clipped", name, f"{ends / others:.0%} of {what} lies at the ends of its grid")


def _moved(name: str, what: str, moves: Sequence[float]) -> Iterator[Finding]:
    far = max(moves, key=abs, default=0.0)
    if not abs(far) <= LARGEST_MOVE:
        yield Finding("exploding", name, f"{what} became {2**far:.3g} times as large in a few steps")


def _some(channels: Sequence[int]) -> str:
    """Return how many, and the first of them."""
    shown = ", ".join(map(str, channels[:_SHOWN])) + (", …" if len(channels) > _SHOWN else "")
    return f"{len(channels)} ({shown})"


def _some_rows(weight: Tensor) -> Tensor:
    """Return whole rows, evenly chosen, that have as many weights as are followed."""
    rows = max(1, _ROWS_OF // weight.shape[1])
    return weight[:: max(1, -(-len(weight) // rows))].float()


def _gap(levels: Tensor) -> Tensor:
    """Return the least distance of two levels of each row, `[rows, 1]`; of one level alone its size."""
    ranked = levels.sort(dim=1).values
    apart = ranked.diff(dim=1)
    apart = apart.masked_fill(apart <= 1e-5 * ranked.abs().amax(1, keepdim=True), torch.inf)
    least = apart.amin(1, keepdim=True) if apart.shape[1] else torch.full_like(ranked, torch.inf)
    return torch.where(least.isinf(), ranked.abs().amax(1, keepdim=True), least)
