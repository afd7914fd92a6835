"""A network step by step: the kernel, its time, its share of the fastest unit, and why it is not more.

Peaks are measured in the same run, in registers alone (`lowbit.bench.machine`). A layer's share is of the
fastest unit of this machine that could do it: bits can also be multiplied as bytes, in dot products or
tiles. Its own unit's share stands beside it. Where kernels take binary words in pairs, one popcount for
two, a share of `popcount` can be above 1; the peak of that loop is `pairs`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from lowbit.bench.machine import cache_reads
from lowbit.engine import Program, StepTime, measure_peak

_REPEATS, _ROUNDS = 60, 3
_NEAR_PEAK = 0.85
_MUCH = 0.3  # of a step's time
_SHORT = 5e-6  # seconds: calling and starting a step counts
_FEW = 64  # products of a sum
_ENDING = 0.3e-9  # seconds: about what a sum takes to end (`lowbit.bench.costs` measures it)
_BYTES_TOO = ("dot", "tiles")  # units that multiply what bits can be as well


@dataclass(frozen=True)
class LayerTime:
    """One step, measured.

    Attributes:
        step: what ran.
        share: of the peak of the unit that it uses; None where it does no products, or that is not measured.
        fastest: the unit of this machine that could do it in the least time; "" likewise.
        share_of_fastest: of that unit's peak.
        part: of the time of the whole network.
        why_slow: what keeps it from that peak, where it is far from it.
    """

    step: StepTime
    share: float | None
    fastest: str
    share_of_fastest: float | None
    part: float
    why_slow: str


@dataclass(frozen=True)
class PerLayer:
    """All steps.

    Attributes:
        layers: in order.
        seconds: of all steps together.
        peaks: multiply-adds per second of one core, by unit.
        reads: bytes per second of one core, by cache, or "memory"; with what of it was read.
        share: the time that all products would take at their peaks, over the time of the network.
        share_of_pairs: the same with the peak of pairs for all binary products; None where there are none.
    """

    layers: tuple[LayerTime, ...]
    seconds: float
    peaks: dict[str, float]
    reads: dict[str, tuple[int, float]]
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
    total, reads = sum(step.seconds for step in best), cache_reads()
    layers = tuple(_layer(step, peaks, reads, total) for step in best)
    in_pairs = _ideal(best, {**peaks, "popcount": peaks["pairs"]}) / total if "pairs" in peaks else None
    return PerLayer(layers, total, peaks, reads, _ideal(best, peaks) / total, in_pairs)


def _ideal(steps: Sequence[StepTime], peaks: Mapping[str, float]) -> float:
    """Return the seconds of all products at their peaks."""
    return sum(step.work / peaks[step.unit] for step in steps if step.unit in peaks)


def _layer(
    step: StepTime, peaks: Mapping[str, float], reads: Mapping[str, tuple[int, float]], total: float
) -> LayerTime:
    if step.unit not in peaks:
        why = "" if not step.products else "words of 16 bits: no peak of theirs is measured"
        return LayerTime(step, None, "", None, step.seconds / total, why)
    share = step.work / step.seconds / peaks[step.unit]
    needed = {step.unit: step.work / peaks[step.unit]}
    if step.unit == "popcount" and "pairs" in peaks:
        needed["pairs"] = step.work / peaks["pairs"]
    if step.unit != "float":
        needed.update({unit: step.products / peaks[unit] for unit in _BYTES_TOO if unit in peaks})
    fastest = min(needed, key=needed.__getitem__)
    of_fastest = needed[fastest] / step.seconds
    why = "" if of_fastest >= _NEAR_PEAK else _why_slow(step, fastest, peaks, reads)
    return LayerTime(step, share, fastest, of_fastest, step.seconds / total, why)


def _why_slow(
    step: StepTime, fastest: str, peaks: Mapping[str, float], reads: Mapping[str, tuple[int, float]]
) -> str:
    """Return what takes most of the time that products alone would not."""
    cache, rate = _holding(step.weight_bytes + step.moved_bytes, reads)
    parts = {
        f"bandwidth: {cache}": (step.weight_bytes + step.moved_bytes) / rate,
        "ending": step.outputs * _ENDING,
        "padding": (step.done - step.work) / peaks[step.unit],
    }
    most = max(parts, key=parts.__getitem__)
    reasons = [most] if parts[most] > _MUCH * step.seconds else []
    if step.outputs and step.products / step.outputs < _FEW:
        reasons.append("short sums")
    if step.seconds < _SHORT:
        reasons.append("small")
    if step.unit == "float":
        reasons.append("sums in order, without contraction")
    if step.unit in _BYTES_TOO and fastest in _BYTES_TOO and fastest != step.unit:
        reasons.append(f"{fastest} would be faster")
    return ", ".join(reasons) or "loads and turns of inner loops"


def _holding(size: int, reads: Mapping[str, tuple[int, float]]) -> tuple[str, float]:
    """Return the first cache that holds so many bytes twice, or memory, and what it gives in a second."""
    fitting = [(name, rate) for name, (read, rate) in reads.items() if size <= read and name != "memory"]
    return fitting[0] if fitting else ("memory", reads["memory"][1])
