"""Timing contenders side by side: interleaved rounds, so that drift of the machine hits all alike."""

import gc
import time
from collections.abc import Callable, Mapping
from statistics import median

Call = Callable[[], object]

_ROUND_SECONDS = 0.05


def interleaved_medians(contenders: Mapping[str, Call], rounds: int) -> dict[str, float]:
    """Return the median latency of each call in microseconds.

    In every round each contender runs in turn for about 50 ms and its mean is taken; the median is
    over rounds. A round before the first warms up and finds how often to call.

    Args:
        contenders: calls by name.
        rounds: how many rounds count.
    """
    counts = {name: _count(call) for name, call in contenders.items()}
    means: dict[str, list[float]] = {name: [] for name in contenders}
    collecting = gc.isenabled()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, call in contenders.items():
                means[name].append(_mean_seconds(call, counts[name]) * 1e6)
    finally:
        if collecting:
            gc.enable()
    return {name: median(values) for name, values in means.items()}


def _count(call: Call) -> int:
    count = 1
    while (seconds := _mean_seconds(call, count) * count) < _ROUND_SECONDS / 4:
        count *= 4
    return max(1, round(count * _ROUND_SECONDS / seconds))


def _mean_seconds(call: Call, count: int) -> float:
    repeat = range(count)
    start = time.perf_counter()
    for _ in repeat:
        call()
    return (time.perf_counter() - start) / count
