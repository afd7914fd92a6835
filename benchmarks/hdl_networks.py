"""Networks that people have, as hardware: simulated, counted, clocks per picture.

    python benchmarks/hdl_networks.py NAME … [--json results/hdl-networks.json] [--pictures 20] [--count]

Each is simulated by Verilator, all pictures against the reference evaluator and the first ones again with
gaps, stalls and a reset. Resources are Yosys', a part at a time, out of context. Weights of the zoo's
networks are random, calibrated on noise: that changes neither equality nor clocks. The perceptron of digits
is trained here, on features that are standardized each for itself. A table is written beside the JSON.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from lowbit.api import quantize, read
from lowbit.ir import Graph, Node, Value, infer
from lowbit.provenance import provenance
from lowbit.quantization import Plan
from lowbit.rtl.hardware import Options, hardware
from lowbit.rtl.pictures import sample_lengths
from lowbit.zoo.float_graph import float_graph
from lowbit.zoo.networks import network

ROOT = Path(__file__).resolve().parents[1]
EIGHT = {"first": {"activations": "affine:8"}}
SHIFTS = Plan("pow2:4", "fixed:4.11", layers={**EIGHT, "fc3": {"activations": "affine:6"}})
BINARY = Plan("binary", "binary", layers={"first": {"activations": "pixels"}})
NO_DSP = "lut=53200,dsp=0,ramb18=280"
COUNTS = ("lut", "ff", "dsp", "ramb18")


@dataclass(frozen=True)
class Row:
    """A network, and how it becomes hardware."""

    graph: Callable[[], Graph]
    weights: str
    settings: Mapping[str, Any]
    activity: bool = False


def noise(graph: Graph, count: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return pictures of noise, the first all black and the second all white."""
    pictures = np.random.default_rng(5).integers(0, 256, (count, *sample_lengths(graph)), np.uint8)
    pictures[0], pictures[1] = 0, 255
    return pictures


def low(graph: Graph, plan: Plan) -> Graph:
    """Return a network at few bits, calibrated on noise."""
    samples = (noise(graph, 32) / np.float32(255)).astype(np.float32)
    return quantize(graph, samples, plan=plan, check=False)[0]


def zoo(name: str, plan: Plan) -> Callable[[], Graph]:
    """Return what makes a network of the zoo."""
    return lambda: low(float_graph(network(name), seed=0), plan)


def trained(name: str, plan: Plan) -> Callable[[], Graph]:
    """Return what makes a network of results/networks."""
    return lambda: low(read(ROOT / "results" / "networks" / f"{name}-seed0.onnx"), plan)


def digits() -> Graph:
    """Return a perceptron of scikit-learn's digits that standardizes its 64 features itself, at 8 bits."""
    from sklearn.datasets import load_digits
    from sklearn.neural_network import MLPClassifier

    data, classes = load_digits(return_X_y=True)
    mean, deviation = data.mean(axis=0), np.maximum(data.std(axis=0), 1)
    fitted = MLPClassifier((32,), max_iter=60, random_state=0).fit((data - mean) / deviation, classes)
    graph = Graph("digits", ("x",), (), values={"x": Value("x", "float32", ("n", 64))})
    weights = [("Gemm", layer) for layer in zip(fitted.coefs_, fitted.intercepts_, strict=True)]
    steps = [("Sub", (mean,)), ("Div", (deviation,)), weights[0], ("Relu", ()), *weights[1:]]
    at = "x"
    for op, constants in steps:
        name = graph.fresh_name(op)
        given = (graph.add_constant(graph.fresh_name("c"), np.float32(each)) for each in constants)
        graph.nodes.append(Node(op, (at, *given), (name,), {}, name))
        infer(graph)
        at = name
    graph.outputs = (at,)
    return quantize(graph, data.astype(np.float32), plan=Plan("affine:8", "affine:8"), check=False)[0]


NETWORKS: Mapping[str, Row] = {
    "lenet-784": Row(
        zoo("lenet", Plan("pow2:4", "affine:4", layers=EIGHT)), "random", {"cycles": 800, "target": "xcup"}
    ),
    "ds_cnn-affine8": Row(trained("ds_cnn", Plan("affine:8", "affine:8")), "trained", {"cycles": 40000}),
    "mobilenet_v1_025-lq4": Row(
        trained("mobilenet_v1_025", Plan("lq:4", "lq:4", layers=EIGHT)), "trained", {"cycles": 120000}
    ),
    "resnet20-lq2": Row(zoo("resnet20", Plan("lq:2", "lq:2", layers=EIGHT)), "random", {"cycles": 100000}),
    "resnet20-binary": Row(zoo("resnet20", BINARY), "random", {"cycles": 40000}),
    "lenet-16-bit-shift": Row(
        zoo("lenet", SHIFTS), "random", {"cycles": 20000, "pe": "shift", "budget": NO_DSP}, activity=True
    ),
    "lenet-16-bit-multiply": Row(
        zoo("lenet", SHIFTS), "random", {"cycles": 20000, "pe": "multiply"}, activity=True
    ),
    "digits-affine8": Row(digits, "trained", {"cycles": 500, "byte": 1.0}),
}


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=list(NETWORKS), help=", ".join(NETWORKS))
    parser.add_argument("--pictures", type=int, default=20, help="that are simulated")
    parser.add_argument("--count", action="store_true", help="count resources")
    parser.add_argument("--json", type=Path, required=True, help="where rows go; others there are kept")
    asked = parser.parse_args()
    for name in asked.names:
        row = measured(NETWORKS[name], asked.pictures, count=asked.count)
        rows = json.loads(asked.json.read_text())["rows"] if asked.json.exists() else {}
        made = provenance("python benchmarks/hdl_networks.py NAME --count --json results/hdl-networks.json")
        rows[name] = {**rows.get(name, {}), **row, "commit": made["commit"]}
        asked.json.write_text(json.dumps({**made, "rows": rows}, indent=1) + "\n")
        asked.json.with_suffix(".md").write_text(table(rows))


def measured(row: Row, pictures: int, *, count: bool) -> dict[str, Any]:
    """Return what is found of a network."""
    start = time.process_time()
    made = hardware(row.graph(), engine="array", **row.settings)
    cost = made.design.plan.cost
    found: dict[str, Any] = {"weights": row.weights, **row.settings, "planned_s": time.process_time() - start}
    found |= {f"estimated_{name}": getattr(cost, name) for name in COUNTS if name != "ff"}
    if pictures or count:
        options = Options(synthesize=count, activity=row.activity and bool(pictures))
        bytes_ = noise(made.graph, pictures) * np.float64(row.settings.get("byte", 1 / 255))
        with TemporaryDirectory() as folder:
            report = made.write(Path(folder) / "project", options, pictures=bytes_ if pictures else None)
        keys = (
            "images",
            "mismatches",
            "latency_cycles",
            "toggles_per_image",
            *COUNTS,
            "counted_by",
            "blocks",
        )
        found |= {key: getattr(report, key) for key in keys if getattr(report, key) is not None}
    report = made.report
    return {
        **found,
        "target": report.target,
        "cycles_per_image": report.cycles_per_image,
        "units": report.units,
    }


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Return rows as Markdown."""
    heads = (
        "network",
        "weights",
        "target",
        "clocks per picture",
        "LUT",
        "FF",
        "DSP",
        "RAMB18",
        "pictures",
        "differ",
        "signal changes per picture",
    )
    keys = ("weights", "target", "cycles_per_image", *COUNTS, "images", "mismatches", "toggles_per_image")
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name, row in rows.items():
        shown = (_cell(row.get(key)) for key in keys)
        lines.append("| " + " | ".join([name, *shown]) + " |")
    return "\n".join([*lines, "", *_NOTES]) + "\n"


def _cell(found: object) -> str:
    return "" if found is None else f"{found:,.0f}" if isinstance(found, int | float) else str(found)


_NOTES = (
    "Simulated by Verilator on noise, the first pictures again with gaps, stalls and a reset. Resources:",
    "Yosys, out of context, every layer for itself; no placement. Random weights: calibrated on noise.",
)

if __name__ == "__main__":
    main()
