"""Unrolled networks beside da4ml's: look-up tables and carry chains by the same Yosys script.

    python benchmarks/unroll.py [--da4ml PYTHON] [--seeds N] [--keep]
    python benchmarks/unroll.py --page    # results/unroll.md of results/unroll.json

Networks of 16-64-32-32-5 (jet tagging's shape) with random weights of 6 bits, half of them 0, ranks of 6 bits
between layers and inputs of 8 bits. Both tools get the same integers; da4ml's is checked on samples against
the scores of ours. The circuits alone are compared, from inputs to scores, without registers. PYTHON has
da4ml; without it, ours is measured alone. Yosys is the one on the path.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from lowbit.provenance import provenance
from lowbit.rtl.array.endings import Scaled
from lowbit.rtl.array.network import ArrayNetwork, Layer, Recode, Scores, point
from lowbit.rtl.unroll.pipeline import pipelined
from lowbit.rtl.unroll.plan import UnrollPlan, plan_unroll
from lowbit.rtl.unroll.text import Text

SHAPE = (16, 64, 32, 32, 5)
BITS = 6
RESULT = Path(__file__).resolve().parents[1] / "results" / "unroll.json"
YOSYS = shutil.which("yosys") or "yosys"
SCRIPT = "read_verilog {sources}; synth_xilinx -family xc7 -noiopad -noclkbuf -flatten -top {top}; stat"
_COUNT = re.compile(r"^\s+(\w+)\s+(\d+)$", re.MULTILINE)


def network(seed: int) -> ArrayNetwork:
    """Return a network of random integers."""
    random = np.random.default_rng(seed)
    levels = np.arange(-128, 128)
    stages: list[Layer | Recode] = []
    source = ""
    for number, (inputs, outputs) in enumerate(pairwise(SHAPE)):
        half = random.random((outputs, 1, 1, inputs)) < 0.5
        weights = random.integers(-32, 32, half.shape) * half
        layer = Layer(f"layer{number + 1}", levels, weights, point(1, 1), None, None, (source,))
        stages.append(layer)
        if number < len(SHAPE) - 2:
            shift = int(np.log2(np.abs(levels).max() * 12 * inputs**0.5 / 40))
            bias = random.integers(-(1 << shift), 1 << shift, (1, 1, outputs))
            ending = Scaled(np.ones((1, 1, 1), np.int64), bias, shift, (1 << BITS) - 1)
            stages.append(Recode(f"codes{number + 1}", outputs, point(1, 1), ending, (layer.name,)))
        source, levels = stages[-1].name, np.arange(1 << BITS)
    outputs = SHAPE[-1]
    bias = random.integers(-1000, 1000, outputs)
    head = Scores(source, np.ones(outputs), np.zeros(outputs), bias)
    return ArrayNetwork("jet", (SHAPE[0], 1, 1), np.arange(256), tuple(stages), (head,))


def integers(made: ArrayNetwork, plan: UnrollPlan) -> dict[str, Any]:
    """Return what da4ml gets: layers, and samples with their scores."""
    layers = []
    for stage in made.stages:
        if isinstance(stage, Layer):
            layers.append({"weights": stage.weights[:, 0, 0].T.tolist(), "bias": [0] * stage.outputs})
            layers[-1] |= {"shift": None}
        elif isinstance(stage, Recode) and isinstance(stage.ending, Scaled):
            ending = stage.ending
            layers[-1] |= {"bias": ending.addend.ravel().tolist(), "shift": ending.shift, "bits": BITS}
    layers[-1]["bias"] = made.heads[0].addend.tolist()
    bytes_ = np.random.default_rng(0).integers(0, 256, (200, SHAPE[0]))
    scores = plan.circuit.evaluate(bytes_, plan.results[:-1])
    return {
        "inputs": SHAPE[0],
        "layers": layers,
        "samples": (bytes_ - 128).tolist(),
        "scores": scores.tolist(),
    }


def core(plan: UnrollPlan, folder: Path) -> list[Path]:
    """Write the circuit from inputs to scores."""
    scores = plan.results[:-1]
    text = Text("core", plan.circuit, scores, pipelined(plan.circuit, scores, None), [8] * SHAPE[0], {})
    (folder / "core.v").write_text("\n".join(text.lines()))
    return [folder / "core.v"]


def synthesized(sources: list[Path], top: str) -> dict[str, int]:
    """Return what the circuit takes."""
    script = SCRIPT.format(sources=" ".join(map(str, sources)), top=top)
    said = subprocess.run([YOSYS, "-p", script], capture_output=True, text=True, check=True).stdout
    counts = {name: int(count) for name, count in _COUNT.findall(said[said.rindex("Number of cells") :])}
    lut = sum(count for name, count in counts.items() if re.fullmatch(r"LUT\d", name))
    return {"lut": lut, "carry4": counts.get("CARRY4", 0), "dsp": counts.get("DSP48E1", 0)}


def by_da4ml(python: str, facts: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return what da4ml makes of it."""
    (folder / "integers.json").write_text(json.dumps(facts))
    script = Path(__file__).with_name("unroll_da4ml.py")
    command = [python, str(script), str(folder / "integers.json"), str(folder / "da4ml")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    said = json.loads((folder / "da4ml" / "said.json").read_text())
    unused = ("da4ml_core_wrapper.v", "lookup_table.v")  # the latter asks for a file that there is not
    sources = sorted(path for path in (folder / "da4ml").rglob("*.v") if path.name not in unused)
    return {**said, **synthesized(sources, "da4ml_core")}


def row(seed: int, python: str | None) -> dict[str, Any]:
    """Return both of one network."""
    made = network(seed)
    plan = plan_unroll(made, most=1 << 30)
    adders = [plan.adders(layer.name) for layer in made.layers]
    ours = {"adders": sum(count for count, _ in adders), "bits": sum(bits for _, bits in adders)}
    ours["depth"] = pipelined(plan.circuit, plan.results[:-1], None).depth
    with TemporaryDirectory() as name:
        folder = Path(name)
        ours |= synthesized(core(plan, folder), "core")
        theirs = None if python is None else by_da4ml(python, integers(made, plan), folder)
    return {"seed": seed, "lowbit": ours, "da4ml": theirs}


def _version(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def write_page() -> None:
    """Write the table of the figures that are kept."""
    kept = json.loads(RESULT.read_text())
    lines = [
        "# Unrolled networks",
        "",
        "A network of 16-64-32-32-5 with random weights of 6 bits, half of them 0, inputs of 8 bits, and 6",
        "between layers, as adders from inputs to scores, without registers. Both circuits compute the",
        f"same integers (200 samples). Yosys {kept['yosys']}, `synth_xilinx -family xc7 -flatten`. Depth is",
        "operations in a row, of da4ml in its own units; neither was asked for speed.",
        f"Made by `{kept['command']}` at {kept['commit'][:7]}, da4ml {kept.get('da4ml', '')}.",
        "",
        "| seed | | LUT | CARRY4 | DSP | depth |",
        "|---|---|---|---|---|---|",
    ]
    for one in kept["rows"]:
        for name in ("lowbit", "da4ml"):
            if found := one[name]:
                cells = (found[key] for key in ("lut", "carry4", "dsp", "depth"))
                row = " | ".join(f"{cell:,.0f}" for cell in cells)
                lines.append(f"| {one['seed']} | {name} | {row} |")
    RESULT.with_suffix(".md").write_text("\n".join(lines) + "\n")


def main() -> int:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--da4ml", help="A Python that has da4ml.")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--page", action="store_true")
    asked = parser.parse_args()
    if asked.page:
        write_page()
        return 0
    rows = []
    for seed in range(asked.seeds):
        rows.append(row(seed, asked.da4ml))
        print(rows[-1], flush=True)
    if asked.keep:
        made = provenance(f"python benchmarks/unroll.py --da4ml PYTHON --seeds {asked.seeds} --keep")
        tools = {"yosys": _version([YOSYS, "-V"]).split()[1]}
        if asked.da4ml:
            tools["da4ml"] = _version([asked.da4ml, "-c", "import da4ml; print(da4ml.__version__)"])
        RESULT.write_text(json.dumps({**made, **tools, "rows": rows}, indent=1) + "\n")
        write_page()
    return 0


if __name__ == "__main__":
    sys.exit(main())
