"""Accuracy in fixed point by rounding alone, over bits behind the point, rounded and truncated.

    python benchmarks/fixed_point.py --data DIR --runs runs --json results/fixed-point.json

Takes what `lowbit train recipes/lst1.toml` left, seed by seed, rounds weights, biases, inputs and what
lies between layers to Qm.n, without training, and counts right answers of the integer reference over all test
samples. A table is written beside the JSON. KL is that of the histograms of all weights before and after (64
bins, each with 1e-3 added), a diagnostic only: it depends on the grid as much as on the error.
"""

import argparse
import json
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from freshness import MADE_OF, made_of

from lowbit import api
from lowbit.analysis import weight_divergence
from lowbit.data import Dataset, load
from lowbit.ir import Graph, evaluate
from lowbit.provenance import provenance
from lowbit.quantization import to_fixed_point
from lowbit.zoo.published import LST1_ACCURACY

RECIPE, INTEGER_BITS = "lst1", 6
FRACTION_BITS = (7, 6, 5, 4, 3, 2, 1)
ROUNDINGS = {"nearest": "rounded", "floor": "truncated"}
BATCH = 1000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--runs", type=Path, required=True, help="the folder that holds lst1-seed0 and others"
    )
    parser.add_argument("--data", type=Path, help="where data sets are; else they are looked for")
    parser.add_argument("--json", type=Path, required=True, help="where the rows go")
    options = parser.parse_args()
    runs = sorted(path.parent for path in options.runs.glob(f"{RECIPE}-seed*/result.json"))
    results = [json.loads((run / "result.json").read_text()) for run in runs]
    samples = load(
        results[0]["settings"]["data"],
        "test",
        normalize=tuple(results[0]["settings"]["normalize"]) or None,
        folder=options.data,
    )
    graphs = [api.read(run / "model.onnx") for run in runs]
    floats = [accuracy(graph, samples) for graph in graphs]
    rows = [row(graphs, n, rounding, samples) for n in FRACTION_BITS for rounding in ROUNDINGS]
    made = {
        **provenance("python benchmarks/fixed_point.py --data DIR --runs DIR --json FILE"),
        "recipe": RECIPE,
        "seeds": [each["seed"] for each in results],
        MADE_OF: [made_of(run / "model.onnx") for run in runs],
        "data": results[0]["data"],
        "float": {"top1": median(floats), "top1_by_seed": floats},
        "rows": rows,
    }
    options.json.write_text(json.dumps(made, indent=1) + "\n")
    options.json.with_suffix(".md").write_text(table(made))


def row(graphs: list[Graph], fraction_bits: int, rounding: str, samples: Dataset) -> dict[str, Any]:
    """Return the median of the networks' accuracies in one format."""
    rounded = [to_fixed_point(graph, INTEGER_BITS, fraction_bits, rounding) for graph in graphs]
    found = [accuracy(graph, samples) for graph in rounded]
    return {
        "format": f"Q{INTEGER_BITS}.{fraction_bits}",
        "rounding": rounding,
        "top1": median(found),
        "top1_by_seed": found,
        "kl": median(weight_divergence(*pair)[0].divergence for pair in zip(graphs, rounded, strict=True)),
    }


def accuracy(graph: Graph, samples: Dataset) -> float:
    """Return top-1 of the reference evaluator."""
    x = samples.fit_to(tuple(graph.value(graph.inputs[0]).shape[1:])).samples
    labels, right = np.asarray(samples.labels), 0
    for start in range(0, len(x), BATCH):
        logits = evaluate(graph, {graph.inputs[0]: x[start : start + BATCH]})[graph.outputs[0]]
        right += int((logits.argmax(1) == labels[start : start + BATCH]).sum())
    return right / len(x)


def table(made: dict[str, Any]) -> str:
    """Return accuracies over formats, rounded beside truncated."""
    seeds = ", ".join(map(str, made["seeds"]))
    best, _, elsewhere, four = (each.said.removesuffix(" %") for each in LST1_ACCURACY)
    lines = [
        f"# {made['recipe']} in fixed point, by rounding alone",
        "",
        f"Top-1 in per cent, median of seeds {seeds}, {made['data']}, all sums and functions in integers;",
        f"float: {100 * made['float']['top1']:.2f}. Published for LST-1: {best} at Q6.7, above 97 "
        "from 5 bits",
        f"behind the point on, elsewhere {elsewhere} at 5 and {four} at 4.",
        "",
        "| format | bits | rounded | truncated | KL of weights, rounded |",
        "|---|---|---|---|---|",
    ]
    found = {(each["format"], each["rounding"]): each for each in made["rows"]}
    for n in FRACTION_BITS:
        nearest, floor = (found[f"Q{INTEGER_BITS}.{n}", rounding] for rounding in ROUNDINGS)
        cells = [f"Q{INTEGER_BITS}.{n}", f"{INTEGER_BITS + n}"]
        cells += [f"{100 * each['top1']:.2f}" for each in (nearest, floor)]
        lines.append(f"| {' | '.join(cells)} | {nearest['kl']:.3f} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
