"""LST-1 in fixed point: the engine beside ONNX Runtime's float network, and equal to the reference.

    python benchmarks/lst1.py [--model FLOAT.onnx] [--format 6.7] [--data DIR] [--rounds 200] [--json OUT]

Without ``--model`` the weights are random: they do not change the time. With ``--data``, the folder of
MNIST, every test picture goes through engine (each kernel level) and reference, and equal scores are counted.
Times are CPU seconds of one thread, the least of interleaved rounds, for one picture and for many.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import lowbit
from lowbit.backends.onnxruntime import session
from lowbit.bench import random_sample
from lowbit.data import load
from lowbit.engine import Program, kernel_levels
from lowbit.formats.onnx import to_proto
from lowbit.ir import Graph, evaluate
from lowbit.provenance import provenance
from lowbit.quantization import to_fixed_point
from lowbit.zoo import NETWORKS, float_graph

BATCHES = (1, 256)
SECONDS = 0.004
"""Of one measurement."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="a float network to take instead of random weights")
    parser.add_argument("--format", default="6.7", help="bits before and behind the point")
    parser.add_argument("--data", type=Path, help="compare all test pictures of MNIST in this folder")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--json", type=Path, help="write the rows here")
    options = parser.parse_args()
    graph = lowbit.read(options.model) if options.model else float_graph(NETWORKS["lst1"], seed=0)
    fixed = to_fixed_point(graph, *map(int, options.format.split(".")))
    facts: dict[str, Any] = {
        **provenance("python benchmarks/lst1.py --model FLOAT --data DIR --json FILE"),
        "format": options.format,
        "rows": [row(graph, fixed, batch, options.rounds) for batch in BATCHES],
    }
    if options.data:
        facts["equal"] = equal_pictures(fixed, options.data)
    print(json.dumps(facts, indent=1))
    if options.json:
        options.json.write_text(json.dumps(facts, indent=1) + "\n")


def row(graph: Graph, fixed: Graph, batch: int, rounds: int) -> dict[str, Any]:
    """Return the least CPU time of a picture, for both, with so many in a call."""
    sample = random_sample(graph.value(graph.inputs[0]).shape, batch)
    seconds = least_seconds({"lowbit": caller(fixed, sample), "onnxruntime": peer(graph, sample)}, rounds)
    pictures = {f"{name}_us": 1e6 * each / batch for name, each in seconds.items()}
    return {"batch": batch, **pictures, "ratio": seconds["onnxruntime"] / seconds["lowbit"]}


def caller(fixed: Graph, sample: Any) -> Callable[[], object]:
    """Return a call of the engine."""
    run = Program(fixed).run
    return lambda: run(sample)


def peer(graph: Graph, sample: Any) -> Callable[[], object]:
    """Return a call of ONNX Runtime on one thread."""
    ready = session(to_proto(graph), 1)
    (name,) = (each.name for each in ready.get_inputs())
    return lambda: ready.run(None, {name: sample})


def least_seconds(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the least CPU seconds of a call, by interleaved rounds."""
    repeats = {name: max(int(SECONDS / timed(call, 3)), 1) for name, call in calls.items()}
    least = dict.fromkeys(calls, np.inf)
    for _ in range(rounds):
        for name, call in calls.items():
            least[name] = min(least[name], timed(call, repeats[name]))
    return least


def timed(call: Callable[[], object], repeats: int) -> float:
    """Return the CPU seconds of a call, the mean of some."""
    start = time.thread_time()
    for _ in range(repeats):
        call()
    return (time.thread_time() - start) / repeats


def equal_pictures(fixed: Graph, folder: Path) -> dict[str, int]:
    """Return how many test pictures have the reference's scores, by kernel level."""
    samples = (
        load("mnist", "test", folder=folder).fit_to(tuple(fixed.value(fixed.inputs[0]).shape[1:])).samples
    )
    parts = [samples[start : start + 1000] for start in range(0, len(samples), 1000)]
    wanted = np.concatenate([evaluate(fixed, {fixed.inputs[0]: part})[fixed.outputs[0]] for part in parts])
    found = {level: Program(fixed, kernels=level).run(samples) for level in kernel_levels()}
    return {
        "pictures": len(samples),
        **{level: int((y == wanted).all(axis=1).sum()) for level, y in found.items()},
    }


if __name__ == "__main__":
    main()
