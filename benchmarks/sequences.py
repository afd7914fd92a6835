"""Accuracy of an LSTM, a GRU and a transformer that read digits row by row: float beside 8, 4, 3 and 2 bits.

    python benchmarks/sequences.py --mnist DIR --nets DIR --json results/sequences.json [--only lstm]

The float networks are those that `benchmarks/sequence_networks.py` leaves in `--nets`. 1,024 unlabelled
pictures of the first 50,000 calibrate; the scheme of each width is the one that is better on the last 10,000
of the training set, and only that one sees the test set. `differ` counts test pictures, of the first 1,000,
whose class under ONNX Runtime is another than in the engine. Rows of a network replace those that the file
has; a table is written beside it.
"""

import argparse
import hashlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from lowbit.backends.onnxruntime import session
from lowbit.data import load
from lowbit.engine import Program
from lowbit.formats import read_model, write_model
from lowbit.ir import Graph
from lowbit.ir.binding import bound
from lowbit.provenance import provenance
from lowbit.quantization import Plan, quantize

NETWORKS = ("lstm", "gru", "transformer")
WIDTHS = {
    "W8A8": [("affine:8", "affine:8")],
    "W4A4": [("lq:4", "lq:4"), ("affine:4", "affine:4")],
    "W3A3": [("lq:3", "lq:3"), ("affine:3", "affine:3")],
    "W2A2": [("lq:2", "lq:2"), ("affine:2", "affine:2")],
    "W4A8": [("lq:4", "affine:8"), ("affine:4", "affine:8")],
    "W2A8": [("lq:2", "affine:8"), ("affine:2", "affine:8")],
}
VALIDATION, CALIBRATION, COMPARED, BATCH = 10_000, 1024, 1000, 100

Floats = npt.NDArray[np.float32]


def main() -> None:
    options = _options()
    command = "python benchmarks/sequences.py --mnist DIR --nets DIR --json FILE"
    made = provenance(command) | {"data": "MNIST, exact; last 10,000 training pictures validate"}
    known = json.loads(options.json.read_text())["rows"] if options.json.exists() else []
    data = _pictures(options.mnist)
    for name in [options.only] if options.only else NETWORKS:
        path = options.nets / f"{name}.onnx"
        found = measure(name, path, *data)
        known = [row for row in known if row["network"] != name] + found
        known.sort(key=lambda row: NETWORKS.index(row["network"]))
        options.json.write_text(json.dumps({**made, "rows": known}, indent=1) + "\n")
        options.json.with_suffix(".md").write_text(table(known))


def measure(name: str, path: Path, train: Any, validation: Any, test: Any) -> list[dict[str, Any]]:
    """Return the rows of one network, the float one first."""
    graph = read_model(path)
    float_row = {"network": name, "width": "float", "test": accuracy(graph, *test)}
    rows = [float_row | {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}]
    for width, plans in WIDTHS.items():
        tried = []
        for weights, activations in plans:
            started = time.process_time()
            low, report = quantize(graph, train, Plan(weights, activations))
            seconds = round(time.process_time() - started, 1)
            judged = accuracy(low, *validation)
            tried.append((judged, weights, activations, low, seconds, len(report.layers)))
        judged, weights, activations, low, seconds, layers = max(tried, key=lambda each: each[0])
        said = {"weights": weights, "activations": activations, "layers": layers, "cpu_seconds": seconds}
        others = {f"{each[1]} × {each[2]}": each[0] for each in tried}
        shown = {"validation": others, "test": accuracy(low, *test), "differ": differ(low, test[0])}
        rows.append({"network": name, "width": width, **said, **shown})
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    return rows


def accuracy(graph: Graph, x: Floats, y: npt.NDArray[np.int64]) -> float:
    """Return the share of pictures whose class is right, in per cent."""
    return round(100 * float((scores(graph, x).argmax(axis=1) == y).mean()), 2)


def scores(graph: Graph, x: Floats) -> Floats:
    """Return the engine's scores, a fixed number of pictures at a time: inside they may not come first."""
    program = Program(bound(graph, {str(graph.value(graph.inputs[0]).shape[0]): BATCH}))
    return np.concatenate([program.run(x[start : start + BATCH]) for start in range(0, len(x), BATCH)])


def differ(low: Graph, x: Floats) -> int:
    """Return for how many pictures ONNX Runtime has another class than the engine."""
    few = x[:COMPARED]
    with tempfile.TemporaryDirectory() as folder:
        write_model(low, f"{folder}/low.onnx")
        runtime = session(onnx.load(f"{folder}/low.onnx"))
        theirs = runtime.run(None, {low.inputs[0]: few})[0]
    return int((theirs.argmax(axis=1) != scores(low, few).argmax(axis=1)).sum())


def table(rows: list[dict[str, Any]]) -> str:
    """Return the table of all networks."""
    lines = [
        "# Sequences: an LSTM, a GRU and a transformer after quantization",
        "",
        f"| network | float | {' | '.join(WIDTHS)} |",
        f"|---|{'---|' * (1 + len(WIDTHS))}",
    ]
    for name in dict.fromkeys(row["network"] for row in rows):
        found = {row["width"]: row for row in rows if row["network"] == name}
        cells = [f"{found[width]['test']:.2f}" if width in found else "" for width in ("float", *WIDTHS)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    low = [row for row in rows if row["width"] != "float"]
    differs = sum(row["differ"] for row in low)
    chosen = {f"{row['network']} {row['width']}": row["weights"].split(":")[0] for row in low}
    uniform = [name for name, scheme in chosen.items() if scheme == "affine" and not name.endswith("W8A8")]
    return "\n".join(
        [
            *lines,
            "",
            "Top-1 in per cent on the 10,000 test pictures of MNIST, a picture being a sequence of 28",
            "rows. WkAj: k bits of weights, j of a layer's input, in all layers: of a recurrent layer",
            "the matrix of the input and that of the state, of the transformer all but the products of",
            "two values; gates, softmax and normalization are real. 1,024 unlabelled pictures calibrate;",
            "the scheme is chosen on 10,000 training pictures that neither train nor calibrate: learned",
            f"bases of weights, but affine for 8 bits and for {', '.join(uniform) or 'none'}.",
            f"Classes that differ under ONNX Runtime: {differs} of {COMPARED * len(low):,}.",
            "",
            "`python benchmarks/sequence_networks.py --mnist DIR --nets DIR` trains the networks,",
            "`python benchmarks/sequences.py --mnist DIR --nets DIR --json FILE` makes the table.",
            "",
        ]
    )


def _pictures(folder: str) -> tuple[Floats, tuple[Floats, Any], tuple[Floats, Any]]:
    train, test = load(folder, split="train"), load(folder, split="test")
    x, held = train.samples.reshape(-1, 28, 28), slice(-VALIDATION, None)
    chosen = np.random.default_rng(0).permutation(len(x) - VALIDATION)[:CALIBRATION]
    return x[np.sort(chosen)], (x[held], train.labels[held]), (test.samples.reshape(-1, 28, 28), test.labels)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--mnist", required=True, help="folder of MNIST's idx files")
    parser.add_argument("--nets", required=True, type=Path, help="folder of the .onnx files")
    parser.add_argument("--json", required=True, type=Path)
    parser.add_argument("--only", choices=NETWORKS, help="one network")
    return parser.parse_args()


if __name__ == "__main__":
    main()
