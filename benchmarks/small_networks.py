"""The four kept small networks quantized at 8 and 4 bits, with the figure that judges each.

    LOWBIT_DATA=DIR python benchmarks/small_networks.py [NAME …]

Calibrated by training samples. Of several settings the best on validation samples is taken,
and the test set is scored once with it, in the engine. Writes results/small-networks.json and its page;
rows of a network replace those that are there. `--page` only makes the page.
"""

import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.corpus.trained.tasks import TASKS, Sets
from tests.corpus.trained.train import KEPT, engine_scores

import lowbit
from lowbit.ir import Graph
from lowbit.plan import Plan
from lowbit.provenance import provenance

ROOT = Path(__file__).resolve().parents[1]
JSON, PAGE = ROOT / "results" / "small-networks.json", ROOT / "results" / "small-networks.md"
CALIBRATE, CHOOSE = 256, 1000
ENDS = {name: {"weights": "affine:8", "activations": "affine:8"} for name in ("first", "last")}
SETTINGS: dict[int, dict[str, dict[str, Any]]] = {
    8: {"affine:8, means restored": {"method": "bias"}, "affine:8, gptq": {"method": "gptq"}},
    4: {"lq:4": {}, "lq:4, ends at affine:8": {"layers": ENDS}},
}
SPECIFICATION = {8: "affine:8", 4: "lq:4"}


def main() -> int:
    """Measure, and write rows and page."""
    kept = json.loads(JSON.read_text()) if JSON.exists() else {"rows": []}
    names = [word for word in sys.argv[1:] if not word.startswith("-")] or list(TASKS)
    if "--page" not in sys.argv:
        for name in names:
            rows = [row for row in kept["rows"] if row["network"] != name] + measured(name)
            rows.sort(key=lambda row: (list(TASKS).index(row["network"]), -row["bits"]))
            kept = {"rows": rows}
            JSON.write_text(json.dumps(kept, indent=1) + "\n")
    PAGE.write_text(page(kept["rows"]))
    return 0


def measured(name: str) -> list[dict[str, Any]]:
    """Return the rows of a network: float, 8 bits, 4 bits."""
    path, task, sets = KEPT / f"{name}-seed0.onnx", TASKS[name], TASKS[name].sets()
    graph = lowbit.read(path)
    facts = {
        "network": name,
        "score": task.score,
        "data": task.data,
        "made_of": {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()},
        **provenance(f"LOWBIT_DATA=DIR python benchmarks/small_networks.py {name}"),
    }
    rows = [
        {**facts, "bits": 32, "setting": "float", "bytes": path.stat().st_size, **_tested(graph, name, sets)}
    ]
    for bits in SETTINGS:
        rows.append({**facts, "bits": bits, **_quantized(graph, name, sets, bits)})
        sys.stderr.write(f"{name}, {bits} bits: {rows[-1]['test']:.4f}\n")
    return rows


def _tested(graph: Graph, name: str, sets: Sets) -> dict[str, Any]:
    return {"test": TASKS[name].scored(engine_scores(graph, sets.test[0]), sets.test[1])}


def _quantized(graph: Graph, name: str, sets: Sets, bits: int) -> dict[str, Any]:
    chosen = tuple(part[:CHOOSE] for part in sets.validation)
    made = []
    for setting, more in SETTINGS[bits].items():
        started = time.process_time()
        plan = Plan(SPECIFICATION[bits], SPECIFICATION[bits], samples=CALIBRATE, **more)
        low, _ = lowbit.quantize(graph, sets.train[0][:CALIBRATE], plan=plan, check=False)
        cpu = round(time.process_time() - started, 1)
        score = TASKS[name].scored(engine_scores(low, chosen[0]), chosen[1])
        made.append((score, setting, low, cpu))
    _, setting, low, cpu = max(made, key=lambda row: row[0])
    path = ROOT / "build" / f"{name}-{bits}.circle"
    path.parent.mkdir(exist_ok=True)
    lowbit.write(low, path)
    return {
        "setting": setting,
        "validation": {name: score for score, name, *_ in made},
        "samples": CALIBRATE,
        "cpu_s": cpu,
        "bytes": path.stat().st_size,
        **_tested(low, name, sets),
    }


def page(rows: list[dict[str, Any]]) -> str:
    """Return the page of all rows."""
    lines = [
        f"| {row['network']} | {row['bits'] if row['bits'] < 32 else 'float'} | {row['test']:.2%} |"
        f" {row['bytes'] / 1024:.0f} KB | {row['setting']} | {row.get('cpu_s', '')} |"
        for row in rows
    ]
    data = dict.fromkeys(f"* {row['network']}: {row['data']}; figure: {row['score']}." for row in rows)
    return "\n".join([_HEAD, *lines, "", *data, ""])


_HEAD = f"""# Four small networks, trained and quantized

Made by `benchmarks/small_networks.py`; trained by `python -m tests.corpus.trained.train NAME` (recipes and
curves in `results/corpus-NAME-seed0.json`), kept with float16 weights in `results/networks/`. Calibrated by
{CALIBRATE} training samples; of the settings tried the best on {CHOOSE} validation samples is scored once on
the whole test set, by the engine. Short trainings on a busy machine: the figures are for comparison with each
other.

| network | bits | test | file | setting chosen on validation | CPU s |
|---|---|---|---|---|---|"""


if __name__ == "__main__":
    sys.exit(main())
