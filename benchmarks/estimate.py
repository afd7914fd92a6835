"""How near the estimate of a calibration comes: its time and memory beside what was taken.

    python benchmarks/estimate.py NET.onnx=affine:8:64 … --json results/estimate.json

A network, what its weights and inputs become, and how many samples (normal noise) calibrate. Each runs in a
process of its own, one thread; times are of the processor.
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
    parser.add_argument("runs", nargs="+", metavar="NET=FORM:SAMPLES")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.json is None:
        print(json.dumps(run(options.runs[0])))
        return
    one = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
    rows = []
    for each in options.runs:
        words = [sys.executable, __file__, each]
        done = subprocess.run(words, env=os.environ | one, stdout=subprocess.PIPE, text=True, check=True)
        rows.append(json.loads(done.stdout))
        print(done.stdout, file=sys.stderr, end="")
    made = provenance("python benchmarks/estimate.py NET=FORM:SAMPLES … --json FILE")
    options.json.write_text(json.dumps({**made, "rows": rows}, indent=1) + "\n")


def run(text: str) -> dict[str, Any]:
    """Calibrate once; return what was said before, what was taken, and their ratios."""
    name, _, rest = text.rpartition("=")
    form, _, count = rest.rpartition(":")
    graph = lowbit.read(name)
    shape = [length if isinstance(length, int) else 32 for length in graph.value(graph.inputs[0]).shape[1:]]
    samples = np.random.default_rng(0).normal(size=(int(count), *shape)).astype(np.float32)
    said: list[Estimate] = []
    started = time.process_time()
    quantize(graph, samples, Plan(form, form), announce=said.append)
    seconds, mebibytes = time.process_time() - started, _peak_mib()
    return {
        "network": Path(name).stem,
        "form": form,
        "samples": int(count),
        "cpu_seconds": seconds,
        "estimated_seconds": said[0].seconds,
        "of_seconds": said[0].seconds / seconds,
        "peak_mib": mebibytes,
        "estimated_mib": said[0].bytes / 2**20,
        "of_peak": said[0].bytes / 2**20 / mebibytes,
    }


def _peak_mib() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


if __name__ == "__main__":
    main()
