"""What every watch of the doctor is: hooks, the steps that it sees, channels that are always the same."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from lowbit.nn.findings import Finding

FEWEST_VALUES = 64
"""Of a channel, by which it is judged."""
FAR = 8.0
"""Deviations away from zero at which a single sign is dead, and not only seldom another."""

_SHOWN = 5


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


def some(channels: Sequence[int]) -> str:
    """Return how many, and the first of them."""
    shown = ", ".join(map(str, channels[:_SHOWN])) + (", …" if len(channels) > _SHOWN else "")
    return f"{len(channels)} ({shown})"
