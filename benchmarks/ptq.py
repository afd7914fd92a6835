"""Accuracy after post-training quantization: learned basis at 4 to 1 bits, affine at 8 to 2, three MLPs.

    python benchmarks/ptq.py --mnist DIR --fashion DIR --nets DIR --json results/ptq-mlp.json

The float networks (784-680(tanh)-10) are runs in `--nets`, `RECIPE-seed0`, made by `lowbit train` where they
are not there. Every row quantizes weights and activations of both layers to the same bits, from at most 1024
unlabelled training images, and scores the deployed integer network in the engine on the whole test set, which
decides nothing. `--only NAME` takes one network, `--scheme NAME` and `--method NAME` one of these; their rows
replace those that the file has, and every row names its commit.

The network of 97.2 is there twice: on images in [0, 1], and trained alike on images in [-1, 1], on which the
published method, whose two levels have no offset, is at its best; the thesis does not say its own range.

Methods: `restore` is ours; `published` is QEM on weights and activations with fine-tuning of the activations
and no offset; `published, gradient` is the same with gradient descent; `classic` is affine min/max,
rounded; `clipped` is affine with the range of least squared error; affine `restore` is our restoration on
the affine grid. Learned bases are medians over seeds (which choose the images), affine is one seed.
"""

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from freshness import MADE_OF, made_of

from lowbit.data import Dataset, load, remembered_normalize
from lowbit.engine import Program
from lowbit.formats import read_model
from lowbit.ir import Graph
from lowbit.provenance import provenance
from lowbit.quantization import Plan, quantize

ROOT = Path(__file__).parent.parent
NETWORKS = {
    "mnist-97.2": ("mnist", "mlp-784-680-10"),
    "mnist-97.2-signed": ("mnist", "mlp-784-680-10-signed"),
    "mnist-98.2": ("mnist", "mlp-784-680-10-long"),
    "fashion-88": ("fashion", "mlp-784-680-10-fashion"),
}
"""Data and recipe of every network."""

Method = tuple[str, str]
"""A scheme, and how it is fitted."""

METHODS: dict[Method, dict[str, Any]] = {
    ("lq", "restore"): {},
    ("lq", "published"): {"method": "plain"},
    ("lq", "published, gradient"): {"method": "plain", "update": "gradient"},
    ("affine", "classic"): {"method": "plain", "clip": "minmax"},
    ("affine", "clipped"): {"method": "plain"},
    ("affine", "restore"): {},
}
BITS = {"lq": (4, 3, 2, 1), "affine": (8, 7, 6, 5, 4, 3, 2)}


def measure(
    network: str, folder: Path, nets: Path, seeds: int, methods: Collection[Method], commit: str
) -> list[dict[str, Any]]:
    """Return the rows of one network: float, and by some methods."""
    data, recipe = NETWORKS[network]
    file = float_network(recipe, folder, nets)
    graph, named = read_model(file), {"network": network, "commit": commit, MADE_OF: [made_of(file)]}
    normalize = remembered_normalize(graph)
    images, tests = (
        load(data, split, normalize=normalize, folder=folder).fit_to((784,)) for split in ("train", "test")
    )
    rows = [{**named, "scheme": "float", "method": "", "bits": 32, "top1": top1(graph, tests)}]
    for (scheme, method), settings in METHODS.items():
        for bits in BITS[scheme] if (scheme, method) in methods else ():
            plans = [
                Plan(scheme=scheme, weight_bits=bits, activation_bits=bits, seed=seed, **settings)
                for seed in range(seeds if scheme == "lq" else 1)
            ]
            row = {**named, "scheme": scheme, "method": method, "bits": bits}
            rows.append({**row, **score(graph, images.samples, tests, plans)})
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    return rows


def score(graph: Graph, images: Any, tests: Dataset, plans: list[Plan]) -> dict[str, Any]:
    """Return the median accuracy over plans that differ in their seed, each accuracy, and CPU seconds."""
    accuracies, seconds, errors = [], [], []
    for plan in plans:
        started = time.process_time()
        low, report = quantize(graph, images, plan)
        seconds.append(time.process_time() - started)
        accuracies.append(top1(low, tests))
        errors.append(report.layers[-1].output_error)
    return {
        "top1": statistics.median(accuracies),
        "top1_by_seed": accuracies,
        "output_error": round(statistics.median(errors), 6),
        "cpu_seconds": round(statistics.median(seconds), 2),
        "samples": report.samples,
    }


def top1(graph: Graph, tests: Dataset) -> float:
    """Return the fraction of right answers of the network in the engine."""
    scores = Program(graph).run(tests.samples)
    return float((scores.argmax(axis=1) == tests.labels).mean())


def float_network(recipe: str, folder: Path, nets: Path) -> Path:
    """Return the file of a float network, trained when it is not there."""
    run = nets / f"{recipe}-seed0"
    if not (run / "model.onnx").exists():
        source = ROOT / "recipes" / f"{recipe}.toml"
        words = [sys.executable, "-m", "lowbit", "train", source, "--data", folder, "--out", run]
        subprocess.run(list(map(str, words)), check=True)
    return run / "model.onnx"


def _place(row: dict[str, Any]) -> tuple[int, int]:
    """Return where a row stands in the file: rows of a method by falling bits, as they are measured."""
    method = row["scheme"], row["method"]
    at = list(METHODS).index(method) if method in METHODS else -1
    return list(NETWORKS).index(row["network"]), at


def hashes(folders: dict[str, Path]) -> dict[str, str]:
    """Return the SHA-256 of every data file."""
    return {
        f"{name}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest()
        for name, folder in folders.items()
        for path in sorted(folder.glob("*-ubyte.gz"))
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mnist", type=Path, help="folder of the MNIST idx .gz files")
    parser.add_argument("--fashion", type=Path, help="folder of the Fashion-MNIST idx .gz files")
    parser.add_argument("--nets", type=Path, required=True, help="folder of float networks")
    parser.add_argument("--only", choices=NETWORKS, help="one network")
    parser.add_argument("--scheme", choices=BITS, help="one scheme")
    parser.add_argument("--method", choices=sorted({method for _, method in METHODS}), help="one method")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, required=True, help="where the rows go")
    options = parser.parse_args()
    folders = {name: getattr(options, name) for name in ("mnist", "fashion") if getattr(options, name)}
    names = [options.only] if options.only else [name for name in NETWORKS if NETWORKS[name][0] in folders]
    command = "python benchmarks/ptq.py --mnist DIR --fashion DIR --nets DIR --json FILE"
    facts = {"seeds": list(range(options.seeds)), "data": "exact", "data_sha256": hashes(folders)}
    made = {**provenance(command), **facts}
    before = json.loads(options.json.read_text()) if options.json.exists() else {"rows": []}
    asked = (options.scheme, options.method)
    methods = [each for each in METHODS if all(a in (None, b) for a, b in zip(asked, each, strict=True))]
    rows = [
        {"commit": before.get("commit", ""), **row}
        for row in before["rows"]
        if row["network"] not in names or (row["scheme"], row["method"]) not in [("float", ""), *methods]
    ]
    for name in names:
        folder = folders[NETWORKS[name][0]]
        rows += measure(name, folder, options.nets, options.seeds, methods, made["commit"])
    rows.sort(key=_place)
    options.json.write_text(json.dumps({**made, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
