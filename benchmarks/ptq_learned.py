"""Accuracy of convolutional networks whose calibrated layers learned on without labels, seed by seed.

    python benchmarks/ptq_learned.py NAME=FILE… --data DIR --json results/ptq-learned.json --seeds 3

Every row is one seed of one network at some bits by one method: first and last layer at 8 bits affine, the
others learned bases, at most 1,024 pictures without labels. `top1` is of the first `--test` test pictures,
which choose nothing; `agreement` is with the float network on 2,000 training pictures that did not calibrate,
by which settings are chosen. Rows that are there are not measured again, so an interrupted run goes on. A
table of means is written beside the file.

`--only` takes methods, `--bits` numbers: `--only distill --bits 1`.
"""

import argparse
import json
import sys
import time
from itertools import groupby
from pathlib import Path
from statistics import mean, pstdev
from typing import Any

import numpy as np
from ptq_convnets import score

from lowbit.data import Dataset, load
from lowbit.formats import read_model
from lowbit.ir import Graph
from lowbit.provenance import provenance
from lowbit.quantization import Plan, chosen_indices, quantize
from lowbit.reconstruction import COURSES

METHODS = ("gptq", "reconstruct", "distill")
END = {"weights": "affine:8", "activations": "affine:8"}
HELD = 2000


def measure(
    graph: Graph, sets: tuple[Dataset, Dataset], bits: int, method: str, passes: int, seed: int
) -> dict[str, Any]:
    """Return the row of one seed."""
    train, test = sets
    form = f"lq:{bits}"
    plan = Plan(form, form, method=method, seed=seed, passes=passes, layers={"first": END, "last": END})
    started, clock = time.process_time(), time.monotonic()
    low, report = quantize(graph, train.samples, plan)
    seconds, wall = time.process_time() - started, time.monotonic() - clock
    unused = np.setdiff1d(np.arange(len(train)), chosen_indices(len(train), plan))
    held = train.samples[np.random.default_rng(seed).permutation(unused)[:HELD]]
    return {
        **score(low, test),
        "agreement": score(low, Dataset(held, scores_of(graph, held), "held"))["top1"],
        "float": score(graph, test)["top1"],
        "samples": report.samples,
        "cpu_seconds": round(seconds, 1),
        "wall_seconds": round(wall, 1),
        "commit": provenance("")["commit"],
    }


def scores_of(graph: Graph, samples: Any) -> Any:
    """Return the class that the float network gives to each sample."""
    from lowbit.scores import score as scored

    return scored(graph, samples).values.argmax(axis=1)


def table(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown table: mean and deviation of the points lost, and processor seconds."""
    lines = ["| network | bits | method | passes | seeds | float | top-1 | lost | CPU s |", "|---" * 9 + "|"]
    key = ("network", "bits", "method", "passes")
    for names, group in groupby(rows, lambda row: tuple(row[name] for name in key)):
        found = list(group)
        lost = [100 * (row["float"] - row["top1"]) for row in found]
        top1 = mean(100 * row["top1"] for row in found)
        passes = names[3] or getattr(COURSES.get(names[2]), "passes", "")
        cells = [*names[:3], passes, len(found), f"{100 * found[0]['float']:.2f}", f"{top1:.2f}"]
        cells += [
            f"{mean(lost):.2f} ± {pstdev(lost):.2f}",
            f"{mean(row['cpu_seconds'] for row in found):.0f}",
        ]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    about = "Top-1 in per cent; ends 8 bits affine, other layers learned bases; 1,024 pictures, no labels."
    return "\n".join([*lines, "", about, "A row of gptq is where the others begin.", ""])


def main() -> None:
    """Measure what is missing."""
    given = _options()
    known = json.loads(given.json.read_text())["rows"] if given.json.exists() else []
    wanted = [
        (seed, bits, method, given.passes if method in COURSES else 0)
        for seed in range(given.seeds)
        for bits in given.bits
        for method in given.only
    ]
    for name, path in (entry.split("=", 1) for entry in given.networks):
        graph = read_model(Path(path))
        shape = graph.value(graph.inputs[0]).shape[1:]
        sets = (
            load(given.data, "train").fit_to(shape),
            load(given.data, "test", limit=given.test).fit_to(shape),
        )
        for seed, bits, method, passes in wanted:
            key = {"network": name, "bits": bits, "method": method, "passes": passes, "seed": seed}
            if any(key.items() <= row.items() for row in known):
                continue
            known.append(key | measure(graph, sets, bits, method, passes, seed))
            print(json.dumps(known[-1]), file=sys.stderr, flush=True)
            known.sort(key=_place)
            made = provenance("python benchmarks/ptq_learned.py NAME=FILE… --data DIR --json FILE")
            given.json.write_text(json.dumps({**made, "rows": known}, indent=1) + "\n")
            given.json.with_suffix(".md").write_text(table(known))


def _place(row: dict[str, Any]) -> tuple[str, int, int, int, int]:
    return row["network"], -row["bits"], METHODS.index(row["method"]), row["passes"], row["seed"]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("networks", nargs="+", help="NAME=FILE of a float network")
    parser.add_argument("--data", required=True, help="a folder or the name of a data set")
    parser.add_argument("--bits", type=int, nargs="+", default=[3, 2, 1])
    parser.add_argument("--only", nargs="+", choices=METHODS, default=METHODS, help="methods")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument(
        "--passes", type=int, default=0, help="of learning; 0 is what the method usually does"
    )
    parser.add_argument("--test", type=int, default=10_000, help="how many test pictures")
    parser.add_argument("--json", type=Path, required=True, help="where the rows go")
    return parser.parse_args()


if __name__ == "__main__":
    main()
