"""A low-bit network on the array engine: simulated, linted, counted per block, beside published figures.

    python benchmarks/hdl_network.py cnv.onnx --data cifar10 --limit 100 --cycles 32768 --json
    results/hdl-cnv.json python benchmarks/hdl_network.py vgg16.onnx --budget xc7z045 --json
    results/hdl-vgg16.json

Networks are those of `lowbit zoo NAME --scheme binary`, or trained ones. A table is written beside the JSON.
Resources are Yosys' (`synth_xilinx`, out of context, every unit for itself; no placement, so no clock):
frames per second are those at 100 MHz, because that is the clock for which the published folding states its
cycles.
"""

import argparse
import json
import resource
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from freshness import MADE_OF, made_of

from lowbit import api
from lowbit.data import load, remembered_normalize
from lowbit.provenance import provenance
from lowbit.rtl.array.budget import device, fold_for_budget, fold_for_cycles
from lowbit.rtl.array.design import ArrayDesign
from lowbit.rtl.array.from_graph import from_graph
from lowbit.rtl.array.plan import plan_array
from lowbit.rtl.lint import WAIVED
from lowbit.rtl.pictures import reference_scores, to_pictures
from lowbit.rtl.project import generate
from lowbit.rtl.report import CLOCK_HZ, Bench, Options

PUBLISHED = {
    "cnv": [
        {
            "design": "FINN, CNV-W1A1 with the folding of finn-examples for Pynq-Z1",
            "cycles_per_image": 32768,
            "frames_per_second_at_100_mhz": 3052,
            "note": "cycles computed from the folding file, which states no resources; FINN's own formula "
            "gives 20.7k LUT for the matrix-vector units alone",
        },
        {
            "design": "FINN 2017, CNV on ZC706 at 200 MHz",
            "frames_per_second": 21906,
            "latency_us": 283,
            "note": "Umuroglu et al., FPGA'17, abstract; 80.1 % on CIFAR-10, below 25 W",
        },
    ],
    "vgg16": [],
}
"""What others state. Their look-up tables are Vivado's, placed; ours are Yosys', so only orders compare."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="a low-bit network")
    parser.add_argument("--data", help="pictures to simulate; none: generated, linted and counted only")
    parser.add_argument("--limit", type=int, default=100, help="at most so many pictures")
    parser.add_argument("--target", default="xc7", choices=("xc7", "xcup", "ecp5"), help="the family")
    parser.add_argument("--cycles", type=int, help="clocks per picture, for the cheapest folding")
    parser.add_argument("--budget", default="xc7z020", help="a device, for the fastest folding")
    parser.add_argument("--skip-synthesis", action="store_true", help="do not count resources")
    parser.add_argument("--json", type=Path, required=True, help="where the result goes")
    options = parser.parse_args()
    made = provenance(
        "python benchmarks/hdl_network.py MODEL [--data DIR] [--cycles N] [--budget D] --json FILE"
    )
    name = next((name for name in PUBLISHED if name in options.model.stem or name in options.json.stem), "")
    found = {**made, "model": options.model.stem, "published": PUBLISHED.get(name, []), **measure(options)}
    if (options.model.parent / "result.json").exists():
        found[MADE_OF] = [made_of(options.model)]
    options.json.write_text(json.dumps(found, indent=1) + "\n")
    options.json.with_suffix(".md").write_text(table(found))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return what the project's report says, and how long it took."""
    graph = api.read(options.model)
    normalize = remembered_normalize(graph)
    network, bench = from_graph(graph, normalize), None
    result: dict[str, Any] = {"budget": None if options.cycles else options.budget, "cycles": options.cycles}
    if options.cycles:
        folding = fold_for_cycles(network, options.cycles, options.target)
    else:
        folding = fold_for_budget(network, device(options.budget), options.target)
    design = ArrayDesign(plan_array(network, folding, options.target))
    if options.data:
        dataset = load(options.data, split="test", limit=options.limit)
        pictures = to_pictures(dataset, graph)
        bench = Bench(pictures, reference_scores(graph, pictures, normalize))
        result |= {"data": options.data.rstrip("/").rpartition("/")[2], "exactness": dataset.exactness}
        if dataset.labels is not None:
            result["top1_of_these"] = float(np.mean(bench.scores.argmax(axis=1) == dataset.labels))
    start, began = cpu_seconds(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        wanted = Options(lint=True, synthesize=not options.skip_synthesis)
        report = generate(design, Path(folder) / "project", wanted, bench)
    figures = asdict(report)
    figures["frames_per_second_at_100_mhz"] = CLOCK_HZ // report.cycles_per_image
    figures["waived"] = dict(WAIVED)
    times = {"cpu_s": round(cpu_seconds() - start, 1), "wall_s": round(time.monotonic() - began, 1)}
    return {**result, **figures, **times}


def cpu_seconds() -> float:
    """Return the processor time of this process and of those it has waited for."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def table(found: dict[str, Any]) -> str:
    """Return units with their resources, and the engine beside what is published, as Markdown."""
    blocks = {name.rpartition("_engine_")[2]: counts for name, counts in (found["blocks"] or {}).items()}
    kinds = ("lut", "ff", "dsp", "ramb18")
    lines = [
        "| unit | element | elements x lanes | cycles | products | LUT | FF | DSP | RAMB18 |",
        "|---" * 9 + "|",
    ]
    for unit in found["units"]:
        counts = blocks.pop(unit["name"], {})
        cells = [unit[key] for key in ("name", "element", "folding", "cycles", "products")]
        lines.append(row(*cells, *(counts.get(kind, "") for kind in kinds)))
    for rest in blocks.values():
        lines.append(row("streams, scores", "", "", "", "", *(rest[kind] for kind in kinds)))
    products = sum(unit["products"] for unit in found["units"])
    lines.append(
        row("all", "", "", found["cycles_per_image"], products, *(found[kind] or "" for kind in kinds))
    )
    rate = f"{found['frames_per_second_at_100_mhz']:,} pictures per second at 100 MHz"
    lines += ["", f"{found['cycles_per_image']:,} clocks per picture: {rate}."]
    if found["images"]:
        lines.append(
            f"{found['images']} pictures simulated, {found['mismatches']} differ from the reference; "
            f"latency {found['latency_cycles']:,} clocks."
        )
    lines.append(f"Warnings of the linter that are not waived: {len(found['warnings'])}.")
    lines += [f"Published: {json.dumps(other)}" for other in found["published"]]
    return "\n\n".join(["\n".join(lines[: lines.index("")]), *lines[lines.index("") + 1 :]]) + "\n"


def row(*cells: object) -> str:
    """Return a line of a table."""
    return "| " + " | ".join(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in cells) + " |"


if __name__ == "__main__":
    main()
