"""The integers of quantized networks of others: in the engine, in `.circle`, in `.onnx`, under ONNX Runtime.

Every model file below a folder is quantized by several plans, and every code of it compared; see
`tests.corpus.integers`. A file is tried in a process of its own, and not again while file and lowbit are the
same: it may be stopped and goes on. A row names the commit that it was tried with. A page is written beside
the JSON.

usage: python benchmarks/integers.py FOLDER… --json FILE [--only PART] [--plan PLAN]… [--kept]
       python benchmarks/integers.py --json FILE      only the page
"""

import argparse
import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.corpus.integers import LONG, PLANS, SHORT

from lowbit.provenance import provenance

SUFFIXES, SECONDS = (".onnx", ".tflite"), 2400
COMMAND = "python benchmarks/integers.py FOLDER --json FILE --plan affine:8 --plan lq:4 --kept"
STAGES = {"engine": "engine", ".circle": "`.circle`", ".onnx": "`.onnx`", "onnxruntime": "ONNX Runtime"}
ROOT = Path(__file__).resolve().parents[1]
Rows = dict[str, dict[str, Any]]


def main() -> int:
    """Try what was not tried yet, print a line for each, and all together."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="*")
    parser.add_argument("--json", type=Path, required=True, help="where rows are kept")
    parser.add_argument("--only", default="", help="files with this in their name")
    parser.add_argument("--plan", action="append", choices=PLANS, help="these plans only")
    parser.add_argument("--kept", action="store_true", help="keep good rows of older states")
    given = parser.parse_args()
    kept = json.loads(given.json.read_text()) if given.json.exists() else {"rows": {}}
    rows: Rows = kept["rows"]
    now = source()
    files = (path for folder in given.folders for path in folder.rglob("*") if path.suffix in SUFFIXES)
    for path in sorted(files):
        for plan in given.plan or PLANS:
            name, state = f"{path.name} {plan}", f"{sha256(path.read_bytes()).hexdigest()[:16]} {now}"
            known = rows.get(name, {})
            good = given.kept and bool(known) and "problem" not in line(name, known)
            if given.only in path.name and known.get("state") != state and not good:
                made = provenance(COMMAND)
                rows[name] = {"state": state, "commit": made["commit"], **tried(path, plan)}
                kept = {**made, "rows": dict(sorted(rows.items()))}
                given.json.write_text(json.dumps(kept, indent=1) + "\n")
                sys.stdout.write(line(name, rows[name]) + "\n")
                sys.stdout.flush()
    given.json.with_suffix(".md").write_text(page(kept))
    sys.stdout.write(summary(rows) + "\n")
    return 0


def source() -> str:
    """Return a hash of all that lowbit is."""
    files = [*(ROOT / "src").rglob("*.py"), *(ROOT / "cpp").rglob("*.*")]
    return sha256(b"".join(sha256(path.read_bytes()).digest() for path in sorted(files))).hexdigest()[:16]


def tried(path: Path, plan: str) -> dict[str, Any]:
    """Return what becomes of a file by a plan, in a process of its own."""
    command = [sys.executable, "-m", "tests.corpus.integers", str(path), plan]
    try:
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return {"all": {"problem": f"not done after {SECONDS} s"}}
    if run.returncode:
        return {"all": {"problem": f"exit code {run.returncode}: {run.stderr.strip()[-500:]}"}}
    found: dict[str, Any] = json.loads(run.stdout.strip().splitlines()[-1])
    return found


def line(name: str, row: dict[str, Any]) -> str:
    """Return a row of the table."""
    cells = [f"{stage} {_cell(found)}" for stage, found in stages_of(row).items()]
    return f"{name}: {'; '.join(cells)}"


def stages_of(row: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what was found of a row, by place."""
    return {stage: found for stage, found in row.items() if isinstance(found, dict)}


def _cell(found: dict[str, Any]) -> str:
    if found.get("problem"):
        return f"problem {found['problem']}"
    counted = f"{found['codes']} codes {found['wrong']} wrong {found['differ']} differ"
    return f"{counted} by {found['levels']}, {found['far']:.0e}" if found["codes"] else f"{found['far']:.0e}"


def summary(rows: Rows) -> str:
    """Return how many rows there are by stage, how many have problems, and their codes."""
    lines = []
    for stage in dict.fromkeys(stage for row in rows.values() for stage in stages_of(row)):
        found = [row[stage] for row in rows.values() if stage in row]
        ready = [each for each in found if not each.get("problem")]
        codes, wrong, differ = (sum(each[key] for each in ready) for key in ("codes", "wrong", "differ"))
        levels = max((each["levels"] for each in ready), default=0)
        far = max((each["far"] for each in ready), default=0.0)
        lines.append(
            f"{stage}: {len(ready)} of {len(found)}; {codes:,} codes, {wrong} wrong, {differ} differ"
            f" end to end by at most {levels} levels; outputs within {far:.1e}"
        )
    return "\n".join(lines)


def page(kept: dict[str, Any]) -> str:
    """Return the page of all rows: a line for each, and all together."""
    rows: Rows = kept["rows"]
    lines = [_HEAD.format(made=f"{kept['date']}, {kept['machine']}", files=len(_files(rows)), rows=len(rows))]
    lines += [_total(rows, stage) for stage in STAGES]
    lines += ["", "| file | plan | codes | wrong | differ in ONNX Runtime | by levels | outputs within |"]
    lines += ["|---|---|---|---|---|---|---|", *(_row(name, row) for name, row in rows.items()), ""]
    return "\n".join(lines)


def _files(rows: Rows) -> set[str]:
    return {name.partition(" ")[0] for name in rows}


def _total(rows: Rows, stage: str) -> str:
    found = [row[stage] for row in rows.values() if stage in row]
    ready = [each for each in found if not each["problem"]]
    codes, wrong, differ = (sum(each[key] for each in ready) for key in ("codes", "wrong", "differ"))
    levels = max((each["levels"] for each in ready), default=0)
    far = max((each["far"] for each in ready), default=0.0)
    cells = f"{len(ready)} of {len(rows)} | {codes:,} | {wrong:,} | {differ:,} | {levels} | {far:.1e}"
    return f"| {STAGES[stage]} | {cells} |"


def _row(name: str, row: dict[str, Any]) -> str:
    file, _, plan = name.partition(" ")
    problems = [f"{stage}: {found['problem']}" for stage, found in stages_of(row).items() if found["problem"]]
    if problems:
        return f"| {file} | {plan} | {' '.join(problems)[:300]} | | | | |"
    found = [row[stage] for stage in STAGES]
    wrong, runtime = sum(each["wrong"] for each in found), row["onnxruntime"]
    codes = max(each["codes"] for each in found)
    cells = f"{codes:,} | {wrong} | {runtime['differ']} | {runtime['levels']} | {runtime['far']:.0e}"
    return f"| {file} | {plan} | {cells} |"


_HEAD = f"""# Integers of quantized networks, in every place

Made by `benchmarks/integers.py` ({{made}}): {{files}} files, {{rows}} quantized networks; a row of
`integers.json` names the commit that it was tried with. Inputs are normal noise. Networks of more than 2 MiB
are calibrated by 2 to 4 samples, their weights nearest, and compared on 1 or 2; the others by 8 and 4.
Pictures beyond {LONG} pixels are of {SHORT} or 96, some as large as the file says (the number of codes
tells), and all where a constant of the network says how large they are.

*wrong*: codes that their node does not give for the inputs that it had; *differ*: codes that differ from the
reference's end to end, where floats of another order of sums came upon another side of a threshold; *by
levels*: by how many at most; *outputs within*: relative to the largest number. `.circle` and `.onnx`:
written, read again and run in the engine; ONNX Runtime runs the `.onnx`. A code that differs early in a deep
network of random weights changes many behind it, each of which is right for its inputs.

| place | networks | codes | wrong | differ | by levels | outputs within |
|---|---|---|---|---|---|---|"""


if __name__ == "__main__":
    sys.exit(main())
