"""What becomes of model files that nobody here has made: a row for each, and the page that shows them.

    python benchmarks/corpus.py --folder DIR [--fetch] [--only PART] [--quantize] [--page]

Files lie in a folder for each kind below ``--folder``; ``--fetch`` fills ``packages`` from the package
indexes, ``python -m tests.corpus.export DIR/torch`` fills ``torch``, ``python -m tests.corpus.keras_networks
DIR/keras`` ``keras``. Each file is tried in a process of its own, with limits of CPU time and memory, and its
row is written at once: a run may be stopped and goes on. A file that ran is not tried again while it is the
same, unless ``--again``; rows say the commit that they are of. ``--quantize`` quantizes those that run;
``--page`` only makes the page.
"""

import argparse
import json
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.corpus.packages import PACKAGES, SUFFIXES, collected, sizes_of
from tests.corpus.page import line, page, runs
from tests.corpus.trial import FEW, PLANS, SAMPLES, quantized, tried

from lowbit.provenance import provenance

ROOT = Path(__file__).resolve().parents[1]
MEMORY = 8 << 30
Row = dict[str, Any]


def main() -> int:
    """Try what is to be tried, and write rows and page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help="where the files lie, a folder for each kind")
    parser.add_argument("--fetch", action="store_true", help="fetch packages that are not there yet")
    parser.add_argument("--only", default="", help="files with this in their path")
    parser.add_argument("--again", action="store_true", help="try files again that ran")
    parser.add_argument("--quantize", action="store_true", help="quantize those that run and were not yet")
    parser.add_argument("--page", action="store_true", help="make the page, and nothing else")
    parser.add_argument("--seconds", type=int, default=300, help="of CPU time for a file")
    parser.add_argument("--json", type=Path, default=ROOT / "results" / "corpus.json")
    given = parser.parse_args()
    kept = json.loads(given.json.read_text()) if given.json.exists() else {"rows": {}}
    rows: dict[str, Row] = kept["rows"]
    made = kept
    if not given.page:
        made = provenance("python benchmarks/corpus.py --folder DIR; … --quantize")
        if given.fetch:
            for package in PACKAGES:
                collected(package, given.folder / "packages")
        for path in files(given.folder, given.only):
            name = str(path.relative_to(given.folder))
            before = rows.get(name, {})
            row = (_low if given.quantize else _float)(
                path, before, given.again, given.seconds, made["commit"]
            )
            if row is not before:
                rows[name] = row
                _write(given.json, made, rows)
                print(line(name, row), flush=True)
    (ROOT / "docs" / "corpus.md").write_text(page_of({**made, "rows": rows}))
    return 0


def files(folder: Path, only: str) -> list[Path]:
    """Return the model files below a folder with this in their path, small ones first."""
    found = [path for path in folder.rglob("*") if path.suffix in SUFFIXES]
    chosen = [path for path in found if only in str(path.relative_to(folder))]
    return sorted(chosen, key=lambda path: (path.stat().st_size, str(path)))


def page_of(kept: dict[str, Any]) -> str:
    """Return the page of what is kept."""
    made = f"{kept['date']}, {kept['machine']}"
    return page(kept["rows"], made, SAMPLES, FEW)


def _write(path: Path, made: dict[str, Any], rows: dict[str, Row]) -> None:
    facts = {key: value for key, value in made.items() if key != "rows"}
    path.write_text(json.dumps({**facts, "rows": dict(sorted(rows.items()))}, indent=1) + "\n")


def _float(path: Path, before: Row, again: bool, seconds: int, commit: str) -> Row:
    """Return the row of a file after it was tried, or the one before where that holds."""
    digest = sha256(path.read_bytes()).hexdigest()
    same = before.get("sha256") == digest
    if same and before.get("commit") == commit and not commit.endswith("+"):
        return before
    if same and runs(before) and not again:
        return before
    found = _apart(lambda: tried(path, sizes_of(path)), seconds)
    low = {"quantized": before["quantized"]} if same and "quantized" in before else {}
    return {"sha256": digest, "commit": commit, **found, **low}


def _low(path: Path, before: Row, again: bool, seconds: int, commit: str) -> Row:
    """Return the row with what quantization makes of the file."""
    if not runs(before) or ("quantized" in before and not again):
        return before
    found = {
        str(bits): _apart(lambda bits=bits: quantized(path, sizes_of(path), bits), seconds) for bits in PLANS
    }
    return {**before, "quantized": {bits: {**row, "commit": commit} for bits, row in found.items()}}


def _apart(work: Callable[[], Row], seconds: int) -> Row:
    """Return what work returns in a process of its own, or what became of that."""
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe(duplex=False)
    started = time.perf_counter()
    child = fork.Process(target=_limited, args=(work, theirs, seconds))
    child.start()
    theirs.close()
    try:
        found: Row = ours.recv()
    except EOFError:
        child.join()
        late = f"not done after {seconds} s of CPU time" if child.exitcode in (-24, -9) else "it died"
        said = f"{late} (exit code {child.exitcode})"
        return {"problems": {"all": said}, "problem": said}
    child.join()
    return {**found, "wall_s": round(time.perf_counter() - started, 1)}


def _limited(work: Callable[[], Row], to: Connection, seconds: int) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    to.send(work())


if __name__ == "__main__":
    sys.exit(main())
