"""How near the estimate of a calibration comes: its time and memory beside what was taken.

    python benchmarks/estimate.py NET.onnx=affine:8:64 "NET.onnx=lq:3 gptq:32" … --json results/estimate.json

A network, what its weights and inputs become, by which method where one is said, and how many samples (normal
noise) calibrate. Each runs in a process of its own, one thread; times are of the processor, from when it was
said to the end.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import lowbit
from lowbit.plan import Plan
from lowbit.provenance import provenance
from lowbit.quantization import Estimate, quantize


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="NET=FORM[ METHOD]:SAMPLES")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.json is None:
        print(json.dumps(run(options.runs[0])))
        return
    one = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
    rows, made = [], provenance("python benchmarks/estimate.py NET=FORM:SAMPLES … --json FILE")
    for each in options.runs:
        words = [sys.executable, __file__, each]
        done = subprocess.run(words, env=os.environ | one, stdout=subprocess.PIPE, text=True, check=True)
        rows.append(json.loads(done.stdout))
        print(done.stdout, file=sys.stderr, end="")
        options.json.write_text(json.dumps({**made, "rows": rows}, indent=1) + "\n")
        options.json.with_suffix(".md").write_text(page(made, rows))


def page(made: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """Return the rows as Markdown."""
    lines = [
        "# How near the estimate of a calibration comes\n",
        "Normal noise calibrates, one thread. Seconds of the processor, from when the estimate was said to",
        "the end; the most memory that was resident; and the estimate of each, over what it was.\n",
        "| network | plan | method | samples | CPU s | estimate | memory | estimate |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        time = f"{row['cpu_seconds']:.2f} | {row['of_seconds']:.2f} ×"
        memory = f"{row['peak_mib']:.0f} MiB | {row['of_peak']:.2f} ×"
        facts = (row["network"], row["form"], row["method"], str(row["samples"]))
        lines.append(f"| {' | '.join(facts)} | {time} | {memory} |")
    where = f"`{made['command']}`, {made['machine']}, {made['date']}, `{made['commit'][:8]}`."
    return "\n".join([*lines, "", where]) + "\n"


def run(text: str) -> dict[str, Any]:
    """Calibrate once; return what was said before, what was taken, and their ratios."""
    name, _, rest = text.rpartition("=")
    words, _, count = rest.rpartition(":")
    form, _, method = words.partition(" ")
    graph, samples = lowbit.read(name), {}
    for seed, source in enumerate(graph.inputs):
        shape = [length if isinstance(length, int) else 32 for length in graph.value(source).shape[1:]]
        samples[source] = np.random.default_rng(seed).normal(size=(int(count), *shape)).astype(np.float32)
    said: list[tuple[Estimate, float]] = []
    plan = Plan(form, form, method=method or "auto")
    quantize(graph, samples, plan, announce=lambda each: said.append((each, time.process_time())))
    ((estimate, started),) = said
    seconds, mebibytes = time.process_time() - started, _peak_mib()
    return {
        "network": Path(name).stem,
        "form": form,
        "method": method or "auto",
        "samples": int(count),
        "cpu_seconds": seconds,
        "estimated_seconds": estimate.seconds,
        "of_seconds": estimate.seconds / seconds,
        "peak_mib": mebibytes,
        "estimated_mib": estimate.bytes / 2**20,
        "of_peak": estimate.bytes / 2**20 / mebibytes,
    }


def _peak_mib() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


if __name__ == "__main__":
    main()
