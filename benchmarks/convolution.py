"""3 × 3 convolutions at few bits beside int8 runtimes, batch 1, one interleaved run for each shape.

    python benchmarks/convolution.py [--rounds 61] [--threads 1] [--json OUT]

A network of one shape is four convolutions of as many channels as it reads, padded to the same size, with a
ReLU between them; float32 in, float32 out, so every contender codes the input and gives floats. Ours is that
network quantized at 1 × 1, 2 × 2 and 3 × 3 bits (weights × activations, learned basis), at affine 8 bits, and
with power-of-two weights of 4 bits. The peers run it as int8, ranges from random samples; `lowbit.bench` says
how each is called. A ratio is the time of the best of them over ours: above 1 we are faster. Random weights,
which do not change the time.
"""

import argparse
import json
import tempfile
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import lowbit
from lowbit.bench import random_sample
from lowbit.bench.peers import Absent, build_peer
from lowbit.bench.timing import Call, cpu_ratio, interleaved_rounds, ratio
from lowbit.ir import Graph
from lowbit.provenance import provenance
from lowbit.quantization import Plan
from lowbit.zoo import float_graph
from lowbit.zoo.architecture import Activation, Architecture, Convolution

SHAPES = ((64, 32), (128, 16), (256, 8), (512, 4))  # channels, height and width
DEPTH = 4
PLANS = {
    "1x1": Plan(weight_bits=1, activation_bits=1, method="plain"),
    "2x2": Plan(weight_bits=2, activation_bits=2, method="plain"),
    "3x3": Plan(weight_bits=3, activation_bits=3, method="plain"),
    "affine 8": Plan(weight_bits=8, activation_bits=8, scheme="affine", method="plain"),
    "pow2 4": Plan(weight_bits=4, activation_bits=4, scheme="pow2", method="plain"),
}
BARS = {"2x2": 1.6, "3x3": 1.0, "affine 8": 1.0, "pow2 4": 1.0}
PEERS = ("onnxruntime-int8-static", "openvino-int8", "litert-int8")
CALIBRATION = 4
ROUND_SECONDS = 0.005


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=61)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the facts here")
    options = parser.parse_args()
    facts = measure(options.threads, options.rounds)
    if options.json:
        options.json.write_text(json.dumps(facts, indent=1) + "\n")
    show(facts)


def measure(threads: int, rounds: int) -> dict[str, Any]:
    """Return latencies of every shape and contender, and ratios to the best int8 peer."""
    rows = [measure_shape(channels, size, threads, rounds) for channels, size in SHAPES]
    means = {name: geometric_mean([row["best_peer_over_ours"][name] for row in rows]) for name in PLANS}
    return {
        **provenance(f"python benchmarks/convolution.py --threads {threads} --rounds {rounds}"),
        "engine_threads": threads,
        "depth": DEPTH,
        "rows": rows,
        "geometric_means": means,
        "bars": {name: {"least": bar, "held": means[name] >= bar} for name, bar in BARS.items()},
    }


def measure_shape(channels: int, size: int, threads: int, rounds: int) -> dict[str, Any]:
    """Return microseconds per call of every contender on one shape."""
    network = float_graph(architecture(channels, size))
    sample = random_sample(("n", channels, size, size), 1)
    calls: dict[str, Call] = {}
    kernels = {}
    for name, plan in PLANS.items():
        program = lowbit.load(quantized(network, plan), threads=threads, pin_workers=True)
        calls[name] = partial(program.run, sample)
        kernels[name] = program.kernel_level
    versions, absent = add_peers(calls, network, sample, threads)
    times = interleaved_rounds(calls, rounds, ROUND_SECONDS)
    by_clock = {name: least(ratio(times[peer], times[name]) for peer in versions) for name in PLANS}
    by_processor = {name: min(cpu_ratio(times[peer], times[name]) for peer in versions) for name in PLANS}
    calm = all(each is not None for each in by_clock.values())
    return {
        "shape": f"{channels}@{size}x{size}",
        "kernels": kernels,
        "latency_us": {name: median(each.wall for each in own) for name, own in times.items()},
        "cpu_us": {name: median(each.cpu for each in own) for name, own in times.items()},
        "judged_by": "the clock" if calm else "processor time: others had the processor too often",
        "best_peer_over_ours": by_clock if calm else by_processor,
        "best_peer_over_ours_cpu": by_processor,
        "peers": versions,
        "absent": absent,
    }


def least(ratios: Iterable[float | None]) -> float | None:
    """Return the least ratio, None where one is missing."""
    found = list(ratios)
    return None if None in found else min(each for each in found if each is not None)


def architecture(channels: int, size: int) -> Architecture:
    """Return four convolutions, with ReLUs between them."""
    layers = (Convolution(channels, padding=1, bias=True), Activation()) * DEPTH
    return Architecture(f"{channels}@{size}", (channels, size, size), layers[:-1])


def quantized(network: Graph, plan: Plan) -> Graph:
    """Return the network at the plan's bits, from random samples."""
    shape = network.value(network.inputs[0]).shape[1:]
    samples = np.random.default_rng(1).random((CALIBRATION, *shape), np.float32)  # type: ignore[arg-type]
    return lowbit.quantize(network, samples, plan=plan)[0]


def add_peers(
    calls: dict[str, Call], network: Graph, sample: Any, threads: int
) -> tuple[dict[str, str], dict[str, str]]:
    """Add the calls of the peers; return the versions of those that run, and the reasons of the others."""
    versions: dict[str, str] = {}
    absent: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "float.onnx"
        lowbit.write(network, source)
        for name in PEERS:
            try:
                versions[name], calls[name] = build_peer(name, source, (sample,), threads)
            except Absent as reason:
                absent[name] = str(reason)
    return versions, absent


def geometric_mean(ratios: list[float]) -> float:
    """Return the n-th root of the product."""
    return float(np.exp(np.mean(np.log(ratios))))


def show(facts: Mapping[str, Any]) -> None:
    """Print latencies and ratios as a table."""
    title = f"four 3 x 3 convolutions, batch 1, {facts['engine_threads']} thread(s), µs (best peer / ours)"
    table = Table(title=title, title_justify="left")
    rows = facts["rows"]
    table.add_column("contender")
    for row in rows:
        table.add_column(row["shape"], justify="right")
    table.add_column("geometric mean", justify="right")
    for name in PLANS:
        cells = [f"{row['latency_us'][name]:.1f} ({row['best_peer_over_ours'][name]:.2f})" for row in rows]
        table.add_row(name, *cells, f"{facts['geometric_means'][name]:.2f} ×")
    for name in PEERS:
        table.add_row(name, *(f"{row['latency_us'].get(name, float('nan')):.1f}" for row in rows))
    console = Console(width=120)
    console.print(table)
    console.print("; ".join(f"{row['shape']} by {row['judged_by']}" for row in rows))
    for name, bar in facts["bars"].items():
        console.print(f"{name}: the bar of {bar['least']} × is {'held' if bar['held'] else 'MISSED'}")
    for name, reason in rows[0]["absent"].items():
        console.print(f"{name} is not measured: {reason}", markup=False)


if __name__ == "__main__":
    main()
