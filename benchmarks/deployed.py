"""Networks whose weights are powers of two, with activations of 16 bits in fixed point, as they are deployed.

    python benchmarks/deployed.py RUN … --data DIR --json results/power-of-two-16-bits.json

A run is the folder that `lowbit train` left, weights trained with float activations. Its weights are taken as
they are (`rtn` finds the levels again: the largest error says so), inputs of all layers become Q6.10, and the
engine scores every test sample in integers. Rows that the file has of other runs are kept.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from freshness import MADE_OF, made_of

from lowbit.data import load
from lowbit.engine import Program
from lowbit.formats import read_model
from lowbit.plan import Plan
from lowbit.provenance import provenance
from lowbit.quantization import quantize

ACTIVATIONS = "fixed:6.10"
SAMPLES = 64  # the format is given, so they set nothing; errors are measured on them
BATCH = 500


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs")
    parser.add_argument("--data", type=Path, help="where the data set is; else it is looked for")
    parser.add_argument("--json", type=Path, required=True, help="where the rows go")
    options = parser.parse_args()
    for run in options.runs:
        row = measure(run, options.data)
        known = json.loads(options.json.read_text())["rows"] if options.json.exists() else []
        rows = [each for each in known if (each["recipe"], each["seed"]) != (row["recipe"], row["seed"])]
        rows = sorted([*rows, row], key=lambda each: (each["recipe"], each["seed"]))
        made = provenance("python benchmarks/deployed.py RUN … --data DIR --json FILE")
        made |= {"activations": ACTIVATIONS, "rows": rows}
        options.json.write_text(json.dumps(made, indent=1) + "\n")


def measure(run: Path, folder: Path | None) -> dict[str, Any]:
    """Return a run's accuracy with float activations and with those of 16 bits."""
    facts = json.loads((run / "result.json").read_text())
    graph = read_model(run / "model.onnx")
    shape = tuple(graph.value(graph.inputs[0]).shape[1:])
    name = facts["settings"]["data"]
    train, test = (load(name, each, folder=folder).fit_to(shape) for each in ("train", "test"))
    plan = Plan(facts["scheme"], ACTIVATIONS, method="rtn", samples=SAMPLES)
    low, report = quantize(graph, train.samples[:SAMPLES], plan)
    program = Program(low)
    starts = range(0, len(test.samples), BATCH)
    right = sum(
        int((program.run(test.samples[at : at + BATCH]).argmax(1) == test.labels[at : at + BATCH]).sum())
        for at in starts
    )
    return {
        "recipe": facts["recipe"],
        "seed": facts["seed"],
        "scheme": facts["scheme"],
        "data": facts["data"],
        "top1_float_activations": facts["top1"],
        "top1": right / len(test.samples),
        "weight_error": max(layer.weight_error for layer in report.layers),
        MADE_OF: [made_of(run / "model.onnx")],
    }


if __name__ == "__main__":
    main()
