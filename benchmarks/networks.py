"""Real networks beside other runtimes: one thread, batch 1, one interleaved run for each network.

    python benchmarks/networks_onnx.py DIR; python benchmarks/networks_tflite.py DIR    # makes the files
    python benchmarks/networks.py DIR [NAME …] [--rounds 201] [--json OUT] [--layers 12]

Ours is the float network, and that network quantized (weights × activations). The peers run the float
network, and as int8: ONNX Runtime by quantize_static in both of its forms, OpenVINO on the same file,
LiteRT on Keras's own file of the architecture. A ratio is the time of a peer over ours, the median over
rounds, in processor time, which other work on the machine changes least; the clock's stands beside it.
Every call is from Python, float32 in and out. Random weights, which do not change the time. Of ours, layers
are listed by time, with their share of the network and their speed.
"""

import argparse
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import lowbit
from lowbit.bench import random_inputs
from lowbit.bench.peers import Absent, build_peer, litert
from lowbit.bench.timing import Call, Latency, interleaved_rounds
from lowbit.engine import Program
from lowbit.ir import Graph
from lowbit.provenance import provenance

NETWORKS = ("mobilenet_v2", "mobilenet_v1_025", "ds_cnn", "resnet18", "resnet8", "transformer")
PLANS = {
    "affine:8": ("affine:8", "affine:8"),
    "lq:4": ("lq:4", "lq:4"),
    "affine:4 x 8": ("affine:4", "affine:8"),
}
PICTURES, TOKENS = ("affine:8", "lq:4"), ("affine:8", "affine:4 x 8")
STATIC = ("onnxruntime-int8-static", "onnxruntime-int8-qoperator", "openvino-int8", "litert-int8")
INT8 = (*STATIC, "onnxruntime-int8")  # dynamic: its convolutions are slow
FLOAT = "onnxruntime-fp32"
# least ratio to the best int8 peer, and to ONNX Runtime's float network
BARS = {"affine:8": (0.8, 1.5), "lq:4": (0.8, 1.5), "affine:4 x 8": (1.0, 0.0), "float": (0.0, 0.6)}
CALIBRATION, ROUND_SECONDS = 4, 0.004


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", type=Path, help="NAME.onnx, and NAME.int8.tflite for LiteRT")
    parser.add_argument("names", nargs="*", default=NETWORKS)
    parser.add_argument("--rounds", type=int, default=201)
    parser.add_argument("--threads", type=int, default=1, help="of ours and of the peers")
    parser.add_argument("--layers", type=int, default=12, help="how many are shown; the facts have all")
    parser.add_argument("--json", type=Path, help="write the facts here; networks that it has already stay")
    options = parser.parse_intermixed_args()
    rows = {}
    if options.json and options.json.exists():
        rows = {row["network"]: row for row in json.loads(options.json.read_text())["rows"]}
    for name in options.names:
        rows[name] = measured(name, options.files, options.rounds, options.threads)
        show(rows[name], options.layers)
        if options.json:
            options.json.write_text(json.dumps({"bars": BARS, "rows": list(rows.values())}, indent=1) + "\n")
            options.json.with_suffix(".md").write_text(page(list(rows.values())))


def measured(name: str, files: Path, rounds: int, threads: int = 1) -> dict[str, Any]:
    """Return latencies, ratios and layers of a network."""
    source = files / f"{name}.onnx"
    graph = lowbit.read(source)
    programs = {"float": lowbit.load(graph, threads=threads, pin_workers=threads > 1)}
    for plan in TOKENS if name == "transformer" else PICTURES:
        low = quantized(graph, plan, files / f"{name}-{plan}.circle")
        programs[plan] = lowbit.load(low, threads=threads, pin_workers=threads > 1)
    inputs = random_inputs(programs["float"], 1)
    calls: dict[str, Call] = {plan: partial(program.run, *inputs) for plan, program in programs.items()}
    versions, absent = add_peers(calls, source, inputs, INT8 if name == "transformer" else STATIC, threads)
    times = interleaved_rounds(calls, rounds, ROUND_SECONDS)
    return {
        "network": name,
        **provenance(f"python benchmarks/networks.py DIR {name} --rounds {rounds} --threads {threads}"),
        "kernels": programs["float"].kernel_level,
        "latency_us": {name: median(each.wall for each in own) for name, own in times.items()},
        "cpu_us": {name: median(each.cpu for each in own) for name, own in times.items()},
        "least_cpu_us": {name: min(each.cpu for each in own) for name, own in times.items()},
        "peers": versions,
        "absent": absent,
        "ours": {plan: compared(times, plan, versions) for plan in programs},
        "layers": {plan: layers(program, inputs) for plan, program in programs.items()},
    }


def quantized(graph: Graph, plan: str, kept: Path) -> Graph:
    """Return the network at the plan's bits, from random samples; kept, as that takes longest."""
    if not kept.exists():
        shape = [int(n) for n in graph.value(graph.inputs[0]).shape[1:]]
        samples = np.random.default_rng(1).random((CALIBRATION, *shape), np.float32)
        weights, activations = PLANS[plan]
        low, _ = lowbit.quantize(
            graph, samples, plan=lowbit.Plan(weights, activations, method="plain"), check=False
        )
        lowbit.write(low, kept)
    return lowbit.read(kept)


def add_peers(
    calls: dict[str, Call], source: Path, inputs: tuple[Any, ...], int8: tuple[str, ...], threads: int = 1
) -> tuple[dict[str, str], dict[str, str]]:
    """Add the calls of the peers; return the versions of those that run, and the reasons of the others."""
    versions: dict[str, str] = {}
    absent: dict[str, str] = {}
    for name in (FLOAT, *int8):
        try:
            versions[name], calls[name] = build_peer(name, source, inputs, threads)
        except Absent as reason:
            absent[name] = str(reason)
    made = source.with_suffix(".int8.tflite")
    if made.exists():
        from importlib.metadata import version

        versions["litert-int8"] = version("ai-edge-litert")
        calls["litert-int8"] = litert(bytearray(made.read_bytes()), inputs, threads)
        absent.pop("litert-int8", None)
    return versions, absent


def compared(times: Mapping[str, list[Latency]], plan: str, peers: Mapping[str, str]) -> dict[str, Any]:
    """Return the time of the best int8 peer and of ONNX Runtime's float network over ours, by both clocks."""
    best = min(
        (peer for peer in INT8 if peer in peers), key=lambda peer: median(each.cpu for each in times[peer])
    )
    ratios = {"int8": ratio(times[best], times[plan]), "float": ratio(times[FLOAT], times[plan])}
    held = all(ratios[kind]["cpu"] >= bar for kind, bar in zip(ratios, BARS[plan], strict=True))
    return {"best_int8": best, **ratios, "bars_held": held}


def ratio(peer: list[Latency], ours: list[Latency]) -> dict[str, float]:
    """Return their time over ours: medians over rounds, by both clocks, and of the least processor times."""
    pairs = list(zip(peer, ours, strict=True))
    return {
        "cpu": median(a.cpu / b.cpu for a, b in pairs),
        "wall": median(a.wall / b.wall for a, b in pairs),
        "least_cpu": min(each.cpu for each in peer) / min(each.cpu for each in ours),
    }


def layers(program: Program, inputs: tuple[Any, ...]) -> list[dict[str, Any]]:
    """Return every step, slowest first: its value, kernel, microseconds, share of the network, and GMAC/s."""
    best = [
        min(each, key=lambda step: step.seconds)
        for each in zip(*(program.profile(*inputs, repeats=10) for _ in range(5)), strict=True)
    ]
    total = sum(step.seconds for step in best)
    return [
        {
            "value": step.value,
            "operation": step.operation,
            "kernel": step.kernel,
            "us": round(step.seconds * 1e6, 2),
            "share": round(step.seconds / total, 4),
            "gmacs": round(step.work / max(step.seconds, 1e-9) / 1e9, 1),
        }
        for step in sorted(best, key=lambda step: -step.seconds)
    ]


def page(rows: list[dict[str, Any]]) -> str:
    """Return the page of all networks: ratios, and the layer of each that takes longest."""
    lines = [
        f"| {row['network']} | {plan} | {row['least_cpu_us'][plan]:.0f} | {own['int8']['least_cpu']:.2f}, "
        f"{own['int8']['cpu']:.2f} ({own['best_int8']}) | {own['float']['least_cpu']:.2f}, "
        f"{own['float']['cpu']:.2f} | {slowest(row['layers'][plan][0])} |"
        for row in rows
        for plan, own in row["ours"].items()
    ]
    made = f"Made by `{rows[0]['command']}` and its like, {rows[0]['machine']}, {rows[0]['date']}."
    return "\n".join([_HEAD, made, "", *_COLUMNS, *lines, ""])


def slowest(layer: Mapping[str, Any]) -> str:
    """Return a layer in words."""
    return f"{layer['value']}, {layer['share']:.0%}, {layer['gmacs']} GMAC/s"


_HEAD = """# Real networks beside other runtimes

One thread, batch 1, each network in one interleaved run. A ratio is the time of a peer over ours, above 1
we are faster: first of the least processor times, then the median over rounds, which other work on the
machine moves. The JSON beside this page has every contender, by processor time and by the clock, versions,
and all layers.
"""
_COLUMNS = (
    "| network | ours | µs | best int8 peer | ONNX Runtime, float | our slowest layer |",
    "|---|---|---|---|---|---|",
)


def show(row: Mapping[str, Any], shown: int) -> None:
    """Print one network: contenders, then our slowest layers."""
    console = Console(width=130)
    table = Table(title=f"{row['network']}, one thread, µs", title_justify="left")
    for column in ("contender", "CPU", "least CPU", "clock", "best int8 / ours", "float / ours", "bars"):
        table.add_column(column, justify="left" if column == "contender" else "right")
    for name in row["cpu_us"]:
        cells = [f"{name} {row['peers'].get(name, '')}"]
        cells += [f"{each[name]:.1f}" for each in (row["cpu_us"], row["least_cpu_us"], row["latency_us"])]
        if own := row["ours"].get(name):
            both = [
                f"{own[kind]['cpu']:.2f}, least {own[kind]['least_cpu']:.2f}" for kind in ("int8", "float")
            ]
            cells += [f"{both[0]} ({own['best_int8']})", both[1], "held" if own["bars_held"] else "MISSED"]
        table.add_row(*cells)
    console.print(table)
    for name, reason in row["absent"].items():
        console.print(f"{name} is not measured: {reason}", markup=False)
    for plan, steps in row["layers"].items():
        console.print(f"{plan}: {len(steps)} steps")
        for step in steps[:shown]:
            speed = f"{step['gmacs']:7.1f} GMAC/s" if step["gmacs"] else " " * 14
            what = f"{step['operation']} ({step['kernel']}) {step['value']}"
            console.print(f"  {step['share']:6.1%} {step['us']:9.1f} µs {speed}  {what}", markup=False)


if __name__ == "__main__":
    main()
