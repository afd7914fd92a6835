"""What the C library takes beside the engine in Python: a call of a small network, loading one, and its size.

    python benchmarks/c_library.py [--rounds 15] [--json FILE]

The 1-bit perceptron 784-680-10 with random weights, one sample a call, one thread: `lowbit_run` in a loop of
C (tests/capi/time_calls.c), `Program.run` in one of Python, in turns, CPU time of the thread, the best of
the rounds. Loading: `lowbit_open_memory` of a mapped file, and `lowbit.load` of the `.circle` that it was
compiled from, in turns; `Program.open` of the same `.lbp` stands beside. The size is that of the library in
the package, which is stripped. Needs a C compiler.
"""

import argparse
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import lowbit
from lowbit.backends.library import library
from lowbit.engine import Program
from lowbit.provenance import provenance
from lowbit.targets import TARGETS
from lowbit.zoo import float_graph, network

ROOT = Path(__file__).parents[1]
CALLS = 4000


def cpu_microseconds(call: Callable[[], object], count: int) -> float:
    """Return the CPU time of a call."""
    start = time.thread_time_ns()
    for _ in range(count):
        call()
    return (time.thread_time_ns() - start) / count / 1e3


def timer(folder: Path) -> Path:
    """Return the program that times calls of C."""
    shared, made = Path(library()._name), folder / "time_calls"
    source = ROOT / "tests/capi/time_calls.c"
    flags = ["-O2", f"-I{ROOT / 'cpp/capi'}", str(source), str(shared), f"-Wl,-rpath,{shared.parent}"]
    subprocess.run([shutil.which("cc") or "cc", *flags, "-o", made], check=True)
    return made


def measure(rounds: int, folder: Path) -> dict[str, Any]:
    """Return the figures."""
    x = np.random.default_rng(0).normal(size=(300, 784)).astype(np.float32)
    graph, _ = lowbit.quantize(float_graph(network("mlp")), x, plan=lowbit.Plan("lq:1", "lq:1"), check=False)
    circle, net, timed = folder / "net.circle", folder / "net.lbp", timer(folder)
    lowbit.write(graph, circle)
    TARGETS["program"].write(graph, net)
    program, one = Program(graph), np.ascontiguousarray(x[:1])
    out = program.run(one)
    best: dict[str, float] = {}

    def keep(name: str, value: float) -> None:
        best[name] = min(best.get(name, value), value)

    for _ in range(rounds):
        done = subprocess.run([timed, net, str(CALLS)], check=True, capture_output=True, text=True)
        call, load = map(float, done.stdout.split())
        keep("call_c_us", call)
        keep("load_c_us", load)
        keep("call_python_us", cpu_microseconds(lambda: program.run(one), CALLS))
        keep("call_python_into_us", cpu_microseconds(lambda: program.run_into(one, out), CALLS))
        keep("load_python_us", cpu_microseconds(lambda: lowbit.load(circle), 3))
        keep("load_python_lbp_us", cpu_microseconds(lambda: Program.open(net), 20))
    return {
        **best,
        "call_ratio": best["call_c_us"] / best["call_python_us"],
        "load_ratio": best["load_c_us"] / best["load_python_us"],
        "file_bytes": net.stat().st_size,
        "library_bytes": Path(library()._name).stat().st_size,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        facts = measure(options.rounds, Path(folder))
    facts = {**provenance("python benchmarks/c_library.py"), **facts}
    if options.json:
        options.json.write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts, indent=1))
    print(f"call {facts['call_ratio']:.2f} (bar 0.65), load {facts['load_ratio']:.3f} (bar 0.2)")
    print(f"library {facts['library_bytes'] / 1024:.0f} KB (bar 700)")


if __name__ == "__main__":
    main()
