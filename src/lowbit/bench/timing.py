"""Timing contenders side by side: interleaved rounds, so that drift of the machine hits all alike."""

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

import numpy as np

Call = Callable[[], object]

FEWEST = 3
"""Rounds of each that a ratio needs."""

SETTLE_SECONDS = 0.1  # until threads that spin for more work give their core back
_ROUND_SECONDS = 0.05
_TRIES = 3
_WHOLE = 0.95


class Latency(NamedTuple):
    """Microseconds of a call: by the clock, and of the processor in all threads of this process.

    `switches` are those of the round in which others took a processor from one of its threads.
    """

    wall: float
    cpu: float
    switches: int = 0

    @property
    def preempted(self) -> bool:
        """Whether others had the processor meanwhile, so that the clock says nothing of the call.

        One thread is then behind the clock. Of several the sum hides it, so that every switch counts.
        """
        return self.cpu < _WHOLE * self.wall or (self.cpu > self.wall / _WHOLE and self.switches > 0)


def undisturbed(latencies: Sequence[Latency]) -> list[Latency]:
    """Return the rounds in which nobody else had the processor."""
    return [each for each in latencies if not each.preempted]


def ratio(peer: Sequence[Latency], ours: Sequence[Latency]) -> float | None:
    """Return the median time of a peer over ours by the clock, of rounds that nobody disturbed.

    None where one of both has fewer than `FEWEST` of them: others used the machine.
    """
    both = undisturbed(peer), undisturbed(ours)
    if min(map(len, both)) < FEWEST:
        return None
    return median(each.wall for each in both[0]) / median(each.wall for each in both[1])


def said(peer: Mapping[str, Any]) -> str:
    """Return a ratio by the clock as text, and the one of processor time where there is none."""
    found = peer["ratio"]
    return f"{peer['cpu_ratio']:.1f} × of processors" if found is None else f"{found:.1f} ×"


def cpu_ratio(peer: Sequence[Latency], ours: Sequence[Latency]) -> float:
    """Return the median over rounds of a peer's processor time over ours: others disturb it least."""
    return median(theirs.cpu / own.cpu for theirs, own in zip(peer, ours, strict=True))


def interleaved_medians(
    contenders: Mapping[str, Call],
    rounds: int,
    round_seconds: float = _ROUND_SECONDS,
    settle_seconds: float = 0,
) -> dict[str, float]:
    """Return the median latency of each call in microseconds, by the clock; see `interleaved_rounds`."""
    times = interleaved_rounds(contenders, rounds, round_seconds, settle_seconds)
    return {name: median(each.wall for each in latencies) for name, latencies in times.items()}


def interleaved_rounds(
    contenders: Mapping[str, Call],
    rounds: int,
    round_seconds: float = _ROUND_SECONDS,
    settle_seconds: float = 0,
) -> dict[str, list[Latency]]:
    """Return the mean latency of each call in every round.

    In every round each contender runs, in an order of its own: what comes back in time, as the slices of a
    scheduler do, meets all alike. A round before the first warms up and finds how often to call.

    Args:
        contenders: calls by name.
        rounds: how many rounds count.
        round_seconds: how long each runs in a round; many short rounds are best where others use the machine.
        settle_seconds: how long each runs untimed before: of several threads, those of the one before may
            still spin. An idle wait would do, but a processor that has idled is slow for as long.
    """
    counts = {name: _count(call, round_seconds) for name, call in contenders.items()}
    means: dict[str, list[Latency]] = {name: [] for name in contenders}
    order, collecting = np.random.default_rng(0), gc.isenabled()
    gc.disable()
    try:
        for _ in range(rounds):
            for name in order.permutation(list(contenders)).tolist():
                call = contenders[name]
                _settle(call, settle_seconds)
                means[name].append(_mean(call, counts[name]))
    finally:
        if collecting:
            gc.enable()
    return means


def _settle(call: Call, seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        call()


def _count(call: Call, round_seconds: float) -> int:
    """Return how often a call fits in a round.

    The least of some tries decides: where the processor is taken away in one of them, a call of microseconds
    looks like one of milliseconds, and rounds of a few calls are those of cold caches.
    """
    count = 1
    while (seconds := min(_mean(call, count).wall for _ in range(_TRIES)) * count / 1e6) < round_seconds / 4:
        count *= 4
    return max(1, round(count * round_seconds / seconds))


def _mean(call: Call, count: int) -> Latency:
    repeat, switches = range(count), _switches()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in repeat:
        call()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return Latency(wall / count * 1e6, cpu / count * 1e6, _switches() - switches)


def _switches() -> int:
    """Return how often others took a processor from this process; 0 where the system does not say."""
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:  # not on Windows
        return 0
    return getrusage(RUSAGE_SELF).ru_nivcsw
