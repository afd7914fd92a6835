"""Write the learning curve of a kept result as Markdown beside it.

    python benchmarks/curve.py results/vgg-small-half-binary-binary-seed0.json

Every line is an epoch at which the network was judged by the test set, which decided nothing. The loss is the
mean over the epoch, of augmented pictures.
"""

import argparse
import json
from pathlib import Path
from typing import Any

COLUMNS = ("epoch", "loss", "top-1", "top-5", "CPU s")


def page(result: dict[str, Any]) -> str:
    """Return the figures, what made them, and the curve."""
    accuracy = f"top-1 {result['top1']:.2%}, top-5 {result['top5']:.2%} of {result['test_samples']}"
    named = ("data", "scheme", "seed", "command", "commit", "machine", "cpu_s", "note")
    facts = {
        "after the last epoch": accuracy,
        "codes and classes that differ": json.dumps(result["differences"]),
        **{name: result[name] for name in named if name in result},
    }
    lines = [
        f"# {result['recipe']}",
        "",
        *(f"- {name}: {value}" for name, value in facts.items()),
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|---" * len(COLUMNS) + "|",
        *(line(row) for row in result["curve"] if "top1" in row),
    ]
    return "\n".join(lines) + "\n"


def line(row: dict[str, Any]) -> str:
    """Return one point as a row."""
    cells = (
        row["epoch"],
        f"{row['loss']:.3f}",
        f"{row['top1']:.2%}",
        f"{row['top5']:.2%}",
        f"{row['cpu_s']:.0f}",
    )
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("json", type=Path, nargs="+", help="what lowbit train kept")
    for path in parser.parse_args().json:
        path.with_suffix(".md").write_text(page(json.loads(path.read_text())))


if __name__ == "__main__":
    main()
