"""Networks as people bring to hardware, at seven schemes: which are accepted, and whether they are equal.

    python benchmarks/hdl_zoo.py [--seed N] [--networks 25] [--part I/N] [--json FILE] [--keep FILE]

Networks of the families in tests/rtl/families.py are drawn, quantized and planned. Each that is accepted is
written as a project, and the project's own test bench run in Icarus Verilog: its pictures against what the
reference evaluator says of them. Every sixth trial is disturbed: it runs with gaps and stalls, and then in
the test bench of tests/rtl/fuzz, whose wires are unknown where they say nothing, and which resets in the
midst of a picture. Rows in the file of `--keep` are not tried again; `--part 1/3` tries every third network.
"""

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.rtl.families import FAMILIES, SCHEMES, draw, samples
from tests.rtl.fuzz import icarus
from tests.rtl.fuzz.case import Case

from lowbit.api import quantize
from lowbit.errors import LowbitError
from lowbit.provenance import provenance
from lowbit.rtl.hardware import Hardware, hardware
from lowbit.rtl.primitives.target import Target

ROOT = Path(__file__).resolve().parents[1]
TARGETS: tuple[Target, ...] = ("generic", "xc7", "ecp5")
DISTURBED_EVERY = 6
"""Of so many trials one has gaps, stalls, a reset and unknown wires; the number of schemes is prime to it."""


def main() -> int:
    """Try what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--networks", type=int, default=25)
    parser.add_argument("--part", type=_part, default=(0, 1), help="I/N: every N-th network from I.")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--scheme", default="")
    parser.add_argument("--plan-only", action="store_true")
    parser.add_argument("--keep", type=Path, help="Rows so far: these are not tried again.")
    asked = parser.parse_args()
    kept = [] if asked.keep is None or not asked.keep.exists() else asked.keep.read_text().splitlines()
    known = {(row["number"], row["scheme"], row["seed"]): row for row in map(json.loads, kept)}
    rows = []
    for at, (family, scheme, number) in enumerate(_trials(asked.networks)):
        if (
            number % asked.part[1] == asked.part[0]
            and asked.only in ("", family)
            and asked.scheme in ("", scheme)
        ):
            seed = 1000 * asked.seed + number
            row = known.get((number, scheme, seed))
            if row is None:
                made = tried(
                    family, scheme, seed, simulate=not asked.plan_only, disturbed=at % DISTURBED_EVERY == 0
                )
                row = {"number": number, **made}
                _append(asked.keep, row)
            rows.append(row)
            print(number, family, scheme, row["found"], row["why"][:300].replace("\n", " "), flush=True)
    for line in table(rows):
        print(line)
    if asked.json:
        made = provenance(f"python benchmarks/hdl_zoo.py --seed {asked.seed} --networks {asked.networks}")
        asked.json.write_text(json.dumps({**made, "rows": rows}, indent=1) + "\n")
    return int(any(row["found"] in ("differs", "crashes") for row in rows))


def _trials(networks: int) -> Iterator[tuple[str, str, int]]:
    names = list(FAMILIES)
    for number in range(networks):
        for scheme in SCHEMES:
            yield names[number % len(names)], scheme, number


def _append(path: Path | None, row: dict[str, Any]) -> None:
    if path is not None:
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")


def tried(
    family: str, scheme: str, seed: int, *, simulate: bool = True, disturbed: bool = False
) -> dict[str, Any]:
    """Return what became of a network: refused, crashes, differs, equal, or accepted where nothing ran."""
    start, row = time.process_time(), {"family": family, "scheme": scheme, "seed": seed}
    try:
        found, why = _outcome(family, scheme, seed, simulate=simulate, disturbed=disturbed)
    except LowbitError as error:
        found, why = "refused", str(error)
    except Exception as error:
        found, why = "crashes", f"{type(error).__name__}: {error}"
    seconds = round(time.process_time() - start, 1)
    return {**row, "found": found, "why": why, "disturbed": simulate and disturbed, "seconds": seconds}


def _outcome(family: str, scheme: str, seed: int, *, simulate: bool, disturbed: bool) -> tuple[str, str]:
    graph = draw(family, seed)
    low, _ = quantize(graph, samples(graph), plan=SCHEMES[scheme], check=False)
    made = hardware(low, engine="array", cycles=2000, target=TARGETS[seed % len(TARGETS)])
    if not simulate:
        return "accepted", ""
    with TemporaryDirectory() as folder:
        found, why = _by_itself(made, Path(folder) / "project", disturbed)
        if found == "equal" and disturbed:
            (Path(folder) / "bench").mkdir()
            case = Case(graph.name, made.design, made.golden())
            wrong, objections = icarus.different_pictures(case, Path(folder) / "bench", seed=seed)
            found = "differs" if wrong else "equal"
            why += f"; with a reset {wrong} differ {objections}"
    return found, why


def _by_itself(made: Hardware, project: Path, disturbed: bool) -> tuple[str, str]:
    """Return what a project's own test bench says."""
    made.write(project)
    bench = f"{made.design.top}_tb.vvp"
    runs = [["make", bench], ["vvp", "-n", bench], ["vvp", "-n", bench, "+gap=40", "+stall=50"]]
    said = []
    for command in runs if disturbed else runs[:2]:
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
        said += [line for line in done.stdout.splitlines() if "clocks" in line]
        if done.returncode or (command[0] == "vvp" and done.stdout.split()[-1] != "PASS"):
            return "differs", "; ".join(said) or done.stderr[-300:]
    return "equal", "; ".join(said)


def _part(text: str) -> tuple[int, int]:
    first, _, count = text.partition("/")
    return int(first), int(count)


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Return lines of how many are accepted, by family and by scheme."""
    lines = []
    for by in ("family", "scheme"):
        tried_of = Counter(row[by] for row in rows)
        good = Counter(row[by] for row in rows if row["found"] in ("equal", "accepted"))
        lines += [f"{name:12} {good[name]:3} of {count:3}" for name, count in tried_of.items()]
    lines.append(f"in all {Counter(row['found'] for row in rows)} of {len(rows)}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
