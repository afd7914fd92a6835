"""Latency of a network beside other runtimes, in one run, as ratios."""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from lowbit.bench.layers import per_layer
from lowbit.bench.machine import absent_levels, measure_machine
from lowbit.bench.peers import PEERS, Absent, build_peer
from lowbit.bench.timing import (
    FEWEST,
    SETTLE_SECONDS,
    Call,
    Latency,
    cpu_ratio,
    interleaved_medians,
    interleaved_rounds,
    ratio,
    undisturbed,
)
from lowbit.engine import Program
from lowbit.errors import DataError
from lowbit.version import __version__

__all__ = [
    "PEERS",
    "compare",
    "interleaved_medians",
    "measure_machine",
    "per_layer",
    "random_inputs",
    "random_sample",
]

_HALF = 0.5
_SHORT_ROUNDS, _ROUND_SECONDS = 10, 0.005  # short ones, so that some are not disturbed where others work


def compare(
    model: Path,
    against: Path | None,
    *,
    threads: int = 1,
    batch: int = 1,
    rounds: int = 5,
    path: str = "",
) -> dict[str, Any]:
    """Return latencies of a model in our engine and of the float network in the peers.

    Args:
        model: what our engine runs.
        against: the float network as ``.onnx``; without it no peer is measured.
        threads: for every engine; our workers are kept off the caller's processor.
        batch: samples per call.
        rounds: of a twentieth of a second each; each is several short ones, in which all run.
        path: that our layers of low bits take where they can; see `lowbit.engine.Program`.

    Returns:
        ``threads, batch, latency_us, cpu_us, undisturbed, load_us, kernels, version`` and, by peer,
        ``version, latency_us, cpu_us, undisturbed, ratio, cpu_ratio`` (peer over ours). ``undisturbed`` is
        the share of rounds in which nobody else had the processor: by the clock only those count, and
        ``ratio`` is None where there were too few. ``absent`` has the reason for each peer that was not
        measured, and ``absent_levels`` what this machine lacks for kernel levels.

    Raises:
        DataError: ``against`` is not an ``.onnx`` file.
    """
    from lowbit import api

    program = api.load(model, threads=threads, pin_workers=threads > 1, path=path)
    load_us = median(_load_seconds(model, threads) for _ in range(rounds)) * 1e6
    inputs = random_inputs(program, batch)
    calls: dict[str, Call] = {"lowbit": partial(program.run, *inputs)}
    versions, absent = _add_peers(calls, against, inputs, threads)
    settle = SETTLE_SECONDS if threads > 1 else 0
    times = interleaved_rounds(calls, rounds * _SHORT_ROUNDS, _ROUND_SECONDS, settle_seconds=settle)
    ours = times.pop("lowbit")
    peers = {
        name: {
            "version": versions[name],
            **_times(each),
            "ratio": ratio(each, ours),
            "cpu_ratio": cpu_ratio(each, ours),
        }
        for name, each in times.items()
    }
    return {
        "version": __version__,
        "threads": threads,
        "batch": batch,
        "kernels": program.kernel_level,
        **_times(ours),
        "load_us": load_us,
        "path": path,
        "peers": peers,
        "absent": absent,
        "absent_levels": absent_levels(),
        **({} if threads == 1 else {"sharing": _sharing(program)}),
    }


def _sharing(program: Program) -> str:
    """Return what several threads do with one sample, and why not more."""
    steps, of = program._core.shared_steps
    if not program._core.worth_sharing:
        return "one sample is too little work to wake another thread for"
    return f"{steps} of {of} steps take 2 µs or more for one sample, from which threads share them"


def _times(latencies: Sequence[Latency]) -> dict[str, float]:
    """Return medians, of rounds that nobody disturbed where there are enough; and the share of those."""
    calm = undisturbed(latencies)
    counted = calm if len(calm) >= FEWEST else latencies
    return {
        "latency_us": median(each.wall for each in counted),
        "cpu_us": median(each.cpu for each in latencies),
        "undisturbed": len(calm) / len(latencies),
    }


def _load_seconds(model: Path, threads: int) -> float:
    from lowbit import api

    start = time.perf_counter()
    api.load(model, threads=threads, pin_workers=threads > 1)
    return time.perf_counter() - start


def random_sample(shape: tuple[int | str, ...], batch: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return uniform numbers in [0, 1), float32 ``[batch, ...]``."""
    lengths = [batch, *(length for length in shape[1:] if isinstance(length, int))]
    return np.random.default_rng(0).random(lengths, np.float32)


def random_inputs(program: Program, batch: int) -> tuple[np.ndarray[Any, np.dtype[Any]], ...]:
    """Return an array for each input of a program: uniform numbers in [0, 1), or integers 0 and 1."""
    random, made = np.random.default_rng(0), []
    for port in program.inputs:
        lengths = port.shape if not program.by_rows else (batch, *port.shape[1:])
        shape = [length if isinstance(length, int) else 1 for length in lengths]
        floats = random.random(shape, np.float32)
        made.append(floats if port.dtype == "float32" else (floats < _HALF).astype(port.dtype))
    return tuple(made)


def _add_peers(
    calls: dict[str, Call], against: Path | None, inputs: tuple[Any, ...], threads: int
) -> tuple[dict[str, str], dict[str, str]]:
    versions: dict[str, str] = {}
    absent: dict[str, str] = {}
    if against is None:
        return versions, dict.fromkeys(PEERS, "give the float network with --against FLOAT.onnx")
    if against.suffix != ".onnx":
        raise DataError(
            "the peers run ONNX",
            where=str(against),
            expected="an .onnx file",
            found=against.suffix,
            remedy=f"Make one with: lowbit convert {against} {against.with_suffix('.onnx')}",
        )
    for name in PEERS:
        try:
            versions[name], calls[name] = build_peer(name, against, inputs, threads)
        except Absent as reason:
            absent[name] = str(reason)
    return versions, absent
