"""LST-1 as hardware: every test picture through the RTL, resources, a bitstream, beside the published engine.

    python benchmarks/hdl.py lst1.onnx --data mnist --json results/hdl-lst1.json

`lst1.onnx` is the float network that `lowbit train recipes/lst1.toml` makes; it is rounded to each format.
Rows of a recipe are of the network that was trained on its grid, in the folder of runs that `--runs` names.
Others have random weights that fill the words of the memories: the most that an engine of this shape
can take. CPU seconds are those of generator, Verilator, compiler and simulation together. A table is written
beside the JSON.
"""

import argparse
import json
import resource
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from freshness import MADE_OF, made_of

from lowbit import api
from lowbit.data import load
from lowbit.ir import Graph
from lowbit.provenance import provenance
from lowbit.rtl.lst.design import lst_design
from lowbit.rtl.lst.from_graph import from_graph, in_fixed_point
from lowbit.rtl.lst.plan import Variant
from lowbit.rtl.pictures import NORMALIZE, reference_scores, to_bytes
from lowbit.rtl.primitives.target import Target
from lowbit.rtl.project import generate
from lowbit.rtl.report import Bench, Options
from lowbit.schemes import FixedPoint
from lowbit.zoo.published import LST1_ACCURACY, LST1_ENGINE

COLUMNS = (
    "cycles_per_image",
    "latency_cycles",
    "lut",
    "ff",
    "dsp",
    "ramb18",
    "fmax_mhz",
    "images",
    "mismatches",
)


@dataclass(frozen=True)
class Row:
    """An engine of the trained network, of one that a recipe trained on the grid, or of random weights."""

    variant: Variant
    scheme: str
    target: Target = "xc7"
    filled_bits: int = 0
    recipe: str = ""


ROWS = (
    Row("shared", "6.7"),
    Row("pipelined", "6.7"),
    Row("shared", "6.2"),
    Row("shared", "6.7", "ecp5"),
    Row("shared", "6.4"),
    Row("shared", "6.7", filled_bits=13),
    Row("shared", "6.4", filled_bits=8),
    Row("pipelined", "6.7", filled_bits=13),
    Row("shared", "6.3", recipe="lst1-fixed-6.3"),
    Row("shared", "6.2", recipe="lst1-fixed-6.2"),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="LST-1 in float")
    parser.add_argument("--data", default="mnist", help="pictures and labels")
    parser.add_argument("--json", type=Path, required=True, help="where the rows go; those there are kept")
    parser.add_argument("--runs", type=Path, help="where networks are that were trained on the grid")
    parser.add_argument("--row", type=int, nargs="*", choices=range(len(ROWS)), help="only these, from 0")
    options = parser.parse_args()
    dataset = load(options.data, split="test")
    made = provenance("python benchmarks/hdl.py lst1.onnx --data DIR --json FILE")
    rows: list[dict[str, Any]] = json.loads(options.json.read_text())["rows"] if options.json.exists() else []
    for number in options.row or range(len(ROWS)):  # written after each: a row takes minutes
        rows = [row for row in rows if row["row"] != number]
        trained = ROWS[number].recipe and options.runs / f"{ROWS[number].recipe}-seed0" / "model.onnx"
        model = trained or options.model
        found = measure(ROWS[number], api.read(model), to_bytes(dataset, 28, 28), dataset.labels)
        if not ROWS[number].filled_bits:
            found[MADE_OF] = [made_of(model)]
        rows = sorted([*rows, {"row": number, **found}], key=lambda row: row["row"])
        options.json.write_text(
            json.dumps({**made, "published": dict(LST1_ENGINE), "rows": rows}, indent=1) + "\n"
        )
        options.json.with_suffix(".md").write_text(table(rows))


def measure(row: Row, graph: Graph, pictures: np.ndarray, labels: np.ndarray | None) -> dict[str, Any]:
    """Return the figures of one row."""
    if row.filled_bits:
        fill(graph, FixedPoint.from_text(row.scheme), row.filled_bits)
    fixed = in_fixed_point(graph, None if row.recipe else FixedPoint.from_text(row.scheme))
    design = lst_design(from_graph(fixed, NORMALIZE), row.variant, row.target)
    result = asdict(row)
    with tempfile.TemporaryDirectory() as folder:
        if not row.filled_bits:
            scores, start = reference_scores(fixed, pictures, NORMALIZE), cpu_seconds()
            simulated = asdict(generate(design, Path(folder) / "a", Options(), Bench(pictures, scores)))
            result |= {key: simulated[key] for key in ("images", "mismatches", "latency_cycles")}
            result["simulation_cpu_s"] = round(cpu_seconds() - start, 1)
            result["top1"] = float((scores.argmax(axis=1) == labels).mean())
        wanted = Options(synthesize=True, bitstream=row.target == "ecp5")
        counted = asdict(generate(design, Path(folder) / "b", wanted))
    keys = ("cycles_per_image", "lut", "ff", "dsp", "ramb18", "fmax_mhz", "blocks", "proof")
    return result | {key: counted[key] for key in keys}


def fill(graph: Graph, encoding: FixedPoint, bits: int) -> None:
    """Replace weights by random ones that need so many bits in that format."""
    random, reach = np.random.default_rng(0), (2 ** (bits - 1) - 1) / 2**encoding.fraction_bits
    for name, value in graph.values.items():
        if value.data is not None:
            graph.update(name, data=random.uniform(-reach, reach, value.data.shape).astype(np.float32))


def cpu_seconds() -> float:
    """Return the processor time of this process and of those it has waited for."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as Markdown."""
    heads = ("engine", "weights", "top-1", *(column.replace("_", " ") for column in COLUMNS), "CPU s")
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for row in rows:
        weights = f"random, {row['filled_bits']} bits" if row["filled_bits"] else "trained"
        weights += " on the grid" if row.get("recipe") else ""
        name = f"{row['variant']}, Q{row['scheme']}, {row['target']}"
        top1 = f"{row['top1']:.2%}" if "top1" in row else None
        cells = (name, weights, top1, *(row.get(column) for column in COLUMNS), row.get("simulation_cpu_s"))
        lines.append("| " + " | ".join("" if cell is None else str(cell) for cell in cells) + " |")
    published = (LST1_ENGINE.get(column, "") for column in COLUMNS)
    top1 = f"{LST1_ACCURACY[0].top1:.2%}"
    lines.append(
        f"| published, Q6.7, XC7Z010 | trained | {top1} | " + " | ".join(map(str, published)) + " | |"
    )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
