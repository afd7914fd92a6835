"""Timing contenders side by side: interleaved rounds, so that drift of the machine hits all alike."""

import gc
import time
from collections.abc import Callable, Mapping
from statistics import median

Call = Callable[[], object]

SETTLE_SECONDS = 0.1  # until threads that spin for more work give their core back
_ROUND_SECONDS = 0.05


def interleaved_medians(
    contenders: Mapping[str, Call],
    rounds: int,
    round_seconds: float = _ROUND_SECONDS,
    settle_seconds: float = 0,
) -> dict[str, float]:
    """Return the median latency of each call in microseconds.

    In every round each contender runs in turn and its mean is taken; the median is over rounds. A round
    before the first warms up and finds how often to call.

    Args:
        contenders: calls by name.
        rounds: how many rounds count.
        round_seconds: how long each runs in a round; many short rounds are best where others use the machine.
        settle_seconds: how long each runs untimed before: of several threads, those of the one before may
            still spin. An idle wait would do, but a processor that has idled is slow for as long.
    """
    counts = {name: _count(call, round_seconds) for name, call in contenders.items()}
    means: dict[str, list[float]] = {name: [] for name in contenders}
    collecting = gc.isenabled()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, call in contenders.items():
                _settle(call, settle_seconds)
                means[name].append(_mean_seconds(call, counts[name]) * 1e6)
    finally:
        if collecting:
            gc.enable()
    return {name: median(values) for name, values in means.items()}


def _settle(call: Call, seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        call()


def _count(call: Call, round_seconds: float) -> int:
    count = 1
    while (seconds := _mean_seconds(call, count) * count) < round_seconds / 4:
        count *= 4
    return max(1, round(count * round_seconds / seconds))


def _mean_seconds(call: Call, count: int) -> float:
    repeat = range(count)
    start = time.perf_counter()
    for _ in repeat:
        call()
    return (time.perf_counter() - start) / count
