"""The main job on data that scikit-learn carries: train, export, quantize, run, compare.

    python recipes/digits.py [--json] [--keep FOLDER]

Trains a tanh MLP 64-256-10 on the digits, exports it to ONNX, quantizes it at 3, 2 and 1 bits with a
learned basis and at 8 bits affine, and prints size, accuracy before and after, and latency with its
ratio to ONNX Runtime on the float network.
"""

import argparse
import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import lowbit
from lowbit.bench import compare
from lowbit.data import load
from lowbit.quantization import Plan

HIDDEN = 256
PLANS = {
    "lq 3 bits": Plan(weight_bits=3, activation_bits=3),
    "lq 2 bits": Plan(weight_bits=2, activation_bits=2),
    "lq 1 bit": Plan(weight_bits=1, activation_bits=1),
    "affine 8 bits": Plan(weight_bits=8, activation_bits=8, scheme="affine"),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--keep", type=Path, help="keep the model files in this folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        rows = run(folder)
    if options.json:
        print(json.dumps(rows))
    else:
        show(rows)


def run(folder: Path) -> list[dict[str, Any]]:
    """Return one row per network, the float one first."""
    train, test = load("digits", split="train"), load("digits", split="test")
    source = folder / "digits.onnx"
    source.write_bytes(trained_onnx(train.samples, train.labels))
    accuracy = lowbit.evaluate(source, test)["top1"]
    rows = [{"network": "float", "bytes": source.stat().st_size, "top1": accuracy}]
    graph = lowbit.read(source)
    for name, plan in PLANS.items():
        small, _ = lowbit.quantize(graph, train.samples, plan=plan)
        path = folder / f"digits-{name.replace(' ', '-')}.circle"
        lowbit.write(small, path)
        timing = compare(path, source)
        rows.append(
            {
                "network": name,
                "bytes": path.stat().st_size,
                "top1": lowbit.evaluate(path, test)["top1"],
                "latency_us": timing["latency_us"],
                "peers": timing["peers"],
            }
        )
    return rows


def trained_onnx(samples: np.ndarray, labels: np.ndarray | None) -> bytes:
    """Return a tanh MLP trained by scikit-learn, exported to ONNX."""
    from skl2onnx import to_onnx
    from sklearn.neural_network import MLPClassifier

    flat = np.asarray(samples, np.float32).reshape(len(samples), -1)
    network = MLPClassifier((HIDDEN,), activation="tanh", alpha=1e-3, max_iter=60, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 60 epochs are enough; it would rather go on
        network.fit(flat, labels)
    return bytes(to_onnx(network, flat[:1], options={"zipmap": False}).SerializeToString())


def show(rows: list[dict[str, Any]]) -> None:
    """Print the rows as a table."""
    table = Table(
        title="digits, MLP 64-256-10: one thread, batch 1, Python call to Python call", title_justify="left"
    )
    for column in ("network", "size", "top-1", "µs per call", "ONNX Runtime fp32", "ratio"):
        table.add_column(column, justify="left" if column == "network" else "right")
    for row in rows:
        peer = row.get("peers", {}).get("onnxruntime-fp32")
        timing = [f"{row['latency_us']:.2f}"] if "latency_us" in row else [""]
        timing += [f"{peer['latency_us']:.1f} µs", f"{peer['ratio']:.1f} ×"] if peer else ["", ""]
        table.add_row(row["network"], f"{row['bytes'] / 1024:.1f} KB", f"{row['top1']:.2%}", *timing)
    Console().print(table)


if __name__ == "__main__":
    main()
