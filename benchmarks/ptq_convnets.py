"""Accuracy of convolutional networks after post-training quantization: float beside 8, 4, 3, 2 and 1 bits.

    python benchmarks/ptq_convnets.py --fashion DIR --nets DIR --json results/ptq-convnets.json [--only lenet]

The float networks, one of each family, are the runs `NAME-seed0` in `--nets`, made by `lowbit train`. Every
row quantizes from at most 1024 unlabelled training pictures and is scored on the first `--test` pictures of
the test set, which decides nothing; by the engine where it runs the network, else by the reference, which
gives the same integers. Rows of a network replace those that the file has; a table is written beside it.

Which layers: `all` are at the row's bits; `inner` leaves the first and the last layer in float (what
published tables do); `ends 8` has them at 8 bits affine.
"""

import argparse
import json
import sys
import time
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from lowbit.data import Dataset, load
from lowbit.errors import EngineError, LowbitError
from lowbit.formats import read_model
from lowbit.ir import Graph, evaluate
from lowbit.provenance import provenance
from lowbit.quantization import Plan, quantize

NETWORKS = ("vgg-fashion", "lenet", "alexnet-fashion", "resnet20-fashion", "densenet-fashion")
ENDS: dict[str, dict[str, Any]] = {
    "all": {},
    "inner": {"first": {"scheme": "float"}, "last": {"scheme": "float"}},
    "ends 8": {"first": {"scheme": "affine", "bits": 8}, "last": {"scheme": "affine", "bits": 8}},
}
ROWS = [("all", "affine", 8), *((ends, "lq", bits) for ends in ENDS for bits in (4, 3, 2, 1))]
BLOCK = 500


def main() -> None:
    options = _options()
    train, test = load(options.fashion, "train"), load(options.fashion, "test", limit=options.test)
    command = "python benchmarks/ptq_convnets.py --fashion DIR --nets DIR --json FILE"
    made = provenance(command) | {"data": "Fashion-MNIST, exact", "method": "restore"}
    known = json.loads(options.json.read_text())["rows"] if options.json.exists() else []
    for name in [options.only] if options.only else NETWORKS:
        if not (options.nets / f"{name}-seed0/model.onnx").exists():
            continue
        kept = [row for row in known if options.missing and row["network"] == name and "failed" not in row]
        found = measure(name, options.nets, train, test, options.seeds, kept)
        known = [row for row in known if row["network"] != name] + found
        known.sort(key=lambda row: NETWORKS.index(row["network"]))
        options.json.write_text(json.dumps({**made, "rows": known}, indent=1) + "\n")
        options.json.with_suffix(".md").write_text(table(known))


def measure(
    name: str, nets: Path, train: Dataset, test: Dataset, seeds: int, kept: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the rows of one network, the float one first; those that are kept are not measured again."""
    graph = read_model(nets / f"{name}-seed0/model.onnx")
    shape = graph.value(graph.inputs[0]).shape[1:]
    train, test = train.fit_to(shape), test.fit_to(shape)
    known = {(row["layers"], row["scheme"], row["bits"]): row for row in kept}
    rows = [known.get(("", "float", 32)) or float_row(name, nets, graph, test)]
    for key in ROWS:
        layers, scheme, bits = key
        settings = {"scheme": scheme, "weight_bits": bits, "activation_bits": bits, "layers": ENDS[layers]}
        plans = [Plan(**settings, seed=seed) for seed in range(seeds)]
        row = {"network": name, "layers": layers, "scheme": scheme, "bits": bits}
        rows.append(known.get(key) or row | quantized(graph, train, test, plans))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    return rows


def float_row(name: str, nets: Path, graph: Graph, test: Dataset) -> dict[str, Any]:
    """Return the row of the float network, and how it was trained."""
    made = json.loads((nets / f"{name}-seed0/result.json").read_text())
    trained = {what: made[what] for what in ("top1", "seed", "cpu_s", "commit")}
    row = {"network": name, "layers": "", "scheme": "float", "bits": 32}
    return {**row, **score(graph, test), "trained": trained}


def quantized(graph: Graph, train: Dataset, test: Dataset, plans: list[Plan]) -> dict[str, Any]:
    """Return the median accuracy over plans that differ in their seed; or why there is none."""
    scores, seconds = [], []
    try:
        for plan in plans:
            started = time.process_time()
            low, report = quantize(graph, train.samples, plan)
            seconds.append(time.process_time() - started)
            scores.append(score(low, test))
    except LowbitError as error:
        return {"failed": str(error)}
    accuracies = [found["top1"] for found in scores]
    return {
        **scores[0],
        "top1": median(accuracies),
        "top1_by_seed": accuracies,
        "cpu_seconds": round(median(seconds), 2),
        "samples": report.samples,
        "commit": provenance("")["commit"],
    }


def score(graph: Graph, test: Dataset) -> dict[str, Any]:
    """Return the fraction of right answers, of how many pictures, and what ran the network."""
    blocks = [test.samples[at : at + BLOCK] for at in range(0, len(test), BLOCK)]
    try:
        from lowbit.engine import Program

        program, backend = Program(graph), "engine"
        logits = [program.run(block) for block in blocks]
    except EngineError:  # the engine does not run it
        backend = "reference"
        logits = [evaluate(graph, {graph.inputs[0]: block})[graph.outputs[0]] for block in blocks]
    right = np.concatenate(logits).argmax(axis=1) == test.labels
    return {"top1": float(right.mean()), "pictures": len(test), "backend": backend}


def table(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown table: a line per network and choice of layers, top-1 in per cent."""
    bits = (8, 4, 3, 2, 1)
    lines = [f"| network | float | layers | {' | '.join(map(str, bits))} |", "|---" * (len(bits) + 3) + "|"]
    floats = {row["network"]: f"{100 * row['top1']:.2f}" for row in rows if row["scheme"] == "float"}
    low = [row for row in rows if row["scheme"] != "float"]
    for (name, layers), group in groupby(low, lambda row: (row["network"], row["layers"])):
        found = {row["bits"]: f"{100 * row['top1']:.2f}" if "top1" in row else "–" for row in group}
        cells = [name, floats[name], layers, *(found.get(column, "") for column in bits)]
        lines.append(f"| {' | '.join(cells)} |")
    counts = sorted({row["pictures"] for row in rows if "pictures" in row})
    about = f"Top-1 in per cent on the first {' or '.join(map(str, counts))} test pictures of Fashion-MNIST."
    return (
        "\n".join([*lines, "", f"{about} 8 bits: affine; others: learned basis. –: not supported yet."])
        + "\n"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fashion", type=Path, required=True, help="folder of the idx .gz files")
    parser.add_argument("--nets", type=Path, required=True, help="folder of float networks")
    parser.add_argument("--only", choices=NETWORKS, help="one network")
    parser.add_argument("--missing", action="store_true", help="keep rows that are there and did not fail")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--test", type=int, default=10_000, help="how many test pictures")
    parser.add_argument("--json", type=Path, required=True, help="where the rows go")
    return parser.parse_args()


if __name__ == "__main__":
    main()
