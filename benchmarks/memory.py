"""What a loaded network takes of memory, and how long loading takes, beside what it has to hold.

    python benchmarks/memory.py [NAME …] [--files DIR] [--json OUT]

A child process loads a tiny network and runs it: that is the empty runtime. Then it loads the network,
from a `.lbp` and from a `.circle`, runs one sample, and says by how much its resident memory has grown,
now and at most meanwhile. Beside it stand the bytes of the program's constants, and the largest sum of
values that are alive at once for one sample. Loading is timed in processor time, as is making a session
of ONNX Runtime of the float network; the least of several. Weights are random, which changes neither.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import lowbit
from lowbit.ir import Graph
from lowbit.program.file import write as compile_program
from lowbit.provenance import provenance
from lowbit.zoo import binary_graph, float_graph, network

NAMES = ("mlp", "vgg16", "resnet18", "mobilenet_v2")
BAR, LOAD_BAR = 1.25, 0.1
PLANS = {
    "mlp": ("lq:2", "lq:2"),
    "resnet18": ("affine:8", "affine:8"),
    "mobilenet_v2": ("affine:8", "affine:8"),
}

CHILD = """
import gc, json, sys
import numpy as np
import lowbit

def resident():
    lines = [line.split() for line in open("/proc/self/status")]
    return {words[0]: int(words[1]) * 1024 for words in lines if words[0] in ("VmHWM:", "VmRSS:")}

def peak_begins():
    open("/proc/self/clear_refs", "w").write("5")

tiny = lowbit.load(sys.argv[1])
tiny.run(np.zeros([1, *tiny.inputs[0].shape[1:]], np.float32))
x = np.random.default_rng(0).random([1, *json.loads(sys.argv[3])], np.float32)
gc.collect()
before = resident()["VmRSS:"]
peak_begins()
program = lowbit.load(sys.argv[2])
loading = resident()["VmHWM:"] - before
gc.collect()
peak_begins()
for _ in range(3):
    program.run(x)
facts = {"loading": loading, "running": resident()["VmHWM:"] - before}
weights = sum(step.weight_bytes for step in program.profile(x, repeats=1))
print(json.dumps({**facts, "weights": weights, **vars(program.memory)}))
"""

LOADS = """
import json, sys, time
import lowbit
def timed():
    start = time.process_time()
    lowbit.load(sys.argv[1])
    return time.process_time() - start
print(json.dumps(min(timed() for _ in range(15))))
"""

SESSIONS = LOADS.replace("import lowbit", "from lowbit.backends.onnxruntime import session").replace(
    "lowbit.load(sys.argv[1])", "session(sys.argv[1], 1)"
)


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--files", type=Path, default=Path(), help="where NAME.onnx of the larger ones are")
    parser.add_argument("--json", type=Path, help="write the facts here")
    options = parser.parse_intermixed_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [measured(name, options, Path(folder)) for name in options.names]
    if options.json:
        made = provenance("python benchmarks/memory.py " + " ".join(options.names))
        facts = {**made, "bar": BAR, "load_bar": LOAD_BAR, "rows": rows}
        options.json.write_text(json.dumps(facts, indent=1) + "\n")


def measured(name: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return a network's row, and print it."""
    low, source = networks(name, options.files, folder)
    tiny = folder / "tiny.circle"
    lowbit.write(binary_graph(network("lenet")), tiny)
    circle, compiled = folder / f"{name}.circle", folder / f"{name}.lbp"
    lowbit.write(low, circle)
    compile_program(low, compiled)
    shape = json.dumps([int(length) for length in low.value(low.inputs[0]).shape[1:]])
    row: dict[str, Any] = {"network": name, "session_s": child(SESSIONS, source)}
    for path in (compiled, circle):
        found = child(CHILD, tiny, path, shape)
        found["load_s"] = child(LOADS, path)
        found["of_bar"] = found["running"] / (found["weights"] + BAR * found["alive"])
        found["of_session"] = found["load_s"] / row["session_s"]
        row[path.suffix[1:]] = found
        sizes = ("weights", "alive", "arena", "running", "loading")
        text = ", ".join(f"{size} {found[size] / 1024:.0f}" for size in sizes)
        print(f"{name}{path.suffix}: KB of {text}; running is {found['of_bar']:.2f} of the bar")
        print(f"    load {found['load_s'] * 1e3:.2f} ms, {found['of_session']:.3f} of a session")
    return row


def networks(name: str, files: Path, folder: Path) -> tuple[Graph, Path]:
    """Return a low-bit network, and the file of its float one."""
    if name in ("mlp", "vgg16"):
        architecture = network(name)
        source = folder / f"{name}.onnx"
        lowbit.write(float_graph(architecture), source)
        if name == "vgg16":
            return binary_graph(architecture), source
    else:
        source = files / f"{name}.onnx"
    kept = files / f"{name}-{PLANS[name][0]}.circle"
    if kept.exists():
        return lowbit.read(kept), source
    graph = lowbit.read(source)
    shape = [int(length) for length in graph.value(graph.inputs[0]).shape[1:]]
    samples = np.random.default_rng(1).random((4, *shape), np.float32)
    plan = lowbit.Plan(*PLANS[name], method="rtn")
    return lowbit.quantize(graph, samples, plan=plan, check=False)[0], source


def child(script: str, *words: object) -> Any:
    """Return what a script of its own process prints."""
    ran = subprocess.run(
        [sys.executable, "-c", script, *map(str, words)], check=True, capture_output=True, text=True
    )
    return json.loads(ran.stdout)


if __name__ == "__main__":
    main()
