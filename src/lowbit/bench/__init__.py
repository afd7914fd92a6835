"""Latency of a network beside other runtimes, in one run, as ratios."""

import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from lowbit.bench.layers import per_layer
from lowbit.bench.peers import PEERS, Absent, build_peer
from lowbit.bench.timing import SETTLE_SECONDS, Call, interleaved_medians
from lowbit.engine import Program
from lowbit.errors import DataError
from lowbit.version import __version__

__all__ = ["PEERS", "compare", "interleaved_medians", "per_layer", "random_inputs", "random_sample"]

_HALF = 0.5


def compare(
    model: Path, against: Path | None, *, threads: int = 1, batch: int = 1, rounds: int = 5
) -> dict[str, Any]:
    """Return latencies of a model in our engine and of the float network in the peers.

    Args:
        model: what our engine runs.
        against: the float network as ``.onnx``; without it no peer is measured.
        threads: for every engine; our workers are kept off the caller's processor.
        batch: samples per call.
        rounds: interleaved rounds; medians are over them.

    Returns:
        ``threads, batch, latency_us, load_us, kernels, version`` and, by peer,
        ``version, latency_us, ratio`` (peer over ours); ``absent`` has the reason for each peer that
        was not measured.

    Raises:
        DataError: ``against`` is not an ``.onnx`` file.
    """
    from lowbit import api

    program = api.load(model, threads=threads, pin_workers=threads > 1)
    load_us = median(_load_seconds(model, threads) for _ in range(rounds)) * 1e6
    inputs = random_inputs(program, batch)
    calls: dict[str, Call] = {"lowbit": partial(program.run, *inputs)}
    versions, absent = _add_peers(calls, against, inputs, threads)
    medians = interleaved_medians(calls, rounds, settle_seconds=SETTLE_SECONDS if threads > 1 else 0)
    ours = medians.pop("lowbit")
    peers = {
        name: {"version": versions[name], "latency_us": latency, "ratio": latency / ours}
        for name, latency in medians.items()
    }
    return {
        "version": __version__,
        "threads": threads,
        "batch": batch,
        "kernels": program.kernel_level,
        "latency_us": ours,
        "load_us": load_us,
        "peers": peers,
        "absent": absent,
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
