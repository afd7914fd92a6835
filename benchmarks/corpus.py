"""What becomes of model files that nobody here has made: a row for each, and the page that shows them.

Files lie in a folder for each kind below ``--folder``; ``--fetch`` fills ``packages`` from the package
indexes, ``python -m tests.corpus.export FOLDER/torch`` fills ``torch``. A file is tried in a process of its
own, and not again while file and lowbit are the same: it may be stopped and goes on.

usage: python benchmarks/corpus.py --folder DIR [--fetch] [--only PART] [--json FILE] [--page FILE]
"""

import argparse
import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.corpus.packages import PACKAGES, SUFFIXES, collected

ROOT = Path(__file__).resolve().parents[1]
CLOSE = 1e-4  # of the largest output
SECONDS = 900

Rows = dict[str, dict[str, Any]]


def main() -> int:
    """Try what was not tried yet, and write rows and page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--folder", type=Path, required=True, help="where the files lie, a folder for each kind"
    )
    parser.add_argument("--fetch", action="store_true", help="fetch packages that are not there yet")
    parser.add_argument("--only", default="", help="files with this in their path")
    parser.add_argument("--json", type=Path, default=ROOT / "results" / "corpus.json")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "corpus.md")
    given = parser.parse_args()
    if given.fetch:
        for package in PACKAGES:
            collected(package, given.folder / "packages")
    rows: Rows = json.loads(given.json.read_text()) if given.json.exists() else {}
    for path in sorted(path for path in given.folder.rglob("*") if path.suffix in SUFFIXES):
        name = str(path.relative_to(given.folder))
        state = sha256(path.read_bytes()).hexdigest() + source()
        if given.only in name and rows.get(name, {}).get("state") != state:
            rows[name] = {"state": state, **tried(path)}
            given.json.write_text(json.dumps(dict(sorted(rows.items())), indent=1) + "\n")
            print(line(name, rows[name]), flush=True)
    given.page.write_text(page(rows))
    return 0


def tried(path: Path) -> dict[str, Any]:
    """Return what becomes of a file, in a process of its own."""
    command = [sys.executable, "-m", "tests.corpus.trial", str(path)]
    command += [f"{name}={length}" for name, length in sizes(path).items()]
    try:
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return {"problems": {"all": f"not done after {SECONDS} s"}}
    if run.returncode:
        return {"problems": {"all": f"exit code {run.returncode}: {run.stderr.strip()[-300:]}"}}
    found: dict[str, Any] = json.loads(run.stdout.strip().splitlines()[-1])
    return found


def sizes(path: Path) -> dict[str, int]:
    """Return the lengths of open dimensions that a file of a package needs."""
    return {k: v for each in PACKAGES for k, v in each.sizes.get(path.stem, {}).items()}


def source() -> str:
    """Return a hash of all that lowbit is."""
    files = [*(ROOT / "src").rglob("*.py"), *(ROOT / "cpp").rglob("*.*")]
    return sha256(b"".join(sha256(path.read_bytes()).digest() for path in sorted(files))).hexdigest()


def line(name: str, row: dict[str, Any]) -> str:
    """Return a row of the page."""
    if row.get("own"):
        return f"| {name} | its own runtime does not run it | | | | | {_short(row['own'])} |"
    problems = row.get("problems", {})
    numbers = [_number(row.get(key)) for key in ("reference", "engine")]
    low = [_quantized(row.get("quantized", {}).get(bits, {})) for bits in ("8", "4")]
    said = "; ".join(_short(text) for text in dict.fromkeys(problems.values()))
    return f"| {name} | {'yes' if row.get('reads') else 'no'} | {' | '.join(numbers + low)} | {said} |"


def _number(value: float | None) -> str:
    return "no" if value is None else f"{value:.0e}" + ("" if value <= CLOSE else " **far**")


def _quantized(row: dict[str, Any]) -> str:
    if row.get("signal_db") is None:
        return "no" if row.get("problem") else ""
    size = f", {row['size'] / 1024:,.0f} KB" if row.get("size") else ""
    return f"{row['signal_db']:.0f} dB{size}"


def _short(text: str) -> str:
    plain = " ".join(text.replace("|", "/").split())
    return plain if len(plain) <= 160 else plain[:159] + "…"


def page(rows: Rows) -> str:
    """Return the page of all rows, counted by kind."""
    parts = [_HEAD]
    for kind in sorted({name.split("/")[0] for name in rows}):
        own = {name: row for name, row in rows.items() if name.startswith(f"{kind}/")}
        runs = [row for row in own.values() if not row.get("own")]
        close = sum(row.get("engine") is not None and row["engine"] <= CLOSE for row in runs)
        read = sum(bool(row.get("reads")) for row in runs)
        parts.append(f"\n## {kind}: {close} of {len(runs)} run in the engine, {read} are read\n\n{_COLUMNS}")
        parts += [line(name.removeprefix(f"{kind}/"), row) for name, row in sorted(own.items())]
    return "\n".join(parts) + "\n"


_COLUMNS = (
    "| file | reads | reference | engine | 8 bits | 4 bits | in the way |\n|---|---|---|---|---|---|---|"
)
_HEAD = """# Files of others

Made by `benchmarks/corpus.py` from model files of public packages and of the usual exporters; none of them
is kept here. *reference* and *engine*: the largest difference from the file's own runtime (ONNX Runtime or
LiteRT) on the same inputs, relative to the largest output. *8 bits* and *4 bits*: signal to noise of the
quantized network against the float one on random inputs, and the size of its `.circle`."""


if __name__ == "__main__":
    sys.exit(main())
