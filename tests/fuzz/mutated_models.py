"""Load and run thousands of mutated model files, each within limits of time and memory.

python -m tests.fuzz.mutated_models --count 10000 --seed 1 --json FILE

A child process does it, so that a crash or a hang is counted and not suffered: it says which file it begins
with and what became of it; where it falls silent, the parent ends it and begins behind that file.
Expected of each: an error of `lowbit.errors`, or a network that runs, in the reference and in the engine,
which then give the same.
"""

import argparse
import json
import random
import resource
import select
import signal
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from lowbit.analysis import first_divergence
from lowbit.budget import VARIABLE
from lowbit.engine import Program
from lowbit.errors import LowbitError
from lowbit.formats import read_model
from lowbit.ir import Graph, evaluate
from tests.fuzz.mutators import good_files, mutate

BUDGET = 256 << 20
SLACK = 192 << 20  # what Python, ONNX's parser and the files themselves take besides
SECONDS = 20  # of the processor, for one file
SILENCE = 300  # seconds of the clock, after which a child hangs
SAMPLES = 2
LARGEST = 1 << 22  # elements of an input that is worth running


def attempt(path: Path) -> str:
    """Return what became of a file: ``ran``, or where and by which error it was refused.

    Raises:
        Exception: a fault: whatever is no error of ours, or a node that the engine computes otherwise.
    """
    try:
        graph = read_model(path)
    except LowbitError as error:
        return f"refused by the reader: {error.code}"
    if len(graph.inputs) != 1:
        return "loaded"
    shape = [length if isinstance(length, int) else SAMPLES for length in graph.value(graph.inputs[0]).shape]
    if np.prod(shape, dtype=float) > LARGEST:
        return "loaded"
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    try:
        program = Program(graph)
        program.run(x)
    except LowbitError as error:
        return f"refused by the engine: {error.code}" if _evaluates(graph, x) else "refused by both"
    return _compared(graph, x) if _is_small(graph) else "ran"


def _evaluates(graph: Graph, x: Any) -> bool:
    """Return whether the reference runs a network."""
    if not _is_small(graph):
        return False
    try:
        with np.errstate(all="ignore"):
            evaluate(graph, {graph.inputs[0]: x.astype(np.float32)})
    except LowbitError:
        return False
    return True


def _compared(graph: Graph, x: Any) -> str:
    try:
        with np.errstate(all="ignore"):
            found = first_divergence(graph, x, "reference", "engine")
    except LowbitError as error:
        return f"refused by the reference: {error.code}"
    assert found is None or not found.at_fault or not np.isfinite(found.expected), f"engine differs: {found}"
    return "ran"


def _is_small(graph: Graph) -> bool:
    """Return whether the slow reference is worth waiting for."""
    sizes = [
        np.prod([length for length in value.shape if isinstance(length, int)], dtype=float)
        for value in graph.values.values()
    ]
    return max(sizes, default=0) < 1 << 16


@contextmanager
def _limited(seconds: int) -> Iterator[None]:
    """Raise `TimeoutError` when the block takes so many seconds of the processor."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"more than {seconds} seconds")

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def child(seed: int, start: int, stop: int) -> None:
    """Take the files `start` to `stop` and say what became of each, a line of JSON before and behind it."""
    warnings.simplefilter("error")
    files = good_files()
    names = list(files)
    warmed = False
    with TemporaryDirectory() as folder:
        for index in range(start, stop):
            generator = random.Random(f"{seed} {index}")  # noqa: S311
            name = names[index % len(names)]
            suffix = name[name.rindex(".") :]
            path = Path(folder) / f"model{suffix}"
            if not warmed:
                path.write_bytes(files[name])
                attempt(path)
                warmed = True
            path.write_bytes(mutate(files[name], suffix, generator))
            _say({"index": index, "file": name})
            before = _resident()
            try:
                with _limited(SECONDS):
                    outcome, fault = attempt(path), ""
            except BaseException as error:
                outcome, fault = "fault", f"{type(error).__name__}: {error}"[:300]
            grown = _resident() - before
            if grown > BUDGET + SLACK:
                outcome, fault = "fault", f"{grown >> 20} MiB more memory"
            _say({"index": index, "outcome": outcome, "fault": fault, "grown": grown})


def _resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def run(count: int, seed: int) -> tuple[Counter[str], list[dict[str, Any]], int]:
    """Return outcomes, faults (crashes and hangs among them) and the most that memory grew by one file."""
    outcomes: Counter[str] = Counter()
    faults: list[dict[str, Any]] = []
    start = most = 0
    while start < count:
        lines = _child(seed, start, count)
        begun: dict[str, Any] = {}
        for line in lines:
            if "outcome" not in line:
                begun = line
                continue
            outcomes[line["outcome"]] += 1
            most = max(most, line["grown"])
            faults += [{**begun, **line}] if line["fault"] else []
            start = line["index"] + 1
        if not begun:
            raise RuntimeError("the child ends before it begins")
        if start < count:
            faults.append({**begun, "outcome": "crash or hang", "fault": "the child ended"})
            outcomes["crash or hang"] += 1
            start = max(start, begun["index"] + 1)
    return outcomes, faults, most


def _child(seed: int, start: int, stop: int) -> Iterator[dict[str, Any]]:
    """Yield the lines of a child until it ends or is silent for too long."""
    import os

    command = [sys.executable, "-m", "tests.fuzz.mutated_models", "--child", *map(str, (seed, start, stop))]
    environment = {**os.environ, VARIABLE: str(BUDGET)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    try:
        while select.select([process.stdout], [], [], SILENCE)[0]:
            line = process.stdout.readline()
            if not line:
                return
            yield json.loads(line)
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def main() -> int:
    """Print what became of all files, and return 1 where there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", type=int, nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(*args.child)
        return 0
    outcomes, faults, most = run(args.count, args.seed)
    report = {"files": args.count, "outcomes": dict(outcomes.most_common()), "grown": most, "faults": faults}
    sys.stdout.write(json.dumps(report, indent=1) + "\n")
    if args.json:
        args.json.write_text(json.dumps(report, indent=1))
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
