"""Draw and check thousands of odd graphs.

python -m tests.conformance.odd_graphs --count 2000 --seed 1 --json FILE
"""

import argparse
import json
import re
import sys
import time
from collections import Counter
from pathlib import Path

from tests.conformance.odd_graphs.check import Outcome, check
from tests.conformance.odd_graphs.families import FAMILIES, draw
from tests.conformance.odd_graphs.schemes import SCHEMES


def main() -> int:
    """Check graphs of all kinds in turn, print tables, and return 1 where there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--family", choices=FAMILIES, action="append", help="these kinds only")
    parser.add_argument("--scheme", choices=SCHEMES, action="append", help="these schemes only")
    parser.add_argument(
        "--schemes", type=int, default=0, help="so many of them for each graph, in turn; 0: all"
    )
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), help="stop then, and say how far it came"
    )
    parser.add_argument("--json", type=Path, help="write everything that was found here")
    args = parser.parse_args()
    families, schemes = tuple(args.family or FAMILIES), tuple(args.scheme or SCHEMES)
    outcomes: list[Outcome] = []
    start, invalid = time.perf_counter(), 0
    for index in range(args.count):
        if time.perf_counter() - start > args.seconds:
            say(f"stopped before graph {index} of {args.count}")
            break
        chosen = schemes_of(index, schemes, args.schemes)
        outcome = check(draw(families[index % len(families)], args.seed * 1_000_000 + index), chosen)
        invalid += outcome is None
        if outcome is not None:
            outcomes.append(outcome)
            for stage, fault in outcome.faults:
                say(f"FAULT {outcome.family} {outcome.seed} {stage}: {fault[:300]}")
    say(summary(outcomes))
    say(f"{invalid} more that ONNX Runtime does not run; {time.perf_counter() - start:.0f} s")
    if args.json:
        args.json.write_text(json.dumps([vars(outcome) for outcome in outcomes], indent=1))
    return int(any(outcome.faults for outcome in outcomes))


def say(text: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def schemes_of(index: int, schemes: tuple[str, ...], count: int) -> tuple[str, ...]:
    """Return `count` schemes for the graph of that index, all in turn; all of them for 0."""
    if not count:
        return schemes
    return tuple(schemes[(index * count + offset) % len(schemes)] for offset in range(count))


def summary(outcomes: list[Outcome]) -> str:
    """Return runs and refusals per family and per stage, and the commonest refusals."""
    lines = [
        f"{'family':18}{'graphs':>7}{'runs':>8}{'refused':>9}{'faults':>8}{'codes':>12}{'differing':>20}"
    ]
    for family in FAMILIES:
        lines.append(_row(family, [outcome for outcome in outcomes if outcome.family == family]))
    lines.append(_row("all", outcomes))
    stages: Counter[str] = sum((outcome.runs for outcome in outcomes), Counter())
    refused = Counter(stage for outcome in outcomes for stage, _ in outcome.refusals)
    kinds = {stage.split(" ", 1)[-1] for stage in stages}
    for kind in sorted(kinds):
        same = [stage for stage in stages if stage.split(" ", 1)[-1] == kind]
        tried, no = sum(stages[stage] for stage in same), sum(refused[stage] for stage in same)
        lines.append(f"{kind:20}{tried:>8} tried{no:>8} refused {no / max(tried, 1):>7.1%}")
    reasons = Counter(_reason(*refusal) for outcome in outcomes for refusal in outcome.refusals)
    lines += [f"{number:>6} {reason}" for reason, number in reasons.most_common(40)]
    return "\n".join(lines)


def _row(name: str, outcomes: list[Outcome]) -> str:
    runs, refusals, faults = (
        sum(map(len, (getattr(outcome, field) for outcome in outcomes)))
        for field in ("runs", "refusals", "faults")
    )
    codes, differing = (
        sum(getattr(outcome, field) for outcome in outcomes) for field in ("codes", "differing")
    )
    share = refusals / max(runs, 1)
    return f"{name:18}{len(outcomes):>7}{runs:>8}{share:>9.1%}{faults:>8}{codes:>12,}{differing:>20,}"


def _reason(stage: str, error: str) -> str:
    """Return an error without what names the graph."""
    text = re.sub(r"^(\S+) .*?: ", r"\1: ", error)
    return f"{stage.split(' ', 1)[-1]}: {re.sub(r'[0-9]+', '#', text)[:110]}"


if __name__ == "__main__":
    sys.exit(main())
