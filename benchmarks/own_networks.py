"""Networks as people write them, trained at low bits by six plans and run by the engine, by way of .circle.

    python benchmarks/own_networks.py SEED [SEED ...]

Of every seed 40 networks of the families in tests/nn/networks.py, each prepared, trained three steps,
exported and compared code by code. Writes results/own-networks.json, after every network, and its page;
networks that are there are not tried again. `--page` only makes the page.
"""

import json
import sys
import tempfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from tests.nn.networks import FAMILIES, draw
from tests.nn.own_network import PLANS, Tried, attempt, refused_by_torch

from lowbit.provenance import provenance

ROOT = Path(__file__).resolve().parents[1]
JSON, PAGE = ROOT / "results" / "own-networks.json", ROOT / "results" / "own-networks.md"
COUNT = 40


def main() -> int:
    """Try what was asked for, and make the page."""
    torch.set_num_threads(1)
    kept: dict[str, Any] = json.loads(JSON.read_text()) if JSON.exists() else {"rows": []}
    if "--page" not in sys.argv:
        made = provenance("")  # before the file changes, which is part of the checkout
        for seed in map(int, sys.argv[1:]):
            for number in range(COUNT):
                _try(kept, made, seed, number)
    PAGE.write_text(page(kept))
    return 0


def _try(kept: dict[str, Any], made: dict[str, Any], seed: int, number: int) -> None:
    if any((row["seed"], row["number"]) == (seed, number) for row in kept["rows"]):
        return
    family = list(FAMILIES)[number % len(FAMILIES)]
    untrained = refused_by_torch(draw(family, 100 * seed + number))
    with tempfile.TemporaryDirectory() as folder:
        for name, plan in PLANS.items():
            found = Tried("float", untrained)
            if not untrained:
                found = attempt(draw(family, 100 * seed + number), plan, Path(folder))
            facts = {"seed": seed, "number": number, "family": family, "plan": name}
            kept["rows"].append(facts | asdict(found))
            print(family, number, name, found.stage, found.wrong, found.why[:200], flush=True)
    JSON.write_text(_text(made, kept["rows"]))


def _text(made: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """Return the file of all that was tried, a line for each; `made` is by what."""
    seeds = dict.fromkeys(str(row["seed"]) for row in rows)
    facts = json.dumps(made | {"command": f"python benchmarks/own_networks.py {' '.join(seeds)}"})
    return f'{facts[:-1]}, "rows": [\n' + ",\n".join(map(json.dumps, rows)) + "\n]}\n"


def reached(row: dict[str, Any]) -> bool:
    """Return whether a network came through the engine with no wrong code, every layer compared."""
    return row["stage"] == "done" and not row["wrong"] and not row["where"] and row["error"] < 1e-4


def page(kept: dict[str, Any]) -> str:
    """Return the page."""
    rows = [row for row in kept["rows"] if row["stage"] != "float"]
    left_out = {(row["seed"], row["number"]) for row in kept["rows"] if row["stage"] == "float"}
    seeds = sorted({row["seed"] for row in rows})
    numbers = [{row["number"] for row in rows if row["seed"] == seed} for seed in seeds]
    counts = [f"seed {seed} {len(each)}" for seed, each in zip(seeds, numbers, strict=True)]
    totals = {name: sum(row[name] for row in rows) for name in ("codes", "wrong", "rounded")}
    lines = [
        "# Networks as people write them, trained at low bits",
        "",
        f"Of {' and '.join(counts)}, small networks of twelve families",
        "(`tests/nn/networks.py`) by six plans (`tests/nn/own_network.py`): prepared with an example,",
        "trained three steps, exported to `.circle`, read, run by the engine. Every code that a layer",
        "reads is compared with the module's; one that differs first in a sample is wrong unless what torch",
        "encodes there is within 1e-4 of the spread of a threshold: then it is counted as rounded, since",
        "reals before it are added in another order. Networks that torch itself cannot train as floats,",
        f"whose functions overwrite what a gradient needs, are left out; drawn besides: {len(left_out)}.",
        "What was tried at earlier commits is kept: the file names the commit of the newest rows.",
        "",
        f"**{_share(rows)} reach the engine with 0 wrong codes.** {totals['codes']:,} codes were compared:",
        f"{totals['wrong']} wrong, {totals['rounded']} rounded.",
        "",
        "| family | what | " + " | ".join(PLANS) + " | all |",
        "|---|---|" + "---|" * (len(PLANS) + 1),
    ]
    for family, kind in FAMILIES.items():
        own = [row for row in rows if row["family"] == family]
        cells = [_count([row for row in own if row["plan"] == plan]) for plan in PLANS]
        about = str(kind.__doc__).split("\n")[0]
        lines.append(f"| {family} | {about} | " + " | ".join(cells) + f" | {_share(own)} |")
    lines += ["", "## What did not", ""]
    others = Counter(_reason(row) for row in rows if not reached(row))
    lines += [f"* {count} × {reason}" for reason, count in others.most_common()] or ["Nothing."]
    lines += ["", f"`python benchmarks/own_networks.py {' '.join(map(str, seeds))}`.", ""]
    return "\n".join(lines)


def _reason(row: dict[str, Any]) -> str:
    why = row["why"] or f"{row['wrong']} wrong codes, {'; '.join(row['where'])}"
    stage = "refused by prepare" if row["refused"] else row["stage"]
    return f"{row['family']}, {row['plan']}: {stage}: {why[:300]}"


def _count(rows: list[dict[str, Any]]) -> str:
    return f"{sum(map(reached, rows))} of {len(rows)}"


def _share(rows: list[dict[str, Any]]) -> str:
    good = sum(map(reached, rows))
    return f"{good} of {len(rows)} ({100 * good / max(1, len(rows)):.1f} %)"


if __name__ == "__main__":
    sys.exit(main())
