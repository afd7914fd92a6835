"""The integers of quantized networks of others: in the engine, in `.circle`, in `.onnx`, under ONNX Runtime.

Every model file below a folder is quantized by several plans, and every code of it compared; see
`tests.corpus.integers`. A file is tried in a process of its own, and not again while file and lowbit are the
same: it may be stopped and goes on.

usage: python benchmarks/integers.py FOLDER… --json FILE [--only PART] [--plan PLAN]… [--kept]
"""

import argparse
import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.corpus.integers import PLANS

SUFFIXES, SECONDS = (".onnx", ".tflite"), 900
ROOT = Path(__file__).resolve().parents[1]
Rows = dict[str, dict[str, Any]]


def main() -> int:
    """Try what was not tried yet, print a line for each, and all together."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--json", type=Path, required=True, help="where rows are kept")
    parser.add_argument("--only", default="", help="files with this in their name")
    parser.add_argument("--plan", action="append", choices=PLANS, help="these plans only")
    parser.add_argument("--kept", action="store_true", help="keep good rows of older states")
    given = parser.parse_args()
    rows: Rows = json.loads(given.json.read_text()) if given.json.exists() else {}
    now = source()
    files = (path for folder in given.folders for path in folder.rglob("*") if path.suffix in SUFFIXES)
    for path in sorted(files):
        for plan in given.plan or PLANS:
            name, state = f"{path.name} {plan}", sha256(path.read_bytes()).hexdigest() + now
            known = rows.get(name, {})
            good = given.kept and bool(known) and "problem" not in line(name, known)
            if given.only in path.name and known.get("state") != state and not good:
                rows[name] = {"state": state, **tried(path, plan)}
                given.json.write_text(json.dumps(dict(sorted(rows.items())), indent=1) + "\n")
                sys.stdout.write(line(name, rows[name]) + "\n")
                sys.stdout.flush()
    sys.stdout.write(summary(rows) + "\n")
    return 0


def source() -> str:
    """Return a hash of all that lowbit is."""
    files = [*(ROOT / "src").rglob("*.py"), *(ROOT / "cpp").rglob("*.*")]
    return sha256(b"".join(sha256(path.read_bytes()).digest() for path in sorted(files))).hexdigest()


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
    cells = [f"{stage} {_cell(found)}" for stage, found in row.items() if stage != "state"]
    return f"{name}: {'; '.join(cells)}"


def _cell(found: dict[str, Any]) -> str:
    if found.get("problem"):
        return f"problem {found['problem']}"
    counted = f"{found['codes']} codes {found['wrong']} wrong {found['differ']} differ"
    return f"{counted} by {found['levels']}, {found['far']:.0e}" if found["codes"] else f"{found['far']:.0e}"


def summary(rows: Rows) -> str:
    """Return how many rows there are by stage, how many have problems, and their codes."""
    lines = []
    for stage in dict.fromkeys(stage for row in rows.values() for stage in row if stage != "state"):
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


if __name__ == "__main__":
    sys.exit(main())
