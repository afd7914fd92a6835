"""Binary VGG16 for 32×32 pictures beside float and int8 runtimes, batch 1, in one interleaved run.

    python benchmarks/vgg16.py [--network vgg16] [--rounds 7] [--threads 1] [--json OUT]

Random weights: they do not change the time. The peers run the same network in float, or that network
quantized to int8 with ranges from random samples; `lowbit.bench` says how each is called. The share of the
peak is over the whole network: what its products would take at the peaks measured in this run. The peak of
binary products is the plain loop of xor, popcount and subtract in registers; our kernel takes words in pairs,
one popcount for two, so the share of that loop's own peak (`pairs`) stands beside it.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import lowbit
from lowbit.bench import compare, per_layer, random_inputs
from lowbit.bench.timing import said
from lowbit.provenance import provenance
from lowbit.zoo import binary_graph, float_graph, network


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", default="vgg16", help="a network of the zoo")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the facts here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        facts = measure(Path(folder), options)
    if options.json:
        options.json.write_text(json.dumps(facts, indent=1) + "\n")
    show(facts)


def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Return latencies and ratios, and the share of the peak."""
    architecture = network(options.network)
    small, source = folder / "binary.circle", folder / "float.onnx"
    lowbit.write(binary_graph(architecture), small)
    lowbit.write(float_graph(architecture), source)
    made = provenance(f"python benchmarks/vgg16.py --network {options.network} --threads {options.threads}")
    return {**made, "network": options.network, **measure_files(small, source, options)}


def measure_files(small: Path, source: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Return the same of a low-bit file beside its float network."""
    facts = compare(small, source, threads=options.threads, rounds=options.rounds)
    program = lowbit.load(small)
    steps = per_layer(program, *random_inputs(program, 1))
    return {
        "bytes": small.stat().st_size,
        "share_of_peak": steps.share,
        "share_of_pair_peak": steps.share_of_pairs,
        "steps_us": steps.seconds * 1e6,
        "peaks": steps.peaks,
        **facts,
    }


def show(facts: dict[str, Any]) -> None:
    """Print the latencies as a table."""
    title = (
        f"{facts['network']}, 1 bit, batch 1, {facts['threads']} thread(s): {facts['bytes'] / 1024:.0f} KB"
    )
    table = Table(title=title, title_justify="left")
    for column in ("engine", "version", "µs", "ratio"):
        table.add_column(column)
    table.add_row("lowbit", facts["version"], f"{facts['latency_us']:.1f}", "1")
    for name, peer in facts["peers"].items():
        table.add_row(name, peer["version"], f"{peer['latency_us']:.0f}", said(peer))
    console = Console(width=120)
    console.print(table)
    for name, reason in facts["absent"].items():
        console.print(f"{name} is not measured: {reason}", markup=False)
    if facts["share_of_pair_peak"] is not None:
        console.print(f"{facts['share_of_pair_peak']:.1%} of the peak with binary products in pairs")
    console.print(f"{facts['share_of_peak']:.1%} of the peak; load {facts['load_us'] / 1000:.1f} ms")


if __name__ == "__main__":
    main()
