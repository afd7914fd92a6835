"""Residual networks with float32 sums and with fixed-point sums: CPU time of the engine, side by side.

    python benchmarks/sums.py [--json FILE] [--rounds 15] [--batch 1 16] [--kernels LEVEL]

The same network, with weights by chance, is quantized twice: the sums of its branches stay real, or get a
fixed-point type of 16 bits. Both programs run in turn, on one thread; a time is the least CPU time of a call.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from lowbit.engine import Program
from lowbit.plan import Plan
from lowbit.provenance import provenance
from lowbit.quantization import quantize
from lowbit.zoo import NETWORKS, float_graph

NAMES = ("resnet20", "resnet20-fashion", "resnet18")
SPECIFICATIONS = ("binary", "lq:2", "lq:3", "lq:4", "affine:8")
SUMS = ("real", "fixed")
_QUICK = {"restarts": 0, "rounds": 1, "patches": 256}
_SECONDS = 0.08  # of a contender in a round


def programs(name: str, specification: str, kernels: str = "") -> dict[str, Program]:
    """Return the network's programs by what its sums are."""
    graph = float_graph(NETWORKS[name])
    samples = np.random.default_rng(0).random((16, *NETWORKS[name].input_shape), np.float32)
    made = {}
    for sums in SUMS:
        plan = Plan(weights=specification, activations=specification, sums=sums, **_QUICK)
        made[sums] = Program(quantize(graph, samples, plan)[0], kernels=kernels)
    return made


def least(contenders: dict[str, Program], x: np.ndarray, rounds: int) -> dict[str, float]:
    """Return the least CPU time of a call in microseconds, by contender."""
    best = dict.fromkeys(contenders, np.inf)
    for _ in range(rounds):
        for name, program in contenders.items():
            best[name] = min(best[name], _seconds(program, x) * 1e6)
    return best


def _seconds(program: Program, x: np.ndarray) -> float:
    program.run(x)
    found, end = np.inf, time.process_time() + _SECONDS
    while (start := time.process_time()) < end:
        program.run(x)
        found = min(found, time.process_time() - start)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--networks", nargs="+", default=NAMES[:2])
    parser.add_argument("--plans", nargs="+", default=SPECIFICATIONS)
    parser.add_argument("--kernels", default="", help="a level, instead of the best")
    options = parser.parse_args()
    rows = []
    print("network | plan | batch | real sums, µs | fixed sums, µs | fixed / real")
    for name in options.networks:
        for specification in options.plans:
            contenders = programs(name, specification, options.kernels)
            for batch in options.batch:
                shape = (batch, *NETWORKS[name].input_shape)
                x = np.random.default_rng(1).random(shape, np.float32)
                times = least(contenders, x, options.rounds)
                ratio = times["fixed"] / times["real"]
                cells = (f"{times[sums]:.1f}" for sums in SUMS)
                print(" | ".join((name, specification, str(batch), *cells, f"{ratio:.3f}")), flush=True)
                row = {"network": name, "plan": specification, "batch": batch, "cpu_us": times}
                rows.append({**row, "fixed_over_real": ratio})
    if options.json:
        result = {**provenance("python benchmarks/sums.py"), "rounds": options.rounds, "rows": rows}
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
