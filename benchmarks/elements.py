"""What a function of single floats costs, and how many passes over memory that is.

    python benchmarks/elements.py [--against PYTHON] [--rounds 9]

A pass is what ReLU takes: one clip. Functions that are made of others run as one chain, block by block. With
``--against`` another build of lowbit, in a Python of its own, is measured in between, round by round. Times
are the least CPU time of a call, on one thread.
"""

import argparse
import json
import subprocess
import sys
import time

import numpy as np

from lowbit.engine import Program
from lowbit.ir import Graph, Node, Value, infer

OPERATORS = ("Relu", "HardSwish", "HardSigmoid", "LeakyRelu", "Elu")
SHAPES = {"16 KB": (4096,), "784 KB": (64, 56, 56), "12.3 MB": (256, 112, 112)}


def measure() -> dict[str, float]:
    """Return nanoseconds for an element, by operator and size."""
    found = {}
    for size, shape in SHAPES.items():
        x = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
        out = np.empty_like(x)
        for op in OPERATORS:
            graph = Graph("net", ("x",), ("y",), values={"x": Value("x", "float32", ("n", *shape))})
            graph.nodes.append(Node(op, ("x",), ("y",), {}, "y"))
            infer(graph)
            run = Program(graph).run_into
            found[f"{op}, {size}"] = min(_seconds(run, x, out) for _ in range(15)) * 1e9 / x.size
    return found


def _seconds(run: object, x: np.ndarray, out: np.ndarray) -> float:
    calls = max(1, 500_000 // x.size)
    start = time.process_time()
    for _ in range(calls):
        run(x, out)  # type: ignore[operator]
    return (time.process_time() - start) / calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", default="", help="another Python with another build of lowbit")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--once", action="store_true", help="print one measurement as JSON")
    options = parser.parse_args()
    if options.once:
        print(json.dumps(measure()))
        return
    builds = {"here": sys.executable, **({"there": options.against} if options.against else {})}
    best: dict[str, dict[str, float]] = {name: {} for name in builds}
    for _ in range(options.rounds):
        for name, python in builds.items():
            made = subprocess.run([python, __file__, "--once"], capture_output=True, text=True, check=True)
            for key, value in json.loads(made.stdout).items():
                best[name][key] = min(value, best[name].get(key, value))
    for key in best["here"]:
        size = key.split(", ")[1]
        times = [
            f"{times[key]:.3f} ns, {times[key] / times[f'Relu, {size}']:.1f} passes"
            for times in best.values()
        ]
        print(f"{key:22}", "   against   ".join(times))


if __name__ == "__main__":
    main()
