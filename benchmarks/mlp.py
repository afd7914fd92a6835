"""Latency of the MLP 784-680(tanh)-10 beside other runtimes, for every width and kernel level.

    python benchmarks/mlp.py [--model FLOAT.onnx] [--levels] [--rounds 5] [--threads 1] [--json OUT]

Without ``--model`` the weights are random: they do not change the time. One row per width; each row is one
interleaved run (see `lowbit.bench`), Python call to Python call, batch 1. ``--levels`` adds a row for every
kernel level of this machine, forced by LOWBIT_KERNELS.
"""

import argparse
import json
import os
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import lowbit
from lowbit.bench import compare
from lowbit.bench.timing import said
from lowbit.engine import kernel_levels
from lowbit.ir import Graph, Node, Value, infer
from lowbit.provenance import provenance
from lowbit.quantization import Plan

SIZES = (784, 680, 10)
PLANS = {
    "lq 3 bits": Plan(weight_bits=3, activation_bits=3, restarts=0, rounds=1),
    "lq 2 bits": Plan(weight_bits=2, activation_bits=2, restarts=0, rounds=1),
    "lq 1 bit": Plan(weight_bits=1, activation_bits=1, restarts=0, rounds=1),
    "affine 8 bits": Plan(weight_bits=8, activation_bits=8, scheme="affine", method="plain"),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="a float network to take instead of random weights")
    parser.add_argument("--levels", action="store_true", help="every kernel level too")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the rows here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        rows = measure(Path(scratch), options)
    if options.json:
        facts = {**provenance("python benchmarks/mlp.py --levels --json FILE"), "rows": rows}
        options.json.write_text(json.dumps(facts, indent=1) + "\n")
    show(rows)


def measure(folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return one row per width and level."""
    source = options.model or folder / "float.onnx"
    if options.model is None:
        lowbit.write(random_network(), source)
    graph = lowbit.read(source)
    samples = np.random.default_rng(1).random((256, SIZES[0]), np.float32)
    rows = []
    for name, plan in PLANS.items():
        path = folder / f"{name.replace(' ', '-')}.circle"
        small, _ = lowbit.quantize(graph, samples, plan=plan)
        lowbit.write(small, path)
        for level in ["", *(kernel_levels() if options.levels else [])]:
            os.environ["LOWBIT_KERNELS"] = level
            result = compare(path, source, threads=options.threads, rounds=options.rounds)
            rows.append({"network": name, "level": level or "best", "bytes": path.stat().st_size, **result})
    return rows


def random_network() -> Graph:
    """Return the float network with random weights."""
    random = np.random.default_rng(0)
    graph = Graph("mlp", ("x",), ("y",), values={"x": Value("x", "float32", ("n", SIZES[0]))})
    for index, (inputs, outputs) in enumerate(pairwise(SIZES), 1):
        graph.add_constant(f"fc{index}/w", random.normal(size=(outputs, inputs)) / inputs**0.5)
        graph.add_constant(f"fc{index}/b", random.normal(size=outputs) / 10)
    graph.nodes = [
        Node("Gemm", ("x", "fc1/w", "fc1/b"), ("a",), {"transB": 1}, "fc1"),
        Node("Tanh", ("a",), ("h",), {}, "tanh"),
        Node("Gemm", ("h", "fc2/w", "fc2/b"), ("z",), {"transB": 1}, "fc2"),
        Node("Softmax", ("z",), ("y",), {}, "softmax"),
    ]
    infer(graph)
    return graph


def show(rows: list[dict[str, Any]]) -> None:
    """Print the rows as a table."""
    table = Table(title="MLP 784-680-10, batch 1, Python call to Python call", title_justify="left")
    peers = sorted({name for row in rows for name in row["peers"]})
    for column in ("network", "kernels", "KB", "load ms", "µs", *peers):
        table.add_column(column, justify="right" if column != "network" else "left")
    for row in rows:
        ratios = [
            f"{said(row['peers'][name])} ({row['peers'][name]['latency_us']:.1f})"
            if name in row["peers"]
            else ""
            for name in peers
        ]
        sizes = (f"{row['bytes'] / 1024:.1f}", f"{row['load_us'] / 1000:.2f}", f"{row['latency_us']:.2f}")
        table.add_row(row["network"], f"{row['level']} ({row['kernels']})", *sizes, *ratios)
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
