"""A network step by step: the kernel that ran, its time, its share of the peak, and why it is not more.

Peaks are measured in the same run, in registers alone: binary multiply-adds by xor, popcount and subtract
(`popcount`), or products of bytes (`dot`). Where kernels take binary words in pairs, one popcount for two, a
share of `popcount` can be above 1; the peak of that loop is `pairs`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from lowbit.engine import Program, StepTime, measure_peak

_REPEATS, _ROUNDS = 60, 3
_NEAR_PEAK = 0.85


@dataclass(frozen=True)
class LayerTime:
    """One step, measured.

    Attributes:
        step: what ran.
        share: of the peak that bounds it; None where it does no products, or that peak is not measured.
        part: of the time of the whole network.
        why_slow: what keeps it from its peak, where it is far from it.
    """

    step: StepTime
    share: float | None
    part: float
    why_slow: str


@dataclass(frozen=True)
class PerLayer:
    """All steps.

    Attributes:
        layers: in order.
        seconds: of all steps together.
        peaks: multiply-adds per second of one core, by unit.
        share: the time that all products would take at their peaks, over the time of the network.
        share_of_pairs: the same with the peak of pairs for all binary products; None where there are none.
    """

    layers: tuple[LayerTime, ...]
    seconds: float
    peaks: dict[str, float]
    share: float
    share_of_pairs: float | None


def per_layer(program: Program, *inputs: npt.NDArray[Any]) -> PerLayer:
    """Measure every step of a program, and the peaks between its rounds."""
    peaks: dict[str, float] = {}
    best: list[StepTime] = []
    for _ in range(_ROUNDS):
        peaks = {name: max(rate, peaks.get(name, 0.0)) for name, rate in measure_peak().items()}
        steps = program.profile(*inputs, repeats=_REPEATS)
        best = [min(pair, key=lambda step: step.seconds) for pair in zip(best or steps, steps, strict=True)]
    total = sum(step.seconds for step in best)
    layers = tuple(_layer(step, peaks, total, len(inputs[0]) if program.by_rows else 1) for step in best)
    in_pairs = _ideal(best, {**peaks, "popcount": peaks["pairs"]}) / total if "pairs" in peaks else None
    return PerLayer(layers, total, peaks, _ideal(best, peaks) / total, in_pairs)


def _ideal(steps: Sequence[StepTime], peaks: Mapping[str, float]) -> float:
    """Return the seconds of all products at their peaks."""
    return sum(step.work / peaks[step.unit] for step in steps if step.unit in peaks)


def _layer(step: StepTime, peaks: dict[str, float], total: float, batch: int) -> LayerTime:
    share = step.work / step.seconds / peaks[step.unit] if step.unit in peaks else None
    return LayerTime(step, share, step.seconds / total, _why_slow(step, share, batch))


def _why_slow(step: StepTime, share: float | None, batch: int) -> str:
    if step.unit == "float":
        return "float32"
    if share is None or share >= _NEAR_PEAK:
        return ""
    if step.operation.endswith("fully_connected") and batch == 1:
        return "weights are read once"
    if step.kernel == "portable":
        return "plain C++"
    return "short sums or small maps"
