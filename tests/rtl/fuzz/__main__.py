"""The script; see the package."""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.rtl.fuzz import icarus, verilator
from tests.rtl.fuzz.array import array_case
from tests.rtl.fuzz.case import Case
from tests.rtl.fuzz.lst import lst_cases

BATCH = 24


def main() -> int:
    """Return 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lst", type=int, default=200, help="shapes of LST engines, both variants of each")
    parser.add_argument("--arrays", type=int, default=40, help="array networks")
    parser.add_argument("--seed", type=int, default=0, help="of the first; others follow")
    parser.add_argument("--icarus", type=int, default=40, help="the first of either also in Icarus")
    parser.add_argument("--no-verilator", action="store_true", help="in Icarus alone")
    options = parser.parse_args()
    os.nice(5)
    seeds = range(options.seed, options.seed + options.lst)
    arrays = range(options.seed, options.seed + options.arrays)
    total = 0
    for kind, cases in (
        ("lst", (case for seed in seeds for case in lst_cases(seed))),
        ("array", (case for case in map(array_case, arrays) if case is not None)),
    ):
        total += _compared(kind, cases, options.icarus, not options.no_verilator)
    return int(total > 0)


def _compared(kind: str, cases: Iterator[Case], in_icarus: int, in_verilator: bool) -> int:
    began, count, four_state, bad = time.monotonic(), 0, 0, 0
    while batch := list(islice(cases, BATCH)):
        count += len(batch)
        if in_verilator:
            with TemporaryDirectory() as folder:
                for case, wrong in zip(batch, verilator.different_pictures(batch, Path(folder)), strict=True):
                    bad += _said(case, "Verilator", int(wrong.sum()))
        for case in batch:
            if four_state < in_icarus and icarus.is_there():
                four_state += 1
                with TemporaryDirectory() as folder:
                    bad += _said(case, "Icarus", *icarus.different_pictures(case, Path(folder), seed=count))
        seconds = time.monotonic() - began
        say(f"{kind}: {count} engines, {four_state} in Icarus, {bad} differ, {seconds:.0f} s")
    return bad


def _said(case: Case, simulator: str, wrong: int, objections: str = "") -> int:
    if wrong:
        say(f"DIFFERS {case.name}, {simulator}: {wrong} of {len(case.bench.pictures)} pictures {objections}")
    return int(wrong > 0)


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
