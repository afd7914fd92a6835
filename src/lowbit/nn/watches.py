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
from lowbit.nn.watch import Channels, Steps, Watch, some
from lowbit.schemes.training.exponent import LearnedScale
from lowbit.schemes.training.quantizer import InputQuantizer
from lowbit.schemes.training.statistics import sampled

DEAD_SHARE = 0.25
"""Of channels that a layer reads which may give always the same: ReLUs die in healthy networks, too."""
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

_ROWS_OF = 1 << 16  # weights of a layer whose swings are followed

Counts = npt.NDArray[np.int64]


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
                kind, self.name, f"of {len(self._codes)} channels that it reads {some(still)} {what}"
            )
        elif signs and (dead := [each for each in still if each in far]):
            found = f"of {len(self._codes)} channels that it reads {some(dead)} have always the same sign"
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
            found = f"of {len(self._channels)} outputs {some(still)} are always the same number"
            yield Finding("dead channel", self.name, found)


def _of_counts(name: str, what: str, counts: Counts, zero: int | None = None) -> Iterator[Finding]:
    """Yield what is wrong with how often every code occurs, in the order of their levels."""
    total, number = int(counts.sum()), len(counts)
    if zero is not None and number > 4:
        others = total - int(counts[zero])
        ends = sum(int(counts[end]) for end in (0, number - 1) if end != zero)
        if others and ends > CLIPPED * others:
            yield Finding("clipped", name, f"{ends / others:.0%} of {what} lies at the ends of its grid")
            return  # that few codes are used besides follows from it
    used = int((counts >= max(1.0, LEAST_SHARE * total)).sum())
    if used <= min(number, 1 << COUNTED_BITS) // 4 + 1 and used < number:
        yield Finding("unused codes", name, f"{what} takes {used} of {number} codes")


def _moved(name: str, what: str, moves: Sequence[float]) -> Iterator[Finding]:
    far = max(moves, key=abs, default=0.0)
    if not abs(far) <= LARGEST_MOVE:
        yield Finding("exploding", name, f"{what} became {2**far:.3g} times as large in a few steps")


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
